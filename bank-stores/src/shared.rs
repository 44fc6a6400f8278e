//! Every role is implemented for a shared store, so that what `connect` gives may stand wherever a store does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

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
impl<O: Outbox + ?Sized> Outbox for Arc<O> {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        (**self).shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        (**self).edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        (**self).events(after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        (**self).consumed(consumer, position).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        (**self).positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        (**self).forget_consumer(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        (**self).forget_events(before).await
    }
}

#[async_trait]
impl<I: Items + ?Sized> Items for Arc<I> {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        (**self).get(key, read).await
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        (**self).commit(transactions).await
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        (**self).committed(id).await
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        (**self).settle(id).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        (**self).query(query).await
    }
}

#[async_trait]
impl<D: Documents + ?Sized> Documents for Arc<D> {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        (**self).declare(collection).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        (**self).get(collection, id, read).await
    }

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        (**self).write(collection, writes).await
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        (**self).find(collection, find).await
    }
}

#[async_trait]
impl<L: Ledger + ?Sized> Ledger for Arc<L> {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        (**self).execute(commands).await
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        (**self).receipt(id).await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        (**self).account(id, read).await
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        (**self).accounts(owner, page, read).await
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        (**self).hold(id, read).await
    }

    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        (**self).open_holds(account, page, read).await
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        (**self).posting(id, read).await
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        (**self).entries(account, page, read).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        (**self).balance_at(account, at, read).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        (**self).statement(account, period, page, read).await
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        (**self).trial_balance(read).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        (**self).chain().await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        (**self).verify(kept, progress).await
    }
}

#[async_trait]
impl<C: Cache + ?Sized> Cache for Arc<C> {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        (**self).get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        (**self).set(key, value, version, ttl).await
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        (**self).remove(key, version, ttl).await
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        (**self).publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        (**self).subscribe(channel).await
    }
}

#[async_trait]
impl<L: Limits + ?Sized> Limits for Arc<L> {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        (**self).take(group, charges).await
    }
}

#[async_trait]
impl<O: Once + ?Sized> Once for Arc<O> {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        (**self).claim(key, value, ttl).await
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        (**self).release(key, value).await
    }

    fn strength(&self) -> Strength {
        (**self).strength()
    }
}
