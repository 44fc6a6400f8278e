//! What a group did, as rows: one statement a table, whatever the group's size.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::Result;
use crate::embedded::error::from_sqlx;
use crate::embedded::json::Rows;
use crate::ledger::book::{Book, HeldHold, Made, MadePosting, Outcome};
use crate::ledger::event::{self, Changed, HoldEvent, Opened, Posted};
use crate::ledger::refusal;
use crate::ledger::{AccountId, Command, OpenAccount, OwnerId, Receipt};

#[derive(Debug)]
struct Tables {
    accounts: Rows,
    balances: Rows,
    rules: Rows,
    holds: Rows,
    ended: Rows,
    postings: Rows,
    entries: Rows,
    changes: Rows,
    refusals: Rows,
    outbox: Rows,
}

/// Writes what the group did.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    commands: &[&Command],
    outcomes: &[Outcome<'_>],
    book: &Book,
) -> Result<()> {
    let tables = Tables::of(commands, outcomes, book);
    let statements = [
        (
            "INSERT INTO accounts (sequence, id, owner, name, currency, status, floor, ceiling, opened_at, content)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, 0, value->>5, value->>6, value->>7,
                    substr($2, value->>8, value->>9) FROM jsonb_each($1)",
            tables.accounts,
        ),
        (
            "INSERT INTO balances (account, balance, held, entries)
             SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each($3) WHERE true
             ON CONFLICT (account) DO UPDATE
             SET balance = excluded.balance, held = excluded.held, entries = excluded.entries",
            tables.balances,
        ),
        (
            "INSERT INTO rules (account, status, floor, ceiling)
             SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each($5) WHERE true
             ON CONFLICT (account) DO UPDATE
             SET status = excluded.status, floor = excluded.floor, ceiling = excluded.ceiling",
            tables.rules,
        ),
        (
            "INSERT INTO holds (sequence, id, account, amount, captured, status, placed_at, deadline, reference, metadata,
                                content)
             SELECT value->>0, value->>1, value->>2, value->>3, 0, 0, value->>4, value->>5, value->>6, value->>7,
                    substr($8, value->>8, value->>9) FROM jsonb_each($7)",
            tables.holds,
        ),
        (
            "UPDATE holds SET captured = j.value->>1, status = j.value->>2, ended_by = j.value->>3, ended_at = j.value->>4
             FROM jsonb_each($9) j WHERE sequence = j.value->>0",
            tables.ended,
        ),
        (
            "INSERT INTO postings (sequence, id, kind, reference, metadata, booked_at, value_at, reverses, hold, captured,
                                   hold_status, content)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
                    value->>9, value->>10, substr($12, value->>11, value->>12) FROM jsonb_each($11)",
            tables.postings,
        ),
        (
            "INSERT INTO entries (posting, leg, account, number, amount, balance)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_each($13)",
            tables.entries,
        ),
        (
            "INSERT INTO changes (sequence, id, account, state, booked_at, content)
             SELECT value->>0, value->>1, value->>2, CAST(substr($16, value->>3, value->>4) AS TEXT), value->>5,
                    substr($16, value->>6, value->>7) FROM jsonb_each($15)",
            tables.changes,
        ),
        (
            "INSERT INTO refusals (id, content, error, at)
             SELECT value->>0, substr($18, value->>1, value->>2), value->>3, value->>4 FROM jsonb_each($17)",
            tables.refusals,
        ),
        (
            "INSERT INTO outbox (position, at, id, topic, payload)
             SELECT value->>0, value->>1, value->>2, value->>3,
                    CAST(substr($20, value->>4, value->>5) AS TEXT) FROM jsonb_each($19)",
            tables.outbox,
        ),
    ];
    // All at once, since each word with the connection's thread takes longer than a statement of a small group.
    let (mut sql, mut values) = (String::new(), Vec::new());
    for (statement, rows) in statements {
        if rows.is_empty() {
            values.push(None);
        } else {
            sql.push_str(statement);
            sql.push(';');
            values.push(Some(rows.finish()));
        }
    }
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        let (json, bytes) = value.unzip();
        query = query.bind(json).bind(bytes);
    }
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

impl Tables {
    fn of(commands: &[&Command], outcomes: &[Outcome<'_>], book: &Book) -> Self {
        let mut tables = Self {
            accounts: Rows::new(),
            balances: Rows::new(),
            rules: Rows::new(),
            holds: Rows::new(),
            ended: Rows::new(),
            postings: Rows::new(),
            entries: Rows::new(),
            changes: Rows::new(),
            refusals: Rows::new(),
            outbox: Rows::new(),
        };
        for (sequence, id) in book.expired() {
            if let Some(held) = book.hold(id) {
                tables.hold_event(*sequence, event::EXPIRED, held, None, book);
            }
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Outcome::Fresh(receipt, made) => tables.made(command, receipt, made, book),
                Outcome::RefusedForGood(error) => drop(
                    tables
                        .refusals
                        .row()
                        .text(&command.id().to_string())
                        .bytes(&command.content())
                        .text(&refusal::to_text(error))
                        .integer(book.booked_at().micros()),
                ),
                _ => {}
            }
        }
        for held in book.accounts() {
            let account = &held.account;
            if held.moved {
                let row = tables.balances.row().unsigned(held.sequence).integer(account.balance.minor());
                drop(row.integer(account.held.minor()).unsigned(account.entry_count));
            }
            if held.changed {
                let bound = |money: Option<crate::Money>| money.map(crate::Money::minor);
                let row = tables.rules.row().unsigned(held.sequence).integer(account.status.number());
                drop(row.optional_integer(bound(account.floor)).optional_integer(bound(account.ceiling)));
            }
        }
        for held in book.changed_holds() {
            let (by, at) = (held.ended.map(|(by, _)| by as i64), held.ended.map(|(_, at)| at.micros()));
            let row = tables.ended.row().unsigned(held.sequence).integer(held.hold.captured.minor());
            drop(row.integer(held.hold.status.number()).optional_integer(by).optional_integer(at));
        }
        tables
    }

    fn made(&mut self, command: &Command, receipt: &Receipt, made: &Made<'_>, book: &Book) {
        match made {
            Made::Account(open) => self.opened(open, receipt),
            Made::Change(change) => {
                let Some(account) = &receipt.account else { return };
                let number = book.account(&account.id).map_or(0, |held| held.sequence);
                self.event(
                    receipt,
                    &event::changed_id(&change.id),
                    event::CHANGED,
                    &Changed::new(change, account, receipt.booked_at),
                );
                let row =
                    self.changes.row().unsigned(receipt.sequence).text(change.id.as_str()).unsigned(number);
                drop(row.json_bytes(account).integer(receipt.booked_at.micros()).bytes(&change.content()));
            }
            Made::Posting(made) => self.posted(made, receipt, book),
            Made::Hold(id) => {
                let (Some(held), Command::Hold(place)) = (book.hold(id), command.plain()) else { return };
                let number = book.account(&place.account).map_or(0, |held| held.sequence);
                self.hold_event(receipt.sequence, event::PLACED, held, receipt.hold.as_ref(), book);
                let row = self
                    .holds
                    .row()
                    .unsigned(receipt.sequence)
                    .text(id.as_str())
                    .unsigned(number)
                    .integer(place.amount.minor())
                    .integer(receipt.booked_at.micros())
                    .optional_integer(held.hold.deadline.map(crate::Timestamp::micros))
                    .optional_text(place.reference.as_deref());
                let row = if place.metadata.is_empty() {
                    row.optional_text(None)
                } else {
                    row.json(&place.metadata)
                };
                drop(row.bytes(&held.content));
            }
            Made::Void(id) => {
                if let Some(held) = book.hold(id) {
                    self.hold_event(receipt.sequence, event::VOIDED, held, None, book);
                }
            }
        }
    }

    fn opened(&mut self, open: &OpenAccount, receipt: &Receipt) {
        self.event(
            receipt,
            &event::opened_id(&open.id),
            event::OPENED,
            &Opened::new(open, receipt.booked_at),
        );
        let row = self
            .accounts
            .row()
            .unsigned(receipt.sequence)
            .text(open.id.as_str())
            .optional_text(open.owner.as_ref().map(OwnerId::as_str))
            .optional_text(open.name.as_deref())
            .text(open.currency.code())
            .optional_integer(open.floor.minor())
            .optional_integer(open.ceiling.minor())
            .integer(receipt.booked_at.micros());
        drop(row.bytes(&open.content()));
    }

    fn posted(&mut self, made: &MadePosting<'_>, receipt: &Receipt, book: &Book) {
        let posting = &*made.posting;
        let whose = |id: &AccountId| match book.account(id) {
            Some(held) => (held.account.owner.as_ref(), held.account.name.as_deref()),
            None => (None, None),
        };
        let payload = Posted::new(made, receipt, whose);
        self.event(receipt, &event::posted_id(&posting.id), &format!("posting.{}", posting.kind), &payload);
        let row = self
            .postings
            .row()
            .unsigned(receipt.sequence)
            .text(posting.id.as_str())
            .text(&posting.kind)
            .optional_text(posting.reference.as_deref());
        let row =
            if posting.metadata.is_empty() { row.optional_text(None) } else { row.json(&posting.metadata) };
        let capture = made.capture.as_ref();
        row.integer(receipt.booked_at.micros())
            .integer(posting.value_time.unwrap_or(receipt.booked_at).micros())
            .optional_integer(made.reverses.as_ref().map(|(sequence, _)| *sequence as i64))
            .optional_integer(capture.map(|capture| capture.hold as i64))
            .optional_integer(capture.map(|capture| capture.captured))
            .optional_integer(capture.map(|capture| capture.status.number()))
            .bytes(&made.content);
        for (leg, entry) in receipt.entries.iter().enumerate() {
            let account = book.account(&entry.account).map_or(0, |held| held.sequence);
            self.entries
                .row()
                .unsigned(receipt.sequence)
                .unsigned(leg as u64)
                .unsigned(account)
                .unsigned(entry.number)
                .integer(entry.amount.minor())
                .integer(entry.balance_after.minor());
        }
    }

    fn event<T: serde::Serialize>(&mut self, receipt: &Receipt, id: &str, topic: &str, payload: &T) {
        let row = self.outbox.row().unsigned(receipt.sequence).integer(receipt.booked_at.micros());
        drop(row.text(id).text(topic).json_bytes(payload));
    }

    /// The event of a hold that was placed, voided or has expired; as it is now where it is not said how it was.
    fn hold_event(
        &mut self,
        sequence: u64,
        topic: &str,
        held: &HeldHold,
        then: Option<&crate::ledger::Hold>,
        book: &Book,
    ) {
        let hold = then.unwrap_or(&held.hold);
        let owner = book.account(&hold.account).and_then(|held| held.account.owner.as_ref());
        let row = self.outbox.row().unsigned(sequence).integer(book.booked_at().micros());
        let id = event::hold_id(topic, &hold.id);
        drop(row.text(&id).text(topic).json_bytes(&HoldEvent::new(hold, owner, book.booked_at())));
    }
}
