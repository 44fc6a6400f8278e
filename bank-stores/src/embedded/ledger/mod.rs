//! The ledger in a SQLite file.

mod backup;
mod columns;
mod engine;
mod history;
mod load;
mod schema;
mod verify;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::database::Database;
use super::error::{damaged, from_sqlx};
use super::writer::{SqliteGroup, start};
use super::{SqliteOptions, outbox};
use crate::ledger::chain::{self, verify};
use crate::ledger::reading::{direction_name, no_account, no_hold, page_start};
use crate::ledger::rows;
use crate::ledger::work::{Work, execute, forget, keep, one};
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, ConsumerId, CurrencyTotal, Entry, Hold, HoldId,
    HoldStatus, OwnerId, Period, Progress, Receipt, Statement, TrialBalance, Verified, refusal,
};
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::writer::Writer;
use crate::{Consistency, Cursor, Direction, Ledger, Money, Outbox, Page, PageRequest, Result, Timestamp};
use columns::{select_accounts, select_holds};
use engine::LedgerEngine;

/// The ledger in a SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    database: Arc<Database>,
    /// None where the store is read only.
    writer: Option<Arc<Writer<SqliteGroup<LedgerEngine>>>>,
    /// What is done beside the callers' commands, until the ledger is dropped.
    keeper: Option<JoinHandle<()>>,
}

impl SqliteLedger {
    /// Opens the ledger and starts its writer on the current tokio runtime.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let clock = options.clock.clone();
        let database = Database::open(options, schema::SCHEMA).await?;
        if database.options().read_only {
            return Ok(Self { database, writer: None, keeper: None });
        }
        let writer = Arc::new(start(database.clone(), LedgerEngine::new(clock)).await?);
        let keeper = tokio::spawn(keep(database.clone(), Arc::downgrade(&writer)));
        Ok(Self { database, writer: Some(writer), keeper: Some(keeper) })
    }

    /// Executes what is waiting and closes the file; later calls are `Unavailable`.
    pub async fn close(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
        match &self.writer {
            Some(writer) => writer.close().await,
            None => self.database.readers().close().await,
        }
    }

    /// Has the writer do something that is no command.
    async fn work(&self, work: Work) -> Result<u64> {
        one(self.writer()?, work).await
    }

    fn writer(&self) -> Result<&Writer<SqliteGroup<LedgerEngine>>> {
        self.writer.as_deref().ok_or_else(|| self.database.read_only_refusal())
    }

    fn now(&self) -> Timestamp {
        self.database.options().clock.now()
    }
}

/// The outcome of a command as it stands.
async fn find(connection: &mut SqliteConnection, id: &CommandId) -> Result<Option<Receipt>> {
    let sequence = |table: &'static str| match table {
        "postings" => "SELECT sequence FROM postings WHERE id = ?1",
        _ => "SELECT sequence FROM changes WHERE id = ?1",
    };
    let found = match id {
        CommandId::Account(id) => {
            let sql = select_accounts!("accounts a", "WHERE a.id = ?1");
            let query = sqlx::query(sql).bind(id.as_str());
            let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
            row.as_ref().map(rows::opened).transpose()?
        }
        CommandId::Posting(id) => {
            let query = sqlx::query_scalar(sequence("postings")).bind(id.as_str());
            let found: Option<i64> = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
            match found {
                Some(found) => load::recall(connection, &[found as u64]).await?.remove(&(found as u64)),
                None => None,
            }
        }
        CommandId::Change(id) => {
            let query = sqlx::query_scalar(sequence("changes")).bind(id.as_str());
            let found: Option<i64> = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
            match found {
                Some(found) => {
                    load::recall_changes(connection, &[found as u64]).await?.remove(&(found as u64))
                }
                None => None,
            }
        }
        CommandId::Hold(hold) | CommandId::Void(hold) => {
            let sql = select_holds!("holds h", "WHERE h.id = ?1");
            let query = sqlx::query(sql).bind(hold.as_str());
            let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
            let held = row.as_ref().map(rows::hold).transpose()?;
            held.and_then(|held| held.receipt(id))
        }
    };
    if found.is_some() {
        return Ok(found);
    }
    let query = sqlx::query_scalar("SELECT error FROM refusals WHERE id = ?1").bind(id.to_string());
    let refused: Option<String> = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
    refused.map_or(Ok(None), |text| Err(refusal::from_text(&text).map_err(damaged)?))
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        let Some(writer) = &self.writer else {
            return commands.iter().map(|_| Err(self.database.read_only_refusal())).collect();
        };
        execute(writer, commands).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        let look = async || {
            let mut connection = self.database.readers().acquire().await.map_err(from_sqlx)?;
            find(&mut connection, id).await
        };
        let found = look().await?;
        if found.is_some() || self.writer.is_none() {
            return Ok(found);
        }
        self.work(Work::Fence).await?;
        look().await
    }

    async fn account(&self, id: &AccountId, _read: Consistency) -> Result<Account> {
        let sql = select_accounts!("accounts a", "WHERE a.id = ?1");
        let query = sqlx::query(sql).bind(id.as_str());
        let row = query.fetch_optional(self.database.readers()).await.map_err(from_sqlx)?;
        let Some(row) = row else { return Err(no_account(id)) };
        let held = rows::account(&row)?;
        self.without_due(vec![held.account]).await.map(|mut accounts| accounts.remove(0))
    }

    async fn accounts(
        &self,
        owner: &OwnerId,
        page: PageRequest,
        _read: Consistency,
    ) -> Result<Page<Account>> {
        let query = ["ledger.accounts", owner.as_str(), direction_name(page.direction)];
        let (from, limit) = page_start(&page, &query)?;
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
        let held = rows.iter().map(rows::account).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(held, page.limit, |last| Cursor::new(&query, &last.sequence.to_string()));
        let page = page.map(|held| held.account);
        Ok(Page { items: self.without_due(page.items).await?, next: page.next })
    }

    async fn hold(&self, id: &HoldId, _read: Consistency) -> Result<Hold> {
        let sql = select_holds!("holds h", "WHERE h.id = ?1");
        let query = sqlx::query(sql).bind(id.as_str());
        let row = query.fetch_optional(self.database.readers()).await.map_err(from_sqlx)?;
        let Some(row) = row else {
            return Err(no_hold(id));
        };
        let hold = rows::hold(&row)?.hold;
        let captured = hold.captured.minor();
        Ok(if hold.is_due(self.now()) { hold.with(captured, HoldStatus::Expired) } else { hold })
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        _read: Consistency,
    ) -> Result<Page<Entry>> {
        let query = ["ledger.entries", account.as_str(), direction_name(page.direction)];
        self.entries_between(account, (0, i64::MAX), &page, &query).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, _read: Consistency) -> Result<Money> {
        self.balance_as_of(account, at).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        _read: Consistency,
    ) -> Result<Statement> {
        period.validate()?;
        page.validate()?;
        self.statement_of(account, period, &page).await
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

    async fn chain(&self) -> Result<ChainHead> {
        chain::head(&*self.database).await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        verify(&*self.database, kept, progress).await
    }
}

/// How the ledger's events are asked for: there is one shard, and the newest event is never forgotten.
const EVENTS: outbox::Tables = outbox::Tables {
    shards: "SELECT 0",
    bounds: "SELECT coalesce(max(position), 0), coalesce(min(position) - 1, 0) FROM outbox HAVING ?1 = 0",
    events: concat!(
        "SELECT position, id, 'ledger', topic, at, payload, ",
        outbox::epoch_of!("o.position"),
        " FROM outbox o WHERE ?1 = 0 AND position > ?2 ORDER BY position LIMIT ?3"
    ),
    positions: "SELECT 0, position FROM consumers WHERE id = ?1",
};

impl SqliteLedger {
    fn outbox(&self) -> outbox::Reader<'_> {
        outbox::Reader { pool: self.database.readers(), tables: &EVENTS }
    }
}

#[async_trait]
impl Outbox for SqliteLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.outbox().shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.outbox().edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let written = self.writer.as_ref().map(|writer| writer.position());
        self.outbox().events(written, *after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.outbox().check_kept(consumer, *position).await?;
        let work = Work::Consumed(ConsumerId::new(consumer)?, position.number() as i64);
        self.work(work).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.outbox().positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.work(Work::Leave(ConsumerId::new(consumer)?)).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        forget(self.writer()?, before).await
    }
}
