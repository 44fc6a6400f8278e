//! A ledger in which something happens between two reads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::SqliteLedger;
use bank_stores::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, Entry, Hold, HoldId, OpenHolds, OwnerId, Period,
    PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use bank_stores::outbox::{Edge, Events, Position, ShardId};
use bank_stores::{
    Consistency, Ledger, LedgerExt as _, ManualClock, Money, Outbox, Page, PageRequest, Result, Timestamp,
};

/// After which first read something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Account,
    Statement,
}

/// A ledger in which something happens after a read.
#[derive(Debug)]
pub struct Meanwhile {
    pub inner: Arc<SqliteLedger>,
    pub clock: ManualClock,
    pub after: After,
    pub then: Mutex<Vec<Command>>,
}

impl Meanwhile {
    async fn happens(&self, after: After) -> Result<()> {
        if after == self.after {
            let then = std::mem::take(&mut *self.then.lock().unwrap());
            for command in then {
                self.clock.advance(Duration::from_micros(1));
                self.inner.execute_one(command).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for Meanwhile {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        self.inner.execute(commands).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        self.inner.receipt(id).await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        let read = self.inner.account(id, read).await;
        self.happens(After::Account).await?;
        read
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        self.inner.accounts(owner, page, read).await
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        self.inner.hold(id, read).await
    }

    async fn open_holds(&self, id: &AccountId, page: PageRequest, read: Consistency) -> Result<OpenHolds> {
        self.inner.open_holds(id, page, read).await
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        self.inner.posting(id, read).await
    }

    async fn entries(&self, id: &AccountId, page: PageRequest, read: Consistency) -> Result<Page<Entry>> {
        self.inner.entries(id, page, read).await
    }

    async fn balance_at(&self, id: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        self.inner.balance_at(id, at, read).await
    }

    async fn statement(
        &self,
        id: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        let read = self.inner.statement(id, period, page, read).await;
        self.happens(After::Statement).await?;
        read
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.inner.trial_balance(read).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        self.inner.chain().await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        self.inner.verify(kept, progress).await
    }
}

#[async_trait]
impl Outbox for Meanwhile {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.inner.shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.inner.edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        self.inner.events(after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.inner.consumed(consumer, position).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.inner.positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.inner.forget_consumer(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.inner.forget_events(before).await
    }
}
