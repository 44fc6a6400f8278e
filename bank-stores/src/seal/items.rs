//! Items whose values and events are sealed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::data_keys::DataKeys;
use super::rows::is_own;
use super::sealer::{Sealer, context, parse_bytes};
use super::subjects::Subjects;
use super::values::{erased, lasting, seal_json};
use crate::items::{
    Change, Committed, Condition, Item, ItemsScan, Key, Query, Settled, Transaction, WriteId,
};
use crate::outbox::{Edge, Events, NewEvent, Position, ShardId};
use crate::{
    Consistency, Error, ErrorKind, Items, ItemsExt as _, Outbox, Page, PageRequest, Result, SystemRandom,
    Timestamp, random,
};

/// So many items are looked at between two words on how far it has come.
const PAGE: u32 = 1_000;

/// [`Items`] over others: it seals each value, and the payload of each event, with the key of its subject.
///
/// Keys of items, ids, topics and streams of events stay as they are: put nothing personal into them, but a
/// [blind index](super::Sealer::blind_index). Versions, conditions, expiry and replays are those of the store below.
///
/// | Stored | Reads as |
/// | --- | --- |
/// | sealed here | what it was |
/// | not sealed | `get`: `Damaged`, field `sealed`; otherwise as what was erased, and the log tells |
/// | not sealed, where that is [allowed](DataKeys::allow_unsealed) | itself, until it is written again or [resealed](Self::reseal_all) |
/// | sealed for another place, or changed | `get`: `Denied`, field `sealed`; otherwise as what was erased, and the log tells |
/// | sealed with a key that was shredded | `get`: `Denied`, field `erased` ([`Error::is_erased`]); left out by `query` |
/// | an event of such a key | its payload is null |
#[derive(Clone)]
pub struct SealedItems {
    inner: Arc<dyn Items>,
    keys: DataKeys,
    subjects: Arc<dyn Subjects>,
    name: Arc<str>,
}

impl SealedItems {
    /// Seals what is in `inner`. `name` is bound into each value, so that it opens in no other store: give each store its own, for
    /// good.
    pub fn new(
        inner: Arc<dyn Items>,
        keys: DataKeys,
        subjects: Arc<dyn Subjects>,
        name: impl Into<String>,
    ) -> Self {
        let name: String = name.into();
        Self { inner, keys, subjects, name: name.into() }
    }

    /// Seals the values of one partition that nobody has sealed; gives how many. It may be stopped and called again: what is sealed
    /// is passed over. An item that somebody changes at the same moment is sealed by that.
    ///
    /// Items have no list of their partitions: whoever made them knows them.
    ///
    /// # Errors
    /// Of the store and of the keys; what was sealed until then is sealed.
    pub async fn reseal(&self, partition: &str) -> Result<u64> {
        let mut sealed = 0;
        let mut query = Query::partition(partition);
        loop {
            let page = self.inner.query(&query).await?;
            for item in page.items {
                sealed += u64::from(self.reseal_one(item).await?);
            }
            match page.next {
                Some(next) => query.page = query.page.after(next),
                None => return Ok(sealed),
            }
        }
    }

    /// Seals every value of the store that nobody has sealed, but data keys, and tells after each page how many items were looked at
    /// and sealed; gives the same at the end. It may be stopped and called again, as [`reseal`](Self::reseal). `all` is the store that
    /// these items are in.
    ///
    /// Events stay as they were told, until they are forgotten.
    ///
    /// # Errors
    /// Of the store and of the keys; what was sealed until then is sealed.
    pub async fn reseal_all(
        &self,
        all: &dyn ItemsScan,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(u64, u64)> {
        let (mut checked, mut sealed) = (0, 0);
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = all.scan(&page).await?;
            for item in found.items.into_iter().filter(|item| !is_own(&item.key)) {
                checked += 1;
                sealed += u64::from(self.reseal_one(item).await?);
            }
            progress(checked, sealed);
            match found.next {
                Some(next) => page = page.after(next),
                None => return Ok((checked, sealed)),
            }
        }
    }

    /// Whether the item had to be sealed, and is now.
    async fn reseal_one(&self, item: Item) -> Result<bool> {
        // Whether it opens is not asked here.
        if parse_bytes(&item.value).is_some() {
            return Ok(false);
        }
        let mut change = Change::put_bytes(item.key, item.value).when(Condition::Version(item.version));
        if let Some(at) = item.expires_at {
            change = change.expires_at(at);
        }
        let id = random::id(&SystemRandom::new(), "seal:reseal:");
        match self.commit_one(Transaction::new(id).change(change)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn row<'a>(&'a self, key: &'a Key) -> [&'a str; 4] {
        ["item", &self.name, &key.partition, &key.sort]
    }

    fn told<'a>(&'a self, id: &'a str, stream: &'a str, topic: &'a str) -> [&'a str; 5] {
        ["event", &self.name, id, stream, topic]
    }

    async fn seal(&self, mut transaction: Transaction) -> Result<Transaction> {
        transaction.validate()?;
        let write = transaction.id.as_str().to_owned();
        let mut sealers = Sealers { keys: &self.keys, known: HashMap::new() };
        for change in &mut transaction.changes {
            if let Change::Put { key, value, .. } = change {
                let sealer = sealers.of(self.subjects.of_item(key, value)).await?;
                *value = sealer.seal_bytes_write(&context(&self.row(key)), &write, value)?.into();
            }
        }
        for event in &mut transaction.events {
            let sealer = sealers.of(self.subjects.of_event(event)).await?;
            let NewEvent { id, stream, topic, payload } = event;
            *payload = seal_json(&sealer, &self.told(id, stream.as_str(), topic), &write, payload)?;
        }
        Ok(transaction)
    }

    /// The item; nothing where it is erased.
    async fn open(&self, mut item: Item) -> Result<Option<Item>> {
        let stored = std::mem::take(&mut item.value);
        let opened = self.keys.open_bytes(&self.row(&item.key), stored).await?;
        Ok(self.keys.allowed(opened)?.value().map(|value| Item { value, ..item }))
    }
}

/// The keys of one transaction, each looked up once.
struct Sealers<'a> {
    keys: &'a DataKeys,
    known: HashMap<Option<String>, Arc<Sealer>>,
}

impl Sealers<'_> {
    async fn of(&mut self, subject: Option<String>) -> Result<Arc<Sealer>> {
        if let Some(sealer) = self.known.get(&subject) {
            return Ok(sealer.clone());
        }
        let sealer = self.keys.of(subject.as_deref()).await?;
        self.known.insert(subject, sealer.clone());
        Ok(sealer)
    }
}

#[async_trait]
impl Items for SealedItems {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        match self.inner.get(key, read).await? {
            Some(item) => self.open(item).await?.ok_or_else(erased).map(Some),
            None => Ok(None),
        }
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let mut outcomes = Vec::with_capacity(transactions.len());
        let mut sealed = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            match self.seal(transaction).await {
                Ok(transaction) => {
                    sealed.push(transaction);
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(Err(error))),
            }
        }
        let mut done = match sealed.is_empty() {
            true => Vec::new().into_iter(),
            false => self.inner.commit(sealed).await.into_iter(),
        };
        let lost = || Err(Error::new(ErrorKind::Indeterminate, "the store gave no outcome"));
        let outcome =
            |refused: Option<Result<Committed>>| refused.or_else(|| done.next()).unwrap_or_else(lost);
        outcomes.into_iter().map(outcome).collect()
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        self.inner.committed(id).await
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        self.inner.settle(id).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        let page = self.inner.query(query).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for mut item in page.items {
            let stored = std::mem::take(&mut item.value);
            let opened = self.keys.open_bytes(&self.row(&item.key), stored).await;
            let opened = lasting(opened.and_then(|opened| self.keys.allowed(opened)))?;
            items.extend(opened.value().map(|value| Item { value, ..item }));
        }
        Ok(Page { items, next: page.next })
    }
}

#[async_trait]
impl Outbox for SealedItems {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.inner.shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.inner.edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let mut read = self.inner.events(after, limit, wait).await?;
        for event in &mut read.events {
            let stored = std::mem::take(&mut event.payload);
            let parts = self.told(&event.id, event.stream.as_str(), &event.topic);
            let opened = self.keys.open_json(&parts, stored).await;
            let opened = lasting(opened.and_then(|opened| self.keys.allowed(opened)))?;
            event.payload = opened.value().unwrap_or(Value::Null);
        }
        Ok(read)
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

impl fmt::Debug for SealedItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedItems")
            .field("name", &self.name)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
