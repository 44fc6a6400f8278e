//! What a group did, as rows: a fixed number of statements, whatever the group's size.

use crate::Timestamp;
use crate::ledger::book::{Book, HeldHold, Made, MadeChange, MadePosting, Outcome, Subject};
use crate::ledger::refusal;
use crate::ledger::{AccountId, Command, OpenAccount, OwnerId, Receipt};

/// The values of a column.
#[derive(Debug)]
pub(crate) enum Column {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    /// Text that may be long, and is never missing.
    Documents(Vec<String>),
    Hashes(Vec<[u8; 32]>),
}

/// What is done with the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Insert,
    /// Inserts, unless there is a row whose first column is the same.
    Keep,
    /// Inserts or replaces the row whose first column is the same.
    Put,
    /// Replaces the row whose first column is the same, which is there.
    Update,
}

/// Rows for one table.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) table: &'static str,
    pub(crate) how: How,
    pub(crate) columns: Vec<(&'static str, Column)>,
    pub(crate) len: usize,
}

macro_rules! tables {
    ($($rows:ident $table:ident $how:ident { $($column:ident: $kind:ident $type:ty),* $(,)? })*) => {
        $(
            #[derive(Debug, Default)]
            struct $rows { $($column: Vec<$type>),* }

            impl $rows {
                #[allow(clippy::too_many_arguments, reason = "the columns of a table")]
                fn row(&mut self, $($column: $type),*) {
                    $(self.$column.push($column);)*
                }

                fn rows(self) -> Rows {
                    let len = [$(self.$column.len()),*][0];
                    let columns = vec![$((stringify!($column), Column::$kind(values(self.$column)))),*];
                    Rows { table: stringify!($table), how: How::$how, columns, len }
                }
            }
        )*
    };
}

fn values<T: Into<U>, U>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(Into::into).collect()
}

tables! {
    Currencies currencies Keep { code: Texts String, decimals: Numbers i64 }
    Accounts accounts Insert {
        sequence: Numbers i64, id: Texts String, owner: Texts Option<String>, currency: Texts String,
        terms: Texts String, opened_at: Numbers i64, content: Hashes [u8; 32],
    }
    Held held Put { account: Numbers i64, held: Numbers i64 }
    Holds holds Insert {
        sequence: Numbers i64, id: Texts String, account: Numbers i64, amount: Numbers i64, captured: Numbers i64,
        status: Numbers i64, placed_at: Numbers i64, deadline: Numbers Option<i64>, reference: Texts Option<String>,
        metadata: Texts Option<String>, content: Hashes [u8; 32], ended_by: Numbers Option<i64>,
        ended_at: Numbers Option<i64>,
    }
    ChangedHolds holds Update {
        sequence: Numbers i64, captured: Numbers i64, status: Numbers i64, ended_by: Numbers Option<i64>,
        ended_at: Numbers Option<i64>,
    }
    Postings postings Insert {
        sequence: Numbers i64, id: Texts String, kind: Texts String, reference: Texts Option<String>,
        metadata: Texts Option<String>, booked_at: Numbers i64, value_at: Numbers Option<i64>, reverses: Numbers Option<i64>,
        hold: Numbers Option<i64>, captured: Numbers Option<i64>, hold_status: Numbers Option<i64>,
        content: Hashes [u8; 32],
    }
    Entries entries Insert {
        posting: Numbers i64, leg: Numbers i64, account: Numbers i64, number: Numbers i64, amount: Numbers i64,
        balance: Numbers i64,
    }
    Changes changes Insert {
        sequence: Numbers i64, id: Texts String, account: Numbers Option<i64>, posting: Numbers Option<i64>,
        kind: Texts String, state: Documents String, booked_at: Numbers i64, content: Hashes [u8; 32],
    }
    Refusals refusals Insert { id: Texts String, content: Hashes [u8; 32], error: Texts String, at: Numbers i64 }
}

/// In which order entries are inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// That of their postings, for a table that is kept in it.
    #[cfg(feature = "embedded")]
    Posting,
    /// That of the largest index, so that neighbours in it are inserted one after the other.
    #[cfg(feature = "aurora")]
    Account,
}

/// What a group did, whose first sequence comes behind `before`.
#[derive(Default)]
struct Tables {
    currencies: Currencies,
    accounts: Accounts,
    held: Held,
    holds: Holds,
    changed_holds: ChangedHolds,
    postings: Postings,
    /// By account, number, posting, leg, amount and balance.
    entries: Vec<(i64, i64, i64, i64, i64, i64)>,
    changes: Changes,
    refusals: Refusals,
}

/// What a group did, whose first sequence comes behind `before`; tables without rows are left out.
pub(crate) fn rows(
    commands: &[&Command],
    outcomes: &[Outcome<'_>],
    book: &Book,
    before: u64,
    order: Order,
) -> Vec<Rows> {
    let mut tables = Tables::of(commands, outcomes, book, before);
    #[cfg(feature = "aurora")]
    if order == Order::Account {
        tables.entries.sort_unstable();
    }
    #[cfg(not(feature = "aurora"))]
    let _ = order;
    let mut entries = Entries::default();
    for (account, number, posting, leg, amount, balance) in std::mem::take(&mut tables.entries) {
        entries.row(posting, leg, account, number, amount, balance);
    }
    let rows = [
        tables.currencies.rows(),
        tables.accounts.rows(),
        tables.held.rows(),
        tables.holds.rows(),
        tables.changed_holds.rows(),
        tables.postings.rows(),
        entries.rows(),
        tables.changes.rows(),
        tables.refusals.rows(),
    ];
    rows.into_iter().filter(|rows| rows.len > 0).collect()
}

impl Tables {
    fn of(commands: &[&Command], outcomes: &[Outcome<'_>], book: &Book, before: u64) -> Self {
        let mut tables = Self::default();
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
            if held.holding {
                tables.held.row(held.sequence as i64, held.account.held.minor());
            }
        }
        for held in book.changed_holds().filter(|held| held.sequence <= before) {
            let (status, captured) = (held.hold.status.number(), held.hold.captured.minor());
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
            Made::Change(MadeChange { id, of, kind, state, content }) => {
                let (account, posting) = match of {
                    Subject::Account(sequence) => (Some(*sequence as i64), None),
                    Subject::Posting(sequence) => (None, Some(*sequence as i64)),
                };
                let (id, kind) = (id.as_str().to_owned(), (*kind).to_owned());
                self.changes.row(sequence, id, account, posting, kind, state.clone(), at, *content);
            }
            Made::Posting(made) => self.posted(made, receipt, book),
            Made::Hold(id) => {
                let (Some(held), Command::Hold(place)) = (book.hold(id), command.plain()) else { return };
                let (ended_by, ended_at) = ended(held);
                // As the group leaves it: it may have been captured or voided since.
                self.holds.row(
                    sequence,
                    id.as_str().to_owned(),
                    account_number(&place.account),
                    place.amount.minor(),
                    held.hold.captured.minor(),
                    held.hold.status.number(),
                    at,
                    held.hold.deadline.map(Timestamp::micros),
                    place.reference.clone(),
                    (!place.metadata.is_empty()).then(|| json(&place.metadata)),
                    held.content,
                    ended_by,
                    ended_at,
                );
            }
            Made::Void => {}
        }
    }

    fn opened(&mut self, open: &OpenAccount, receipt: &Receipt) {
        self.accounts.row(
            receipt.sequence as i64,
            open.id.as_str().to_owned(),
            open.owner.as_ref().map(|owner| OwnerId::as_str(owner).to_owned()),
            open.currency.code().to_owned(),
            open.terms(),
            receipt.booked_at.micros(),
            open.content(),
        );
        let code = open.currency.code();
        if !self.currencies.code.iter().any(|known| known == code) {
            self.currencies.row(code.to_owned(), i64::from(open.currency.minor_units()));
        }
    }

    fn posted(&mut self, made: &MadePosting<'_>, receipt: &Receipt, book: &Book) {
        let posting = &*made.posting;
        let capture = made.capture.as_ref();
        self.postings.row(
            receipt.sequence as i64,
            posting.id.as_str().to_owned(),
            posting.kind.clone(),
            posting.reference.clone(),
            (!posting.metadata.is_empty()).then(|| json(&posting.metadata)),
            receipt.booked_at.micros(),
            posting.value_time.filter(|at| *at != receipt.booked_at).map(Timestamp::micros),
            made.reverses.as_ref().map(|(sequence, _)| *sequence as i64),
            capture.map(|capture| capture.hold as i64),
            capture.map(|capture| capture.captured),
            capture.map(|capture| capture.status.number()),
            made.content,
        );
        for (leg, entry) in receipt.entries.iter().enumerate() {
            let account = book.account(&entry.account).map_or(0, |held| held.sequence);
            let (posting, number) = (receipt.sequence as i64, entry.number as i64);
            let (amount, balance) = (entry.amount.minor(), entry.balance_after.minor());
            self.entries.push((account as i64, number, posting, leg as i64, amount, balance));
        }
    }
}

fn ended(held: &HeldHold) -> (Option<i64>, Option<i64>) {
    (held.ended.map(|(by, _)| by as i64), held.ended.map(|(_, at)| at.micros()))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Our own types have text keys and no failing serializer.
    serde_json::to_string(value).unwrap_or_default()
}
