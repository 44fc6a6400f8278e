//! The ledger in a PostgreSQL database.

mod columns;
mod group;
mod history;
mod known;
mod load;
mod locked;
mod outbox;
mod ready;
mod schema;
mod statement;
mod verify;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row};
use tokio::task::JoinHandle;

use super::AuroraOptions;
use super::database::Database;
use super::error::{damaged, from_sqlx};
use crate::ledger::chain::{self, verify};
use crate::ledger::reading::{direction_name, no_account, no_hold, page_start};
use crate::ledger::rows;
use crate::ledger::work::{Work, execute, keep, one};
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, CurrencyTotal, Entry, Hold, HoldId, HoldStatus,
    OwnerId, Period, Progress, Receipt, Statement, TrialBalance, Verified, refusal,
};
use crate::writer::Writer;
use crate::{Consistency, Cursor, Direction, Error, Ledger, Money, Page, PageRequest, Result, Timestamp};
use columns::{select_accounts, select_holds};
use group::LedgerGroup;

/// The ledger in a PostgreSQL database. Any number of processes may open one.
#[derive(Debug)]
pub struct AuroraLedger {
    database: Arc<Database>,
    writer: Arc<Writer<LedgerGroup>>,
    /// What is done beside the callers' commands, until the ledger is dropped.
    keeper: JoinHandle<()>,
}

impl AuroraLedger {
    /// Connects, brings the tables to the newest version, and starts a writer on the current tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` where there is no server that takes writes, `Denied` where it does not let this user in, or where the
    /// tables are those of a newer program.
    pub async fn open(options: AuroraOptions) -> Result<Self> {
        let limit = options.group;
        let database = Database::open(options, schema::STEPS).await?;
        let writer = Arc::new(Writer::start(LedgerGroup::open(database.clone()).await?, limit));
        let keeper = tokio::spawn(keep(database.clone(), Arc::downgrade(&writer)));
        Ok(Self { database, writer, keeper })
    }

    /// Executes what is waiting and closes the connections; later calls are `Unavailable`.
    pub async fn close(&self) {
        self.keeper.abort();
        self.writer.close().await;
    }

    /// Has the writer do something that is no command.
    async fn work(&self, work: Work) -> Result<u64> {
        one(&self.writer, work).await
    }

    fn now(&self) -> Timestamp {
        self.database.options().clock.now()
    }
}

/// The outcome of a command as it stands.
async fn find(connection: &mut PgConnection, id: &CommandId) -> Result<Option<Receipt>> {
    let sequence = |table: &'static str| match table {
        "postings" => "SELECT sequence FROM postings WHERE id = $1",
        _ => "SELECT sequence FROM changes WHERE id = $1",
    };
    let found = match id {
        CommandId::Account(id) => {
            let sql = select_accounts!("accounts a", "WHERE a.id = $1");
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
            let sql = select_holds!("holds h", "WHERE h.id = $1");
            let query = sqlx::query(sql).bind(hold.as_str());
            let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
            let held = row.as_ref().map(rows::hold).transpose()?;
            held.and_then(|held| held.receipt(id))
        }
    };
    if found.is_some() {
        return Ok(found);
    }
    let query = sqlx::query_scalar("SELECT error FROM refusals WHERE id = $1").bind(id.to_string());
    let refused: Option<String> = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
    refused.map_or(Ok(None), |text| Err(refusal::from_text(&text).map_err(damaged)?))
}

impl Drop for AuroraLedger {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl Ledger for AuroraLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        execute(&self.writer, commands).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        let look = async || {
            let mut connection = self.database.reader(Consistency::Current).await?;
            find(&mut connection, id).await
        };
        let found = look().await?;
        if found.is_some() {
            return Ok(found);
        }
        self.work(Work::Fence).await?;
        look().await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        let sql = select_accounts!("accounts a", "WHERE a.id = $1");
        let query = sqlx::query(sql).bind(id.as_str());
        let mut connection = self.database.reader(read).await?;
        let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
        let Some(row) = row else { return Err(no_account(id)) };
        let held = rows::account(&row)?;
        self.without_due(&mut connection, vec![held.account]).await.map(|mut accounts| accounts.remove(0))
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        let query = ["ledger.accounts", owner.as_str(), direction_name(page.direction)];
        let (from, limit) = page_start(&page, &query)?;
        let sql = match page.direction {
            Direction::Forward => {
                select_accounts!(
                    "accounts a",
                    "WHERE a.owner = $1 AND a.sequence > $2 ORDER BY a.sequence LIMIT $3"
                )
            }
            Direction::Backward => {
                select_accounts!(
                    "accounts a",
                    "WHERE a.owner = $1 AND a.sequence < $2 ORDER BY a.sequence DESC LIMIT $3"
                )
            }
        };
        let mut connection = self.database.reader(read).await?;
        let rows = sqlx::query(sql)
            .bind(owner.as_str())
            .bind(from)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        let held = rows.iter().map(rows::account).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(held, page.limit, |last| Cursor::new(&query, &last.sequence.to_string()));
        let page = page.map(|held| held.account);
        Ok(Page { items: self.without_due(&mut connection, page.items).await?, next: page.next })
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        let sql = select_holds!("holds h", "WHERE h.id = $1");
        let query = sqlx::query(sql).bind(id.as_str());
        let mut connection = self.database.reader(read).await?;
        let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
        let Some(row) = row else { return Err(no_hold(id)) };
        let hold = rows::hold(&row)?.hold;
        let captured = hold.captured.minor();
        Ok(if hold.is_due(self.now()) { hold.with(captured, HoldStatus::Expired) } else { hold })
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        let query = ["ledger.entries", account.as_str(), direction_name(page.direction)];
        page_start(&page, &query)?;
        let mut connection = self.database.reader(read).await?;
        self.entries_between(&mut connection, account, (0, i64::MAX), &page, &query).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        let mut connection = self.database.reader(read).await?;
        self.balance_as_of(&mut connection, account, at).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        period.validate()?;
        page.validate()?;
        let mut connection = self.database.reader(read).await?;
        self.statement_of(&mut connection, account, period, &page).await
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        // One statement, so that it is one moment; it reads everything, and takes as long as that does.
        let mut connection = self.database.reader(read).await?;
        let mut connection = connection.begin().await.map_err(from_sqlx)?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *connection).await.map_err(from_sqlx)?;
        let rows = sqlx::query(
            "WITH moved AS (
                 SELECT a.currency, sum(e.amount) FILTER (WHERE e.amount < 0) AS debits,
                        sum(e.amount) FILTER (WHERE e.amount > 0) AS credits, count(DISTINCT e.posting) AS postings
                 FROM entries e JOIN accounts a ON a.sequence = e.account GROUP BY a.currency
             )
             SELECT a.currency, count(*), sum(b.balance)::text, coalesce(max(m.debits), 0)::text,
                    coalesce(max(m.credits), 0)::text, coalesce(max(m.postings), 0), (SELECT sequence FROM state)
             FROM accounts a JOIN balances b ON b.account = a.sequence LEFT JOIN moved m USING (currency)
             GROUP BY a.currency ORDER BY a.currency COLLATE \"C\"",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
        let mut totals = TrialBalance::default();
        for row in &rows {
            let whole = |column: usize| -> Result<i128> {
                row.get::<&str, _>(column).parse().map_err(|_| damaged(Error::invalid("amount", "no sum")))
            };
            let mut total = CurrencyTotal::zero(row.get::<&str, _>(0).parse().map_err(damaged)?);
            total.accounts = row.get::<i64, _>(1) as u64;
            (total.total, total.debits, total.credits) = (whole(2)?, -whole(3)?, whole(4)?);
            total.postings = row.get::<i64, _>(5) as u64;
            totals.sequence = row.get::<i64, _>(6) as u64;
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
