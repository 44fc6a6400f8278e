//! How the ledger's commands become rows: a fixed number of statements a group, whatever its size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::database::Schema;
use super::error::{damaged, from_sqlx};
use super::json::Rows;
use super::writer::Engine;
use crate::ledger::book::{Book, Held, Outcome};
use crate::ledger::event::{self, Opened, Posted};
use crate::ledger::{
    Account, AccountId, AccountStatus, Command, Entry, Floor, OpenAccount, OwnerId, PostingId, Receipt,
};
use crate::{Clock, Currency, Error, Money, Result, Timestamp};

/// Sequences name accounts and postings inside the file. The balance stands apart from the account, since it is what
/// changes: a short row that is replaced by its key.
pub(super) const SCHEMA: Schema = Schema {
    name: "ledger",
    application: 0x6261_6c01,
    migrations: &["
CREATE TABLE accounts (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, name TEXT, currency TEXT NOT NULL,
    status INTEGER NOT NULL, floor INTEGER, opened_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE TABLE balances (
    account INTEGER PRIMARY KEY REFERENCES accounts, balance INTEGER NOT NULL, entries INTEGER NOT NULL
) STRICT;
CREATE TABLE postings (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at INTEGER NOT NULL, value_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE entries (
    posting INTEGER NOT NULL REFERENCES postings, leg INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts,
    number INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (posting, leg)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT"],
};

/// A query for accounts: `from` yields `a`, an account.
macro_rules! select_accounts {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.owner, a.name, a.currency, a.status, a.floor, b.balance, b.entries, a.opened_at, ",
            "a.sequence, a.content FROM ",
            $from,
            " CROSS JOIN balances b ON b.account = a.sequence ",
            $rest
        )
    };
}

/// A query for entries: `from` yields `e`, an entry.
macro_rules! select_entries {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, e.number, p.id, p.kind, p.reference, e.amount, e.balance, a.currency, p.booked_at, ",
            "p.value_at, p.sequence FROM ",
            $from,
            " CROSS JOIN postings p ON p.sequence = e.posting CROSS JOIN accounts a ON a.sequence = e.account ",
            $rest
        )
    };
}

pub(super) use {select_accounts, select_entries};

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct LedgerEngine {
    clock: Arc<dyn Clock>,
    sequence: u64,
    booked_at: Timestamp,
}

impl LedgerEngine {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sequence: 0, booked_at: Timestamp::EPOCH }
    }
}

impl Engine for LedgerEngine {
    type Command = Command;
    type Outcome = Receipt;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        // Every command that took effect wrote one event, at its sequence.
        let row = sqlx::query("SELECT position, at FROM outbox ORDER BY position DESC LIMIT 1")
            .fetch_optional(connection)
            .await
            .map_err(from_sqlx)?;
        (self.sequence, self.booked_at) = match row {
            Some(row) => (row.get::<i64, _>(0) as u64, Timestamp::from_micros(row.get(1))),
            None => (0, Timestamp::from_micros(i64::MIN)),
        };
        Ok(())
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Command],
    ) -> Result<Vec<Result<Receipt>>> {
        // Booking time never goes back, even where the clock does.
        let booked_at = self.clock.now().max(self.booked_at);
        let mut book = Book::new(self.sequence, booked_at);
        load_postings(connection, commands, &mut book).await?;
        load_accounts(connection, commands, &mut book).await?;
        let outcomes = book.evaluate(commands);
        if book.sequence() > self.sequence {
            write(connection, commands, &outcomes, &book).await?;
        }
        let recalled: Vec<u64> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Recall(sequence) => Some(*sequence),
                _ => None,
            })
            .collect();
        let stored = if recalled.is_empty() { HashMap::new() } else { recall(connection, &recalled).await? };
        (self.sequence, self.booked_at) = (book.sequence(), booked_at);
        Ok(outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Fresh(receipt) | Outcome::Replayed(receipt) => Ok(receipt),
                Outcome::Refused(error) => Err(error),
                Outcome::Recall(sequence) => match stored.get(&sequence) {
                    Some(receipt) => Ok(receipt.clone().replay()),
                    None => Err(damaged(Error::invalid("entries", "the posting has none"))),
                },
            })
            .collect())
    }

    fn position(&self) -> u64 {
        self.sequence
    }
}

async fn load_postings(
    connection: &mut SqliteConnection,
    commands: &[Command],
    book: &mut Book,
) -> Result<()> {
    let mut ids = Rows::new();
    for command in commands {
        if let Command::Post(posting) = command {
            ids.value(posting.id.as_str());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT p.id, p.sequence, p.content FROM jsonb_each(?1) j CROSS JOIN postings p ON p.id = j.value",
    )
    .bind(ids.json())
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    for row in &rows {
        let id = PostingId::new(row.get::<&str, _>(0)).map_err(damaged)?;
        book.load_posting(id, row.get::<i64, _>(1) as u64, content(row.get(2))?);
    }
    Ok(())
}

async fn load_accounts(
    connection: &mut SqliteConnection,
    commands: &[Command],
    book: &mut Book,
) -> Result<()> {
    let mut seen: HashSet<&AccountId> = HashSet::new();
    let mut ids = Rows::new();
    let mut add = |id| {
        if seen.insert(id) {
            ids.value(id.as_str());
        }
    };
    for command in commands {
        match command {
            Command::Open(open) => add(&open.id),
            Command::Post(posting) => posting.legs.iter().for_each(|leg| add(&leg.account)),
        }
    }
    let sql = select_accounts!("jsonb_each(?1) j CROSS JOIN accounts a ON a.id = j.value", "");
    let rows = sqlx::query(sql).bind(ids.json()).fetch_all(connection).await.map_err(from_sqlx)?;
    for row in &rows {
        let held = account(row)?;
        book.load_account(held.account, held.sequence, held.content);
    }
    Ok(())
}

/// Writes what the group did.
async fn write(
    connection: &mut SqliteConnection,
    commands: &[Command],
    outcomes: &[Outcome],
    book: &Book,
) -> Result<()> {
    let (mut accounts, mut postings, mut entries) = (Rows::new(), Rows::new(), Rows::new());
    let (mut balances, mut outbox) = (Rows::new(), Rows::new());
    for (command, outcome) in commands.iter().zip(outcomes) {
        let Outcome::Fresh(receipt) = outcome else { continue };
        let event = outbox.row().unsigned(receipt.sequence).integer(receipt.booked_at.micros());
        match command {
            Command::Open(open) => {
                event
                    .text(&event::opened_id(&open.id))
                    .text(event::OPENED)
                    .json_bytes(&Opened::new(open, receipt.booked_at));
                accounts
                    .row()
                    .unsigned(receipt.sequence)
                    .text(open.id.as_str())
                    .optional_text(open.owner.as_ref().map(OwnerId::as_str))
                    .optional_text(open.name.as_deref())
                    .text(open.currency.code())
                    .optional_integer(open.floor.minor())
                    .integer(receipt.booked_at.micros())
                    .bytes(&open.content());
            }
            Command::Post(posting) => {
                let whose = |id: &AccountId| match book.held(id) {
                    Some(held) => (held.account.owner.as_ref(), held.account.name.as_deref()),
                    None => (None, None),
                };
                event
                    .text(&event::posted_id(&posting.id))
                    .text(&format!("posting.{}", posting.kind))
                    .json_bytes(&Posted::new(posting, &receipt.entries, receipt.booked_at, whose));
                let row = postings
                    .row()
                    .unsigned(receipt.sequence)
                    .text(posting.id.as_str())
                    .text(&posting.kind)
                    .optional_text(posting.reference.as_deref());
                let row = if posting.metadata.is_empty() {
                    row.optional_text(None)
                } else {
                    row.json(&posting.metadata)
                };
                row.integer(receipt.booked_at.micros())
                    .integer(posting.value_time.unwrap_or(receipt.booked_at).micros())
                    .bytes(&posting.content());
                for (leg, entry) in receipt.entries.iter().enumerate() {
                    let account = book.held(&entry.account).map_or(0, |held| held.sequence);
                    entries
                        .row()
                        .unsigned(receipt.sequence)
                        .unsigned(leg as u64)
                        .unsigned(account)
                        .unsigned(entry.number)
                        .integer(entry.amount.minor())
                        .integer(entry.balance_after.minor());
                }
            }
        }
    }
    for held in book.changed() {
        balances
            .row()
            .unsigned(held.sequence)
            .integer(held.account.balance.minor())
            .unsigned(held.account.entry_count);
    }
    let statements = [
        (
            "INSERT INTO accounts (sequence, id, owner, name, currency, status, floor, opened_at, content)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, 0, value->>5, value->>6,
                    substr(?2, value->>7, value->>8) FROM jsonb_each(?1)",
            accounts,
        ),
        (
            "INSERT INTO balances (account, balance, entries)
             SELECT value->>0, value->>1, value->>2 FROM jsonb_each(?1) WHERE true
             ON CONFLICT (account) DO UPDATE SET balance = excluded.balance, entries = excluded.entries",
            balances,
        ),
        (
            "INSERT INTO postings (sequence, id, kind, reference, metadata, booked_at, value_at, content)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6,
                    substr(?2, value->>7, value->>8) FROM jsonb_each(?1)",
            postings,
        ),
        (
            "INSERT INTO entries (posting, leg, account, number, amount, balance)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_each(?1)",
            entries,
        ),
        (
            "INSERT INTO outbox (position, at, id, topic, payload)
             SELECT value->>0, value->>1, value->>2, value->>3,
                    CAST(substr(?2, value->>4, value->>5) AS TEXT) FROM jsonb_each(?1)",
            outbox,
        ),
    ];
    for (sql, rows) in statements {
        if !rows.is_empty() {
            let (json, bytes) = rows.finish();
            let query = sqlx::query(sql).bind(json);
            let query = if sql.contains("?2") { query.bind(bytes) } else { query };
            query.execute(&mut *connection).await.map_err(from_sqlx)?;
        }
    }
    Ok(())
}

/// The receipts of postings that are stored, by sequence.
pub(super) async fn recall(
    connection: &mut SqliteConnection,
    sequences: &[u64],
) -> Result<HashMap<u64, Receipt>> {
    let mut wanted = Rows::new();
    for sequence in sequences.iter().collect::<HashSet<_>>() {
        wanted.row().unsigned(*sequence);
    }
    let sql = select_entries!(
        "jsonb_each(?1) j CROSS JOIN entries e ON e.posting = (j.value->>0)",
        "ORDER BY e.posting, e.leg"
    );
    let rows = sqlx::query(sql).bind(wanted.json()).fetch_all(connection).await.map_err(from_sqlx)?;
    let mut receipts: HashMap<u64, Receipt> = HashMap::new();
    for row in &rows {
        let entry = entry(row)?;
        let sequence = row.get::<i64, _>(10) as u64;
        receipts
            .entry(sequence)
            .or_insert_with(|| Receipt::posted(entry.posting.clone(), sequence, entry.booked_at, Vec::new()))
            .entries
            .push(entry);
    }
    Ok(receipts)
}

/// An account from a row of `select_accounts`.
pub(super) fn account(row: &SqliteRow) -> Result<Held> {
    let currency: Currency = row.get::<&str, _>(3).parse().map_err(damaged)?;
    let mut open = OpenAccount::new(AccountId::new(row.get::<&str, _>(0)).map_err(damaged)?, currency);
    open.owner = row.get::<Option<&str>, _>(1).map(OwnerId::new).transpose().map_err(damaged)?;
    open.name = row.get(2);
    open.floor = row.get::<Option<i64>, _>(5).map_or(Floor::None, Floor::At);
    let mut account = Account::opened(&open, Timestamp::from_micros(row.get(8)));
    account.status = match row.get::<i64, _>(4) {
        0 => AccountStatus::Open,
        1 => AccountStatus::Frozen,
        _ => AccountStatus::Closed,
    };
    account.set_balance(row.get(6), row.get::<i64, _>(7) as u64);
    Ok(Held {
        account,
        sequence: row.get::<i64, _>(9) as u64,
        content: content(row.get(10))?,
        changed: false,
    })
}

/// An entry from a row of `select_entries`.
pub(super) fn entry(row: &SqliteRow) -> Result<Entry> {
    let currency: Currency = row.get::<&str, _>(7).parse().map_err(damaged)?;
    Ok(Entry {
        account: AccountId::new(row.get::<&str, _>(0)).map_err(damaged)?,
        number: row.get::<i64, _>(1) as u64,
        posting: PostingId::new(row.get::<&str, _>(2)).map_err(damaged)?,
        kind: row.get(3),
        reference: row.get(4),
        amount: Money::from_minor(row.get(5), currency),
        balance_after: Money::from_minor(row.get(6), currency),
        booked_at: Timestamp::from_micros(row.get(8)),
        value_at: Timestamp::from_micros(row.get(9)),
    })
}

fn content(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| damaged(Error::invalid("content", "not a fingerprint")))
}
