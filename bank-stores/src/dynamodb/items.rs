//! The store, and how its items are read.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::DynamoOptions;
use super::calls::{Effect, plain};
use super::rows::{At, Row, item, number, partition, text, text_of};
use super::slots::{Counter, Passed};
use super::table::{self, Store};
use crate::breaker::Breaker;
use crate::clock::Believed;
use crate::items::{Committed, Item, Key, MAX_KEY, Query, Settled, SortRange, Transaction, WriteId};
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::{Consistency, Cursor, Direction, Error, Items, Outbox, Page, Result, SystemClock, Timestamp};

/// How often a page is asked for before it is given short: what has expired fills none.
const CALLS: usize = 4;
/// A service that is there answers in less.
const PATIENCE: Duration = Duration::from_millis(500);

/// Items in a table of DynamoDB.
pub struct DynamoItems {
    pub(super) client: Client,
    pub(super) options: DynamoOptions,
    pub(super) breaker: Breaker,
    pub(super) store: Store,
    /// When the count of each shard was seen where.
    passed: Mutex<Vec<Passed>>,
    /// What the shards' counts were when one who waits looked last.
    pub(super) polled: tokio::sync::Mutex<Option<(Instant, Vec<Counter>)>>,
    /// Counts, for each shard, the transactions of this process that told something there.
    pub(super) written: Vec<watch::Sender<u64>>,
    pub(super) clock: Believed,
    system: Believed,
}

impl DynamoItems {
    /// Opens the table.
    ///
    /// # Errors
    /// `Invalid`, field `table`, where there is none or it has other keys; `Denied` where this user may not use it.
    pub async fn open(options: DynamoOptions) -> Result<Self> {
        let client = options.client().await;
        let breaker = Breaker::new("DynamoDB", options.pause, PATIENCE);
        let store = table::open(&client, &options, &breaker).await?;
        let passed = Mutex::new((0..store.shards).map(|_| Passed::default()).collect());
        Ok(Self {
            client,
            breaker,
            store,
            passed,
            polled: tokio::sync::Mutex::default(),
            written: (0..store.shards).map(|_| watch::Sender::new(0)).collect(),
            clock: Believed::new(options.clock.clone()),
            system: Believed::new(Arc::new(SystemClock::new())),
            options,
        })
    }

    /// Whether the table can be read, and what hinders it.
    pub async fn ping(&self) -> Result<()> {
        match table::store(&self.client, &self.options, &self.breaker).await? {
            Some(store) if store.epoch == self.store.epoch => Ok(()),
            _ => Err(Error::invalid("table", "the table is another one than was opened")),
        }
    }

    pub(super) fn table(&self) -> &str {
        &self.options.table
    }

    /// The system's time, for what the table removes by its own; never behind the time that has passed.
    pub(super) fn lasting(&self) -> Timestamp {
        self.system.now().max(self.system.passed())
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    pub(super) fn passed(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row as it is now.
    pub(super) async fn row(&self, at: At) -> Result<Option<Row>> {
        self.read_row(at, true).await
    }

    async fn read_row(&self, at: At, current: bool) -> Result<Option<Row>> {
        let key = at.row();
        let get = || {
            let get = self.client.get_item().table_name(self.table()).set_key(Some(key.clone()));
            get.consistent_read(current).send()
        };
        Ok(plain(&self.breaker, "GetItem", Effect::None, self.deadline(), get).await?.item)
    }
}

/// Only what nobody has to have read yet may be an old one.
fn is_current(read: Consistency) -> bool {
    !matches!(read, Consistency::Any)
}

#[async_trait]
impl Items for DynamoItems {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        key.validate()?;
        let row = self.read_row(At::item(key), is_current(read)).await?;
        let item = row.as_ref().map(item).transpose()?;
        let now = self.options.clock.now();
        Ok(item.filter(|item| item.expires_at.is_none_or(|at| at > now)))
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let mut outcomes = Vec::with_capacity(transactions.len());
        for transaction in &transactions {
            outcomes.push(self.commit_one_of(transaction).await);
        }
        outcomes
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        Ok(match self.known(id).await? {
            Some(super::ids::Known::Committed { committed, .. }) => Some(committed),
            Some(super::ids::Known::Never) | None => None,
        })
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        self.settled(id).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        query.validate()?;
        let identity = query.identity();
        let after = query.page.after.as_ref().map(|cursor| cursor.position(&identity)).transpose()?;
        let Some(range) = Range::of(&query.range) else { return Ok(Page { items: Vec::new(), next: None }) };
        if after.as_deref().is_some_and(|after| !range.holds(after)) {
            return Err(Error::invalid("after", "not a cursor of this query"));
        }
        let (limit, forward) = (query.page.limit as usize, query.page.direction == Direction::Forward);
        let (mut items, mut start) = (Vec::new(), after);
        let next = |sort: &str| Some(Cursor::new(&identity, sort));
        for _ in 0..CALLS {
            let left = i32::try_from(limit + 1 - items.len()).unwrap_or(i32::MAX);
            let from = start.take().map(|sort| At { pk: partition(&query.partition), sk: sort }.row());
            let ask = || {
                let ask = self.client.query().table_name(self.table()).set_exclusive_start_key(from.clone());
                let ask = ask.consistent_read(is_current(query.read)).scan_index_forward(forward).limit(left);
                let ask =
                    ask.key_condition_expression(range.condition).set_expression_attribute_values(Some({
                        let mut values = range.values.clone();
                        values.insert(":pk".to_owned(), text(partition(&query.partition)));
                        values.insert(":now".to_owned(), number(self.options.clock.now().micros()));
                        values
                    }));
                ask.filter_expression("attribute_not_exists(x) OR x > :now").send()
            };
            let got = plain(&self.breaker, "Query", Effect::None, self.deadline(), ask).await?;
            for row in got.items.iter().flatten() {
                items.push(item(row)?);
            }
            if items.len() > limit {
                return Ok(Page::cut(items, query.page.limit, |last: &Item| {
                    Cursor::new(&identity, &last.key.sort)
                }));
            }
            match got.last_evaluated_key {
                None => return Ok(Page { items, next: None }),
                Some(last) => start = Some(text_of(&last, "sk")?.to_owned()),
            }
        }
        let next = start.as_deref().and_then(next);
        Ok(Page { items, next })
    }
}

/// A range of sorts in the service's words.
struct Range {
    condition: &'static str,
    values: Row,
    low: Option<String>,
    high: Option<String>,
    prefix: Option<String>,
}

impl Range {
    /// Nothing where nothing can lie in it: the service refuses such a range.
    fn of(range: &SortRange) -> Option<Self> {
        let value = |name: &str, value: &str| (name.to_owned(), text(value));
        let all = Self { condition: "pk = :pk", values: Row::new(), low: None, high: None, prefix: None };
        Some(match range {
            SortRange::All => all,
            SortRange::Prefix(prefix) if prefix.is_empty() => all,
            SortRange::Prefix(prefix) => Self {
                condition: "pk = :pk AND begins_with(sk, :prefix)",
                values: Row::from([value(":prefix", prefix)]),
                prefix: Some(prefix.clone()),
                ..all
            },
            SortRange::Between(from, to) if from > to || to.is_empty() => return None,
            SortRange::Between(from, to) => {
                let (low, high) = (Some(from.to_owned()), Some(to.to_owned()));
                if from.is_empty() {
                    let values = Row::from([value(":to", to)]);
                    Self { condition: "pk = :pk AND sk <= :to", values, high, ..all }
                } else {
                    let values = Row::from([value(":from", from), value(":to", to)]);
                    Self { condition: "pk = :pk AND sk BETWEEN :from AND :to", values, low, high, ..all }
                }
            }
        })
    }

    /// Whether a list of this range can go on behind `sort`.
    fn holds(&self, sort: &str) -> bool {
        (1..=MAX_KEY).contains(&sort.len())
            && self.low.as_deref().is_none_or(|low| sort >= low)
            && self.high.as_deref().is_none_or(|high| sort <= high)
            && self.prefix.as_deref().is_none_or(|prefix| sort.starts_with(prefix))
    }
}

#[async_trait]
impl Outbox for DynamoItems {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        Ok((0..self.store.shards).map(ShardId::new).collect())
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.edge_of(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        self.events_behind(*after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.keep(consumer, *position).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.kept(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.leave_out(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.forget(before).await
    }
}

impl fmt::Debug for DynamoItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoItems")
            .field("options", &self.options)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
