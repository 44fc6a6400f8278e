//! What a group did, as rows: one statement for all tables, whatever the group's size.

use super::statement::Statement;
use crate::ledger::book::{Book, HeldHold, Made, MadePosting, Outcome};
use crate::ledger::event::{self, Changed, HoldEvent, Opened, Posted};
use crate::ledger::refusal;
use crate::ledger::{AccountId, Command, Hold, OpenAccount, OwnerId, Receipt};
use crate::{Money, Timestamp};

macro_rules! tables {
    ($($table:ident { $($column:ident: $type:ty),* $(,)? })*) => {
        $(
            #[derive(Default)]
            struct $table { $($column: Vec<$type>),* }

            impl $table {
                #[allow(clippy::too_many_arguments, reason = "the columns of a table")]
                fn row(&mut self, $($column: $type),*) {
                    $(self.$column.push($column);)*
                }
            }
        )*
    };
}

tables! {
    Accounts {
        sequence: i64, id: String, owner: Option<String>, name: Option<String>, currency: String, floor: Option<i64>,
        ceiling: Option<i64>, opened_at: i64, content: [u8; 32],
    }
    Balances { account: i64, balance: i64, held: i64, entries: i64 }
    Rules { account: i64, status: i16, floor: Option<i64>, ceiling: Option<i64> }
    Holds {
        sequence: i64, id: String, account: i64, amount: i64, captured: i64, status: i16, placed_at: i64,
        deadline: Option<i64>, reference: Option<String>, metadata: Option<String>, content: [u8; 32],
        ended_by: Option<i64>, ended_at: Option<i64>,
    }
    ChangedHolds { sequence: i64, captured: i64, status: i16, ended_by: Option<i64>, ended_at: Option<i64> }
    Postings {
        sequence: i64, id: String, kind: String, reference: Option<String>, metadata: Option<String>, booked_at: i64,
        value_at: i64, reverses: Option<i64>, hold: Option<i64>, captured: Option<i64>, hold_status: Option<i16>,
        content: [u8; 32],
    }
    Entries { posting: i64, leg: i16, account: i64, number: i64, amount: i64, balance: i64 }
    Changes { sequence: i64, id: String, account: i64, state: String, booked_at: i64, content: [u8; 32] }
    Refusals { id: String, content: [u8; 32], error: String, at: i64 }
    Outbox { position: i64, id: String, topic: String, at: i64, payload: String }
}

#[derive(Default)]
struct Tables {
    accounts: Accounts,
    opened: Balances,
    moved: Balances,
    rules: Rules,
    holds: Holds,
    changed_holds: ChangedHolds,
    postings: Postings,
    /// By account, number, posting, leg, amount and balance.
    entries: Vec<(i64, i64, i64, i16, i64, i64)>,
    changes: Changes,
    refusals: Refusals,
    outbox: Outbox,
}

/// A statement that writes what the group did, whose first sequence comes behind `before`, where no other group has written
/// since the group number `groups`, which the last sequence must agree with; where one has, it gives no row and does nothing.
/// Outside of a transaction it is one of its own.
pub(super) fn statement(
    commands: &[&Command],
    outcomes: &[Outcome<'_>],
    book: &Book,
    (before, groups): (u64, i64),
) -> sqlx::Result<Statement> {
    let tables = Tables::of(commands, outcomes, book, before);
    let mut statement = Statement::default();
    let (sequence, at) =
        (statement.value(book.sequence() as i64)?, statement.value(book.booked_at().micros())?);
    let (before, groups) = (statement.value(before as i64)?, statement.value(groups)?);
    // The parts look at this one first: it locks the row that all groups lock, and when it finds another number in it, it
    // gives no row, and they do nothing.
    statement.part(format!(
        "UPDATE state SET sequence = {sequence}, booked_at = {at}, groups = groups + 1
         WHERE groups = {groups} AND sequence = {before} RETURNING 1"
    ));
    tables.put(&mut statement)?;
    Ok(statement)
}

/// Adds a part that takes a table's columns, unless there are no rows.
macro_rules! put {
    ($statement:ident, $table:expr, $before:literal, [$($column:ident $kind:literal),*], $after:literal) => {{
        let table = $table;
        let rows = [$(table.$column.len()),*];
        if rows[0] > 0 {
            let columns = [$($statement.column(table.$column, $kind)?),*].join(", ");
            $statement.part(format!(concat!($before, " unnest({}) ", $after), columns));
        }
    }};
}

impl Tables {
    fn put(mut self, statement: &mut Statement) -> sqlx::Result<()> {
        // In the order of the largest index, so that neighbours in it are inserted one after the other.
        self.entries.sort_unstable();
        let mut entries = Entries::default();
        for (account, number, posting, leg, amount, balance) in self.entries {
            entries.row(posting, leg, account, number, amount, balance);
        }
        put!(statement, self.accounts,
            "INSERT INTO accounts (sequence, id, owner, name, currency, floor, ceiling, opened_at, content) SELECT * FROM",
            [sequence "bigint", id "text", owner "text", name "text", currency "text", floor "bigint", ceiling "bigint",
             opened_at "bigint", content "bytea"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.opened, "INSERT INTO balances (account, balance, held, entries) SELECT * FROM",
            [account "bigint", balance "bigint", held "bigint", entries "bigint"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.moved,
            "UPDATE balances b SET balance = v.balance, held = v.held, entries = v.entries FROM",
            [account "bigint", balance "bigint", held "bigint", entries "bigint"],
            "AS v (account, balance, held, entries) WHERE b.account = v.account AND EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.rules, "INSERT INTO rules (account, status, floor, ceiling) SELECT * FROM",
            [account "bigint", status "smallint", floor "bigint", ceiling "bigint"],
            "WHERE EXISTS (SELECT 1 FROM t0) ON CONFLICT (account) DO UPDATE SET status = excluded.status, floor = excluded.floor, ceiling = excluded.ceiling");
        put!(statement, self.holds,
            "INSERT INTO holds (sequence, id, account, amount, captured, status, placed_at, deadline, reference, metadata,
                                content, ended_by, ended_at) SELECT * FROM",
            [sequence "bigint", id "text", account "bigint", amount "bigint", captured "bigint", status "smallint",
             placed_at "bigint", deadline "bigint", reference "text", metadata "text", content "bytea", ended_by "bigint",
             ended_at "bigint"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.changed_holds,
            "UPDATE holds h SET captured = v.captured, status = v.status, ended_by = v.ended_by, ended_at = v.ended_at FROM",
            [sequence "bigint", captured "bigint", status "smallint", ended_by "bigint", ended_at "bigint"],
            "AS v (sequence, captured, status, ended_by, ended_at) WHERE h.sequence = v.sequence AND EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.postings,
            "INSERT INTO postings (sequence, id, kind, reference, metadata, booked_at, value_at, reverses, hold, captured,
                                   hold_status, content) SELECT * FROM",
            [sequence "bigint", id "text", kind "text", reference "text", metadata "text", booked_at "bigint",
             value_at "bigint", reverses "bigint", hold "bigint", captured "bigint", hold_status "smallint",
             content "bytea"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, entries,
            "INSERT INTO entries (posting, leg, account, number, amount, balance) SELECT * FROM",
            [posting "bigint", leg "smallint", account "bigint", number "bigint", amount "bigint", balance "bigint"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.changes,
            "INSERT INTO changes (sequence, id, account, state, booked_at, content) SELECT * FROM",
            [sequence "bigint", id "text", account "bigint", state "text", booked_at "bigint", content "bytea"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.refusals, "INSERT INTO refusals (id, content, error, at) SELECT * FROM",
            [id "text", content "bytea", error "text", at "bigint"], "WHERE EXISTS (SELECT 1 FROM t0)");
        put!(statement, self.outbox, "INSERT INTO outbox (position, id, topic, at, payload) SELECT * FROM",
            [position "bigint", id "text", topic "text", at "bigint", payload "text"], "WHERE EXISTS (SELECT 1 FROM t0)");
        Ok(())
    }

    fn of(commands: &[&Command], outcomes: &[Outcome<'_>], book: &Book, before: u64) -> Self {
        let mut tables = Self::default();
        for (sequence, id) in book.expired() {
            if let Some(held) = book.hold(id) {
                tables.hold_event(*sequence, event::EXPIRED, held, None, book);
            }
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Outcome::Fresh(receipt, made) => tables.made(command, receipt, made, book),
                Outcome::RefusedForGood(error) => tables.refusals.row(
                    command.id().to_string(),
                    command.content(),
                    refusal::to_text(error),
                    book.booked_at().micros(),
                ),
                _ => {}
            }
        }
        for held in book.accounts() {
            let account = &held.account;
            let number = held.sequence as i64;
            if held.moved {
                let balances = if held.sequence > before { &mut tables.opened } else { &mut tables.moved };
                balances.row(
                    number,
                    account.balance.minor(),
                    account.held.minor(),
                    account.entry_count as i64,
                );
            }
            if held.changed {
                let bound = |money: Option<Money>| money.map(Money::minor);
                let status = account.status.number() as i16;
                tables.rules.row(number, status, bound(account.floor), bound(account.ceiling));
            }
        }
        for held in book.changed_holds().filter(|held| held.sequence <= before) {
            let (status, captured) = (held.hold.status.number() as i16, held.hold.captured.minor());
            let (by, at) = ended(held);
            tables.changed_holds.row(held.sequence as i64, captured, status, by, at);
        }
        tables
    }

    fn made(&mut self, command: &Command, receipt: &Receipt, made: &Made<'_>, book: &Book) {
        let (sequence, at) = (receipt.sequence as i64, receipt.booked_at.micros());
        let account_number = |id: &AccountId| book.account(id).map_or(0, |held| held.sequence as i64);
        match made {
            Made::Account(open) => self.opened(open, receipt),
            Made::Change(change) => {
                let Some(account) = &receipt.account else { return };
                let payload = Changed::new(change, account, receipt.booked_at);
                self.event(receipt, event::changed_id(&change.id), event::CHANGED.to_owned(), &payload);
                let (id, number) = (change.id.as_str().to_owned(), account_number(&account.id));
                self.changes.row(sequence, id, number, json(account), at, change.content());
            }
            Made::Posting(made) => self.posted(made, receipt, book),
            Made::Hold(id) => {
                let (Some(held), Command::Hold(place)) = (book.hold(id), command.plain()) else { return };
                self.hold_event(receipt.sequence, event::PLACED, held, receipt.hold.as_ref(), book);
                let (ended_by, ended_at) = ended(held);
                // As the group leaves it: it may have been captured or voided since.
                self.holds.row(
                    sequence,
                    id.as_str().to_owned(),
                    account_number(&place.account),
                    place.amount.minor(),
                    held.hold.captured.minor(),
                    held.hold.status.number() as i16,
                    at,
                    held.hold.deadline.map(Timestamp::micros),
                    place.reference.clone(),
                    (!place.metadata.is_empty()).then(|| json(&place.metadata)),
                    held.content,
                    ended_by,
                    ended_at,
                );
            }
            Made::Void(id) => {
                if let Some(held) = book.hold(id) {
                    self.hold_event(receipt.sequence, event::VOIDED, held, None, book);
                }
            }
        }
    }

    fn opened(&mut self, open: &OpenAccount, receipt: &Receipt) {
        let payload = Opened::new(open, receipt.booked_at);
        self.event(receipt, event::opened_id(&open.id), event::OPENED.to_owned(), &payload);
        self.accounts.row(
            receipt.sequence as i64,
            open.id.as_str().to_owned(),
            open.owner.as_ref().map(|owner| OwnerId::as_str(owner).to_owned()),
            open.name.clone(),
            open.currency.code().to_owned(),
            open.floor.minor(),
            open.ceiling.minor(),
            receipt.booked_at.micros(),
            open.content(),
        );
    }

    fn posted(&mut self, made: &MadePosting<'_>, receipt: &Receipt, book: &Book) {
        let posting = &*made.posting;
        let whose = |id: &AccountId| match book.account(id) {
            Some(held) => (held.account.owner.as_ref(), held.account.name.as_deref()),
            None => (None, None),
        };
        let capture = made.capture.as_ref();
        let payload = Posted::new(made, receipt, whose);
        self.event(receipt, event::posted_id(&posting.id), format!("posting.{}", posting.kind), &payload);
        self.postings.row(
            receipt.sequence as i64,
            posting.id.as_str().to_owned(),
            posting.kind.clone(),
            posting.reference.clone(),
            (!posting.metadata.is_empty()).then(|| json(&posting.metadata)),
            receipt.booked_at.micros(),
            posting.value_time.unwrap_or(receipt.booked_at).micros(),
            made.reverses.as_ref().map(|(sequence, _)| *sequence as i64),
            capture.map(|capture| capture.hold as i64),
            capture.map(|capture| capture.captured),
            capture.map(|capture| capture.status.number() as i16),
            made.content,
        );
        for (leg, entry) in receipt.entries.iter().enumerate() {
            let account = book.account(&entry.account).map_or(0, |held| held.sequence);
            let (posting, number) = (receipt.sequence as i64, entry.number as i64);
            let (amount, balance) = (entry.amount.minor(), entry.balance_after.minor());
            self.entries.push((account as i64, number, posting, leg as i16, amount, balance));
        }
    }

    fn event<T: serde::Serialize>(&mut self, receipt: &Receipt, id: String, topic: String, payload: &T) {
        self.outbox.row(receipt.sequence as i64, id, topic, receipt.booked_at.micros(), json(payload));
    }

    /// The event of a hold that was placed, voided or has expired; as it is now where it is not said how it was.
    fn hold_event(&mut self, sequence: u64, topic: &str, held: &HeldHold, then: Option<&Hold>, book: &Book) {
        let hold = then.unwrap_or(&held.hold);
        let owner = book.account(&hold.account).and_then(|held| held.account.owner.as_ref());
        let payload = json(&HoldEvent::new(hold, owner, book.booked_at()));
        let (id, at) = (event::hold_id(topic, &hold.id), book.booked_at().micros());
        self.outbox.row(sequence as i64, id, topic.to_owned(), at, payload);
    }
}

fn ended(held: &HeldHold) -> (Option<i64>, Option<i64>) {
    (held.ended.map(|(by, _)| by as i64), held.ended.map(|(_, at)| at.micros()))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Our own types have text keys and no failing serializer.
    serde_json::to_string(value).unwrap_or_default()
}
