//! The ledger in a SQLite file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::database::Database;
use super::error::{damaged, from_sqlx};
use super::ledger_engine::{self as engine, LedgerEngine, select_accounts, select_entries};
use super::writer::Writer;
use super::{SqliteOptions, outbox};
use crate::ledger::{
    Account, AccountId, AccountStatus, Command, CommandId, CurrencyTotal, Entry, OwnerId, Receipt,
    TrialBalance,
};
use crate::{
    Consistency, Cursor, Direction, Error, ErrorKind, Event, Ledger, Page, PageRequest, Position, Result,
};

/// The ledger in a SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    database: Arc<Database>,
    /// None where the store is read only.
    writer: Option<Writer<LedgerEngine>>,
}

impl SqliteLedger {
    /// Opens the ledger and starts its writer on the current tokio runtime.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let clock = options.clock.clone();
        let database = Database::open(options, engine::SCHEMA).await?;
        let writer = match database.options().read_only {
            true => None,
            false => Some(Writer::start(database.clone(), LedgerEngine::new(clock)).await?),
        };
        Ok(Self { database, writer })
    }

    /// Executes what is waiting and closes the file; later calls are `Unavailable`.
    pub async fn close(&self) {
        match &self.writer {
            Some(writer) => writer.close().await,
            None => self.database.readers().close().await,
        }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        match &self.writer {
            Some(writer) => writer.execute(commands).await,
            None => commands.iter().map(|_| Err(self.database.read_only_refusal())).collect(),
        }
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        let mut connection = self.database.readers().acquire().await.map_err(from_sqlx)?;
        match id {
            CommandId::Account(id) => {
                let sql = select_accounts!("accounts a", "WHERE a.id = ?1");
                let row = sqlx::query(sql)
                    .bind(id.as_str())
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(from_sqlx)?;
                row.map(|row| {
                    engine::account(&row).map(|held| Receipt::opened(held.sequence, as_opened(held.account)))
                })
                .transpose()
            }
            CommandId::Posting(id) => {
                let sequence: Option<i64> = sqlx::query_scalar("SELECT sequence FROM postings WHERE id = ?1")
                    .bind(id.as_str())
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(from_sqlx)?;
                let Some(sequence) = sequence else { return Ok(None) };
                let mut receipts = engine::recall(&mut connection, &[sequence as u64]).await?;
                Ok(receipts.remove(&(sequence as u64)))
            }
        }
    }

    async fn account(&self, id: &AccountId, _read: Consistency) -> Result<Account> {
        let sql = select_accounts!("accounts a", "WHERE a.id = ?1");
        let row = sqlx::query(sql)
            .bind(id.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        match row {
            Some(row) => engine::account(&row).map(|held| held.account),
            None => {
                let message = format!("there is no account {id}");
                Err(Error::new(ErrorKind::NotFound, message).with_field("account"))
            }
        }
    }

    async fn accounts(
        &self,
        owner: &OwnerId,
        page: PageRequest,
        _read: Consistency,
    ) -> Result<Page<Account>> {
        let query = ["ledger.accounts", owner.as_str(), direction_name(page.direction)];
        let (from, limit) = start(&page, &query)?;
        let sql = match page.direction {
            Direction::Forward => {
                select_accounts!(
                    "accounts a",
                    "WHERE a.owner = ?1 AND a.sequence > ?2 ORDER BY a.sequence LIMIT ?3"
                )
            }
            Direction::Backward => {
                select_accounts!(
                    "accounts a",
                    "WHERE a.owner = ?1 AND a.sequence < ?2 ORDER BY a.sequence DESC LIMIT ?3"
                )
            }
        };
        let rows = sqlx::query(sql)
            .bind(owner.as_str())
            .bind(from)
            .bind(limit)
            .fetch_all(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let held = rows.iter().map(engine::account).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(held, page.limit, |last| Cursor::new(&query, &last.sequence.to_string()));
        Ok(page.map(|held| held.account))
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        _read: Consistency,
    ) -> Result<Page<Entry>> {
        let query = ["ledger.entries", account.as_str(), direction_name(page.direction)];
        let (from, limit) = start(&page, &query)?;
        let sql = match page.direction {
            Direction::Forward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = ?1) AND e.number > ?2
                 ORDER BY e.number LIMIT ?3"
            ),
            Direction::Backward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = ?1) AND e.number < ?2
                 ORDER BY e.number DESC LIMIT ?3"
            ),
        };
        let rows = sqlx::query(sql)
            .bind(account.as_str())
            .bind(from)
            .bind(limit)
            .fetch_all(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let entries = rows.iter().map(engine::entry).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(entries, page.limit, |last| Cursor::new(&query, &last.number.to_string())))
    }

    async fn trial_balance(&self, _read: Consistency) -> Result<TrialBalance> {
        // One statement, so that it is one moment. Sums are taken of high and low halves apart, since a sum over many
        // accounts may leave 64 bits, which SQLite refuses to add up.
        let rows = sqlx::query(
            "WITH moved AS (
                 SELECT account, amount < 0 AS debit, sum(amount >> 32) AS high, sum(amount & 4294967295) AS low
                 FROM entries GROUP BY account, debit
             ), touched AS (
                 SELECT currency, count(*) AS postings FROM (
                     SELECT DISTINCT e.posting, a.currency FROM entries e JOIN accounts a ON a.sequence = e.account
                 ) GROUP BY currency
             ), last AS (SELECT coalesce(max(position), 0) AS sequence FROM outbox)
             SELECT a.currency, count(*), sum(b.balance >> 32), sum(b.balance & 4294967295),
                    coalesce(sum(d.high), 0), coalesce(sum(d.low), 0), coalesce(sum(c.high), 0), coalesce(sum(c.low), 0),
                    coalesce((SELECT postings FROM touched t WHERE t.currency = a.currency), 0),
                    (SELECT sequence FROM last)
             FROM accounts a JOIN balances b ON b.account = a.sequence
             LEFT JOIN moved d ON d.account = a.sequence AND d.debit = 1
             LEFT JOIN moved c ON c.account = a.sequence AND c.debit = 0
             GROUP BY a.currency ORDER BY a.currency",
        )
        .fetch_all(self.database.readers())
        .await
        .map_err(from_sqlx)?;
        let mut totals = TrialBalance::default();
        for row in &rows {
            let whole = |high: usize| {
                i128::from(row.get::<i64, _>(high)) * (1 << 32) + i128::from(row.get::<i64, _>(high + 1))
            };
            let mut total = CurrencyTotal::zero(row.get::<&str, _>(0).parse().map_err(damaged)?);
            total.accounts = row.get::<i64, _>(1) as u64;
            total.total = whole(2);
            total.debits = -whole(4);
            total.credits = whole(6);
            total.postings = row.get::<i64, _>(8) as u64;
            totals.sequence = row.get::<i64, _>(9) as u64;
            totals.currencies.push(total);
        }
        Ok(totals)
    }

    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>> {
        let position = self.writer.as_ref().map(Writer::position);
        outbox::read(self.database.readers(), position, after, limit, wait).await
    }
}

/// The account as its opening left it.
fn as_opened(mut account: Account) -> Account {
    account.set_balance(0, 0);
    account.status = AccountStatus::Open;
    account
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Backward => "backward",
    }
}

/// Behind which number the page starts, and how many rows to read: one more than the page holds.
fn start(page: &PageRequest, query: &[&str]) -> Result<(i64, i64)> {
    page.validate()?;
    let from = match (&page.after, page.direction) {
        (None, Direction::Forward) => 0,
        (None, Direction::Backward) => i64::MAX,
        (Some(cursor), _) => {
            let position = cursor.position(query)?;
            position.parse().map_err(|_| Error::invalid("after", "not a cursor of this query"))?
        }
    };
    Ok((from, i64::from(page.limit) + 1))
}
