//! The ledger in a SQLite file.

mod backup;
mod engine;
mod schema;
mod session;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::SqliteOptions;
use super::database::Database;
use super::outbox::Waiting;
use super::writer::{SqliteGroup, start};
use crate::ledger::chain::{self, verify};
use crate::ledger::sql::load::find;
use crate::ledger::sql::totals::trial_balance;
use crate::ledger::sql::{Reports, Store as _, lookup, outbox, reads};
use crate::ledger::work::{OnlyWriter, Work, execute, keep, one};
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, ConsumerId, Entry, Hold, HoldId, OpenHolds,
    OwnerId, Period, PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::writer::Writer;
use crate::{Consistency, Ledger, Money, Outbox, Page, PageRequest, Result, Timestamp};
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
        let database = Database::open(options, schema::SCHEMA).await?;
        reads::check_currencies(&*database).await?;
        if database.options().read_only {
            return Ok(Self { database, writer: None, keeper: None });
        }
        let writer = Arc::new(start(database.clone(), LedgerEngine::new(database.clock().clone())).await?);
        let keeper = tokio::spawn(keep(database.clone(), Arc::downgrade(&writer), OnlyWriter));
        Ok(Self { database, writer: Some(writer), keeper: Some(keeper) })
    }

    /// Executes what is waiting and closes the file; later calls are `Unavailable`.
    pub async fn close(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
        match &self.writer {
            Some(writer) => writer.close().await,
            None => self.database.close_readers().await,
        }
    }

    /// Has the writer do something that is no command.
    async fn work(&self, work: Work) -> Result<u64> {
        one(self.writer()?, work).await
    }

    fn writer(&self) -> Result<&Writer<SqliteGroup<LedgerEngine>>> {
        self.writer.as_deref().ok_or_else(|| self.database.read_only_refusal())
    }

    async fn find(&self, id: &CommandId) -> Result<Option<Receipt>> {
        find(&mut self.database.session(Consistency::Current).await?, id).await
    }
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
        let found = self.find(id).await?;
        if found.is_some() || self.writer.is_none() {
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
        trial_balance(&mut self.database.report().await?).await
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

#[async_trait]
impl Outbox for SqliteLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        Ok(outbox::shards())
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        outbox::edge(&*self.database, shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let written = self.writer.as_ref().map(|writer| writer.position());
        let mut waiting = Waiting::up_to(wait, written)?;
        loop {
            let over = waiting.is_over();
            let now = outbox::events_now(&*self.database, *after, limit).await?;
            if over || !now.events.is_empty() {
                return Ok(now);
            }
            waiting.behind(after.number()).await;
        }
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        let consumer = ConsumerId::new(consumer)?;
        outbox::check_kept(&*self.database, *position).await?;
        self.work(Work::Consumed(consumer, position.number() as i64)).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        outbox::positions(&*self.database, &ConsumerId::new(consumer)?).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.work(Work::Leave(ConsumerId::new(consumer)?)).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.work(Work::Forget(before)).await
    }
}
