//! The ledger in a PostgreSQL database.

mod group;
mod known;
mod lease;
mod locked;
mod outbox;
mod ready;
mod schema;
mod session;
mod statement;
mod watcher;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sqlx::Connection as _;
use tokio::task::JoinHandle;

use super::AuroraOptions;
use super::database::Database;
use super::error::from_sqlx;
use crate::ledger::chain::{self, verify};
use crate::ledger::sql::load::find;
use crate::ledger::sql::totals::trial_balance;
use crate::ledger::sql::{Reports, Store as _, lookup, reads};
use crate::ledger::work::{Work, execute, keep, one};
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, Entry, Hold, HoldId, OpenHolds, OwnerId, Period,
    PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use crate::writer::Writer;
use crate::{Consistency, Ledger, Money, Page, PageRequest, Result};
use group::LedgerGroup;
use lease::KeeperLease;
pub(super) use session::{DIALECT, PgSession};
use watcher::Watcher;
pub(super) use write::Groups;

/// The ledger in a PostgreSQL database. Any number of processes may open one.
#[derive(Debug)]
pub struct AuroraLedger {
    database: Arc<Database>,
    writer: Arc<Writer<LedgerGroup>>,
    /// Set whenever a caller writes: the process that does so is the best one to do the ledger's own work.
    used: Arc<AtomicBool>,
    /// What is done beside the callers' commands, until the ledger is dropped.
    keeper: JoinHandle<()>,
    /// Tells who waits for events of those of other processes.
    watcher: Watcher,
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
        reads::check_currencies(&*database).await?;
        let writer = Arc::new(Writer::start(LedgerGroup::open(database.clone()).await?, limit));
        let used = Arc::new(AtomicBool::new(false));
        let lease = KeeperLease::new(database.clone(), used.clone());
        let keeper = tokio::spawn(keep(database.clone(), Arc::downgrade(&writer), lease));
        let watcher = Watcher::start(database.clone());
        Ok(Self { database, writer, used, keeper, watcher })
    }

    /// Executes what is waiting and closes the connections; later calls are `Unavailable`.
    pub async fn close(&self) {
        self.keeper.abort();
        self.watcher.stop();
        self.writer.close().await;
    }

    /// Has the writer do something that is no command.
    async fn work(&self, work: Work) -> Result<u64> {
        one(&self.writer, work).await
    }

    async fn find(&self, id: &CommandId) -> Result<Option<Receipt>> {
        find(&mut self.database.session(Consistency::Current).await?, id).await
    }
}

impl Drop for AuroraLedger {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl Ledger for AuroraLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        self.used.store(true, Ordering::Relaxed);
        execute(&self.writer, commands).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        let found = self.find(id).await?;
        if found.is_some() {
            return Ok(found);
        }
        self.work(Work::Fence).await?;
        self.find(id).await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        reads::account(&*self.database, id, read).await
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        reads::accounts(&*self.database, owner, page, read).await
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        reads::hold(&*self.database, id, read).await
    }

    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        lookup::open_holds(&*self.database, account, page, read).await
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        lookup::posting(&*self.database, id, read).await
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        reads::entries(&*self.database, account, page, read).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        reads::balance_at(&*self.database, account, at, read).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        reads::statement(&*self.database, account, period, page, read).await
    }

    async fn trial_balance(&self, _read: Consistency) -> Result<TrialBalance> {
        let mut session = self.database.report().await?;
        let mut transaction = session.connection.begin().await.map_err(from_sqlx)?;
        // Only what is not in the chain yet is read of large tables, by its keys.
        let by_keys = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
        sqlx::raw_sql(by_keys).execute(&mut *transaction).await.map_err(from_sqlx)?;
        trial_balance(&mut self.database.connected(&mut *transaction)).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        chain::head(&*self.database).await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        verify(&Reports(self.database.clone()), kept, progress).await
    }
}
