//! Items and their outbox, each broken in one way.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Committed, Condition, Item, Key, Query, Settled, Transaction, WriteId};
use bank_stores::outbox::{Edge, Event, Events, NewEvent, Position, ShardId};
use bank_stores::{
    Consistency, Error, ErrorKind, Items, ItemsExt, Outbox, Page, Result, Timestamp, conformance,
};

use super::{Running, assert_all_broken, caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Nothing is wrong: pages are short, some of them empty, as those of an engine that filters late.
    ShortPages,
    /// Values lose their last byte.
    CutsValues,
    /// Checks conditions first and writes later.
    ChecksThenWrites,
    /// Names the last change in place of the one that failed.
    NamesAnotherChange,
    /// Gives the version that a check found.
    ChecksTellVersions,
    /// Each change is a transaction of its own.
    TearsApart,
    /// Executes again what comes again.
    Doubles,
    /// Takes other content under an id for a replay.
    TakesAnyContent,
    /// A refused id is refused for good.
    RemembersRefusals,
    /// Versions are counted from 1 for each item, and begin again after a delete.
    CountsVersions,
    /// What has expired is still read.
    ReadsTheExpired,
    /// A page loses its last item.
    LosesItems,
    /// A page that has nothing ends the list.
    EndsAtAnEmptyPage,
    /// Errors name no field.
    NamesNoField,
    /// Looks up, and leaves the id as it is.
    SettlesWithoutTombstone,
    /// Says that nothing will happen, when it does not know yet.
    SettlesTooEarly,
    /// The events of a refused transaction are told.
    TellsRefused,
    /// Payloads lose what is no object.
    EmptiesPayloads,
    /// The second of two events changes places with the first.
    SwapsEvents,
    /// Steps over an event now and then, as over the hole of a writer that is late.
    SkipsEvents,
    /// `next` is one behind the last event.
    SkipsAtNext,
    /// A stream is put into any shard.
    ScattersStreams,
    /// Who waits is not woken.
    NeverWakes,
    /// Positions of another epoch are taken for this one's.
    IgnoresEpochs,
    /// Positions beyond the newest event wait.
    WaitsBeyond,
    /// The position told last is kept, though it is an earlier one.
    ConsumersGoBack,
    /// Events are forgotten that a consumer has not read.
    ForgetsUnread,
    /// What was forgotten is not told.
    HidesGaps,
    /// Takes any number for a limit.
    AnyLimit,
}

#[derive(Debug)]
struct Broken {
    inner: std::sync::Arc<SqliteItems>,
    fault: Fault,
    count: AtomicU64,
    refused: Mutex<Vec<String>>,
    versions: Mutex<HashMap<Key, (u64, u64)>>,
}

impl Broken {
    async fn new(fault: Fault) -> Self {
        let shards = if fault == Fault::ScattersStreams { 4 } else { 1 };
        let inner = SqliteItems::open(SqliteOptions::temporary().unwrap().shards(shards)).await.unwrap();
        Self {
            inner: inner.into(),
            fault,
            count: AtomicU64::new(0),
            refused: Mutex::default(),
            versions: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    async fn check_then_write(&self, mut transaction: Transaction) -> Result<Committed> {
        for change in &mut transaction.changes {
            let found = self.inner.get(change.key(), Consistency::Current).await?;
            if let Condition::Version(version) = change.condition()
                && found.is_some_and(|item| item.version != version)
            {
                return Err(Error::new(ErrorKind::Conflict, "changed"));
            }
            *change = std::mem::replace(change, Change::delete(Key::new("-", "-"))).when(Condition::Always);
        }
        self.inner.commit_one(transaction).await
    }

    async fn tear_apart(&self, transaction: Transaction) -> Result<Committed> {
        let mut versions = Vec::new();
        for (index, change) in transaction.changes.into_iter().enumerate() {
            let part = Transaction::new(format!("{}.{index}", transaction.id)).change(change);
            let done = self.inner.commit_one(part).await.map_err(|error| error.with_change(index))?;
            versions.extend(done.versions);
        }
        Ok(Committed::new(transaction.id, versions))
    }

    /// Its own version of each item, as a counter that a delete takes away.
    async fn count_versions(&self, mut transaction: Transaction) -> Result<Committed> {
        for change in &mut transaction.changes {
            if let Condition::Version(wanted) = change.condition() {
                let held = self.versions.lock().unwrap().get(change.key()).copied();
                let real = held.filter(|(_, counted)| *counted == wanted).map_or(1, |(real, _)| real);
                *change = change.clone().when(Condition::Version(real));
            }
        }
        let mut done = self.inner.commit_one(transaction.clone()).await?;
        let mut versions = self.versions.lock().unwrap();
        for (change, version) in transaction.changes.iter().zip(&mut done.versions) {
            match change {
                Change::Put { key, .. } => {
                    let counted = versions.get(key).map_or(1, |(_, counted)| counted + 1);
                    versions.insert(key.clone(), (*version, counted));
                    *version = counted;
                }
                Change::Delete { key, .. } => drop(versions.remove(key)),
                _ => {}
            }
        }
        Ok(done)
    }

    async fn commit_broken(&self, mut transaction: Transaction) -> Result<Committed> {
        let id = transaction.id.clone();
        match self.fault {
            Fault::CutsValues => {
                for change in &mut transaction.changes {
                    if let Change::Put { value, .. } = change
                        && !value.is_empty()
                    {
                        value.truncate(value.len() - 1);
                    }
                }
            }
            Fault::ChecksThenWrites => return self.check_then_write(transaction).await,
            Fault::TearsApart => return self.tear_apart(transaction).await,
            Fault::CountsVersions => return self.count_versions(transaction).await,
            Fault::Doubles => transaction.id = format!("{id}.{}", self.next()).into(),
            Fault::RemembersRefusals if self.refused.lock().unwrap().contains(&id.to_string()) => {
                return Err(Error::new(ErrorKind::Conflict, "refused before"));
            }
            Fault::EmptiesPayloads => {
                for event in &mut transaction.events {
                    if !event.payload.is_object() {
                        event.payload = serde_json::json!(null);
                    }
                }
            }
            Fault::SwapsEvents => transaction.events.reverse(),
            Fault::ScattersStreams => {
                for event in &mut transaction.events {
                    let real = event.stream.to_string();
                    event.stream = format!("{real} {}", self.next()).into();
                }
            }
            _ => {}
        }
        let checks: Vec<Option<Key>> = transaction
            .changes
            .iter()
            .map(|change| matches!(change, Change::Check { .. }).then(|| change.key().clone()))
            .collect();
        let (last, events) = (transaction.changes.len().saturating_sub(1), transaction.events.clone());
        match (self.fault, self.inner.commit_one(transaction).await) {
            (Fault::NamesAnotherChange, Err(error)) => Err(error.with_change(last + 1)),
            (Fault::NamesNoField, Err(error)) => Err(Error::new(error.kind(), "refused")),
            (Fault::TakesAnyContent, Err(error)) if error.field() == Some("id") => {
                let first = self.inner.committed(&id).await?;
                Ok(first.ok_or(error)?.replay())
            }
            (Fault::RemembersRefusals, Err(error)) => {
                self.refused.lock().unwrap().push(id.to_string());
                Err(error)
            }
            (Fault::TellsRefused, Err(error)) if !events.is_empty() => {
                let key = Key::new("refused", id.as_str());
                let told = events.into_iter().fold(
                    Transaction::new(format!("told {id}")).change(Change::delete(key)),
                    Transaction::event,
                );
                // It is told only once.
                let _ = self.inner.commit_one(told).await;
                Err(error)
            }
            (Fault::ChecksTellVersions, Ok(mut done)) => {
                for (version, key) in done.versions.iter_mut().zip(checks) {
                    if let Some(key) = key {
                        let found = self.inner.get(&key, Consistency::Current).await?;
                        *version = found.map_or(0, |item| item.version);
                    }
                }
                Ok(done)
            }
            (_, outcome) => outcome,
        }
    }
}

#[async_trait]
impl Items for Broken {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        let found = self.inner.get(key, read).await?;
        if self.has(Fault::ReadsTheExpired) && found.is_none() && key.sort == "past" {
            return Ok(Some(Item::new(key.clone(), "1".into(), 1, None)));
        }
        if self.has(Fault::CountsVersions) {
            let counted = self.versions.lock().unwrap().get(key).map(|(_, counted)| *counted);
            return Ok(
                found.map(|item| Item::new(item.key, item.value, counted.unwrap_or(1), item.expires_at))
            );
        }
        Ok(found)
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let mut outcomes = Vec::new();
        for transaction in transactions {
            outcomes.push(self.commit_broken(transaction).await);
        }
        outcomes
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        self.inner.committed(id).await
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        match self.fault {
            Fault::SettlesWithoutTombstone => {
                Ok(self.inner.committed(id).await?.map_or(Settled::Never, Settled::Committed))
            }
            Fault::SettlesTooEarly if self.inner.committed(id).await?.is_none() => {
                let (inner, id) = (self.inner.clone(), id.clone());
                tokio::spawn(async move {
                    // So late that whoever was told has sent it again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    inner.settle(&id).await
                });
                Ok(Settled::Never)
            }
            _ => self.inner.settle(id).await,
        }
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        let mut page = self.inner.query(query).await?;
        match self.fault {
            Fault::LosesItems if page.items.len() > 1 => drop(page.items.pop()),
            Fault::EndsAtAnEmptyPage if query.page.limit == 1 && self.next() > 3 => page.next = None,
            // Every other page is empty, and leads to where it was.
            Fault::ShortPages if page.next.is_some() && self.next().is_multiple_of(2) => {
                page.items.clear();
                let before = query.page.after.clone();
                match before {
                    Some(before) => page.next = Some(before),
                    None => return self.inner.query(query).await,
                }
            }
            _ => {}
        }
        Ok(page)
    }
}

#[async_trait]
impl Outbox for Broken {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.inner.shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.inner.edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let limit = if self.has(Fault::AnyLimit) { limit.clamp(1, 1_000) } else { limit };
        let wait = if self.has(Fault::NeverWakes) { Duration::ZERO } else { wait };
        let newest = self.inner.edge(after.shard(), Edge::Newest).await;
        let after = match (self.fault, newest) {
            (Fault::IgnoresEpochs, Ok(newest)) if after.number() <= newest.number() => {
                let zero = self.inner.edge(after.shard(), Edge::Oldest).await?.epoch();
                let epoch = if after.number() == 0 { zero } else { newest.epoch() };
                Position::new(epoch, after.shard(), after.number())
            }
            (Fault::WaitsBeyond, Ok(newest)) if after.number() > newest.number() => {
                tokio::time::sleep(wait.min(Duration::from_millis(10))).await;
                return Ok(Events::new(Vec::new(), *after));
            }
            _ => *after,
        };
        let mut read = match self.inner.events(&after, limit, wait).await {
            Err(error) if self.has(Fault::HidesGaps) && error.message().contains("forgotten") => {
                let oldest = self.inner.edge(after.shard(), Edge::Oldest).await?;
                self.inner.events(&oldest, limit, wait).await?
            }
            read => read?,
        };
        match self.fault {
            Fault::SkipsEvents if read.events.len() > 2 => drop(read.events.remove(1)),
            Fault::SkipsAtNext if read.events.len() == limit as usize => {
                read.next = self.inner.events(&read.next, 1, Duration::ZERO).await?.next;
            }
            Fault::ScattersStreams => {
                let plain = |event: Event| {
                    let stream = event.stream.to_string();
                    let stream = stream.split(' ').next().unwrap().to_owned();
                    let new = NewEvent::new(event.id, stream, event.topic, event.payload);
                    Event::new(event.position, event.at, new)
                };
                read.events = read.events.into_iter().map(plain).collect();
            }
            _ => {}
        }
        Ok(read)
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        if self.has(Fault::ConsumersGoBack) {
            self.inner.forget_consumer(consumer).await?;
        }
        self.inner.consumed(consumer, position).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.inner.positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.inner.forget_consumer(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        if self.has(Fault::ForgetsUnread) {
            self.inner.forget_consumer("slow").await?;
        }
        self.inner.forget_events(before).await
    }
}

type Promise = fn(&Broken) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $list:ident $promise:ident)*) => {
        /// Each fault, and a promise that it breaks.
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(items: &Broken) -> Running<'_> {
                Box::pin(conformance::$list::$promise(items))
            }
            promise
        })),*];
    };
}

faults! {
    CutsValues items what_was_put_is_read
    NamesAnotherChange items conditions_hold_or_name_the_change
    ChecksTellVersions items conditions_hold_or_name_the_change
    TearsApart items a_transaction_happens_whole_or_not_at_all
    TellsRefused items a_transaction_happens_whole_or_not_at_all
    Doubles items the_same_transaction_again_has_one_effect
    TakesAnyContent items the_same_id_with_other_content_is_a_conflict
    RemembersRefusals items a_refused_id_may_be_tried_again
    CountsVersions items versions_never_come_back
    ReadsTheExpired items expired_items_are_absent
    ChecksThenWrites items a_compare_and_set_race_loses_no_update
    Doubles items racers_with_one_id_have_one_effect
    LosesItems items queries_page_in_order_both_ways
    NamesNoField items bad_input_is_refused_and_named
    SettlesWithoutTombstone items what_is_settled_stays_so
    SettlesTooEarly items what_is_settled_stays_so
    EndsAtAnEmptyPage items pages_end_where_nearly_all_has_expired
    TearsApart items a_cancelled_caller_leaves_no_half_effect
    ChecksThenWrites items_history random_transactions_match_the_model
    ChecksThenWrites items_history a_history_of_racers_replays_through_the_model
    SettlesWithoutTombstone items_history random_transactions_match_the_model
    EmptiesPayloads outbox an_event_comes_as_it_was_told
    SwapsEvents outbox an_event_comes_as_it_was_told
    SkipsEvents outbox events_of_a_stream_keep_their_commit_order
    TellsRefused outbox events_of_a_stream_keep_their_commit_order
    ScattersStreams outbox a_stream_stays_in_its_shard
    SkipsAtNext outbox a_reader_goes_on_at_next
    NeverWakes outbox a_waiting_reader_wakes_at_commit
    IgnoresEpochs outbox a_position_of_another_history_is_refused
    WaitsBeyond outbox a_position_of_another_history_is_refused
    ConsumersGoBack outbox consumers_keep_their_positions
    ForgetsUnread outbox events_are_forgotten_when_every_consumer_has_passed
    HidesGaps outbox events_are_forgotten_when_every_consumer_has_passed
    AnyLimit outbox bad_questions_are_refused_and_named
}

async fn found(fault: Fault, promise: Promise) -> bool {
    let store = Broken::new(fault).await;
    caught(async move { promise(&store).await }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_items_is_caught() {
    for (fault, name, promise) in FAULTS {
        assert!(found(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_items_are_blamed_for_nothing() {
    for sound in [Fault::None, Fault::ShortPages] {
        for (_, name, promise) in FAULTS {
            assert!(!found(sound, *promise).await, "{sound:?} was blamed by {name}");
        }
    }
}

#[test]
fn each_promise_of_items_has_a_store_that_breaks_it() {
    let broken: Vec<&str> = FAULTS.iter().map(|(_, name, _)| *name).collect();
    for list in ["items", "items_history", "outbox"] {
        assert_all_broken(list, &broken);
    }
}
