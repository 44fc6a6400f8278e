//! Every role of the store within, call by call.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Observed;
use crate::cache::{Cached, Subscription};
use crate::documents::{Collection, Document, DocumentWrite, Find, Written};
use crate::items::{Committed, Item, Key, Query, Settled, Transaction, WriteId};
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, Entry, Hold, HoldId, OpenHolds, OwnerId, Period,
    PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use crate::limit::{NamedCharge, Verdict};
use crate::once::Strength;
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::{
    Cache, Consistency, Documents, Items, Ledger, Limits, Money, Once, Outbox, Page, PageRequest, Result,
    Timestamp,
};

#[async_trait]
impl<O: Outbox + ?Sized> Outbox for Observed<O> {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.calls.one("outbox", "shards", self.inner().shards()).await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.calls.one("outbox", "edge", self.inner().edge(shard, edge)).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        self.calls.one("outbox", "events", self.inner().events(after, limit, wait)).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.calls.one("outbox", "consumed", self.inner().consumed(consumer, position)).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.calls.one("outbox", "positions", self.inner().positions(consumer)).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.calls.one("outbox", "forget_consumer", self.inner().forget_consumer(consumer)).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.calls.one("outbox", "forget_events", self.inner().forget_events(before)).await
    }
}

#[async_trait]
impl<I: Items + ?Sized> Items for Observed<I> {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        self.calls.one("items", "get", self.inner().get(key, read)).await
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let writes = transactions.len();
        self.calls.many("items", "commit", writes, self.inner().commit(transactions)).await
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        self.calls.one("items", "committed", self.inner().committed(id)).await
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        self.calls.one("items", "settle", self.inner().settle(id)).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        self.calls.one("items", "query", self.inner().query(query)).await
    }
}

#[async_trait]
impl<D: Documents + ?Sized> Documents for Observed<D> {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        self.calls.one("documents", "declare", self.inner().declare(collection)).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        self.calls.one("documents", "get", self.inner().get(collection, id, read)).await
    }

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        let number = writes.len();
        self.calls.many("documents", "write", number, self.inner().write(collection, writes)).await
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        self.calls.one("documents", "find", self.inner().find(collection, find)).await
    }
}

#[async_trait]
impl<L: Ledger + ?Sized> Ledger for Observed<L> {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        let writes = commands.len();
        self.calls.many("ledger", "execute", writes, self.inner().execute(commands)).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        self.calls.one("ledger", "receipt", self.inner().receipt(id)).await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        self.calls.one("ledger", "account", self.inner().account(id, read)).await
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        self.calls.one("ledger", "accounts", self.inner().accounts(owner, page, read)).await
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        self.calls.one("ledger", "hold", self.inner().hold(id, read)).await
    }

    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        self.calls.one("ledger", "open_holds", self.inner().open_holds(account, page, read)).await
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        self.calls.one("ledger", "posting", self.inner().posting(id, read)).await
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        self.calls.one("ledger", "entries", self.inner().entries(account, page, read)).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        self.calls.one("ledger", "balance_at", self.inner().balance_at(account, at, read)).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        self.calls.one("ledger", "statement", self.inner().statement(account, period, page, read)).await
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.calls.one("ledger", "trial_balance", self.inner().trial_balance(read)).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        self.calls.one("ledger", "chain", self.inner().chain()).await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        self.calls.one("ledger", "verify", self.inner().verify(kept, progress)).await
    }
}

#[async_trait]
impl<C: Cache + ?Sized> Cache for Observed<C> {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        self.calls.one("cache", "get", self.inner().get(key)).await
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        self.calls.one("cache", "set", self.inner().set(key, value, version, ttl)).await
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        self.calls.one("cache", "remove", self.inner().remove(key, version, ttl)).await
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        self.calls.one("cache", "publish", self.inner().publish(channel, message)).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        self.calls.one("cache", "subscribe", self.inner().subscribe(channel)).await
    }
}

#[async_trait]
impl<L: Limits + ?Sized> Limits for Observed<L> {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        self.calls.one("limits", "take", self.inner().take(group, charges)).await
    }
}

#[async_trait]
impl<O: Once + ?Sized> Once for Observed<O> {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        self.calls.one("once", "claim", self.inner().claim(key, value, ttl)).await
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        self.calls.one("once", "release", self.inner().release(key, value)).await
    }

    fn strength(&self) -> Strength {
        self.inner().strength()
    }
}
