//! Slots: the places of events in a shard. They are reserved before a transaction, in a count of the shard's own, and taken by it.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValue};
use tokio::time::Instant;

use super::DynamoItems;
use super::calls::{Effect, Tries, call, plain};
use super::error::given_up;
use super::rows::{At, Row, empty, number, number_of, optional_number};
use crate::{Error, Result, random};

/// The most keys that are read at once.
const BATCH: usize = 100;

/// How far a shard is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    /// The newest slot that was reserved; 0 before the first.
    pub(super) newest: u64,
    /// The newest slot that was forgotten. It stays, so that a position in it can be told from one of another history.
    pub(super) floor: u64,
}

impl Counter {
    fn read(row: Option<&Row>) -> Result<Self> {
        let Some(row) = row else { return Ok(Self::default()) };
        Ok(Self { newest: number_of(row, "n")?, floor: optional_number(row, "floor")?.unwrap_or(0) })
    }
}

/// When this process saw a shard's count pass a slot, by its own stopwatch: an empty one is taken away a while later. Whoever comes to
/// it later does not wait anew.
#[derive(Debug, Default)]
pub(super) struct Passed(VecDeque<(u64, Instant)>);

impl Passed {
    /// `patience` is the age from which on it does not matter how old it is.
    pub(super) fn saw(&mut self, newest: u64, patience: Duration) {
        let now = Instant::now();
        while self.0.get(1).is_some_and(|(_, at)| now.duration_since(*at) > patience) {
            self.0.pop_front();
        }
        // So few are kept that they stay few under load; a slot may seem a little younger than it is.
        let recent = |at: Instant| now.duration_since(at) < patience / 16;
        match self.0.back() {
            Some((seen, at)) if *seen >= newest || (self.0.len() > 1 && recent(*at)) => {}
            _ => self.0.push_back((newest, now)),
        }
    }

    /// How long ago the count had passed this slot.
    pub(super) fn age(&self, slot: u64) -> Duration {
        let passed = self.0.iter().find(|(newest, _)| *newest >= slot);
        passed.map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

impl DynamoItems {
    /// Reserves slots that stand together, and gives the first.
    pub(super) async fn reserve(&self, shard: u16, slots: u64, deadline: Instant) -> Result<u64> {
        let add = || {
            let update =
                self.client.update_item().table_name(self.table()).set_key(Some(At::counter(shard).row()));
            let update =
                update.update_expression("ADD n :slots").expression_attribute_values(":slots", number(slots));
            update.return_values(ReturnValue::UpdatedNew).send()
        };
        // Added twice, some stay empty. Nothing that the caller asked for happens by it.
        let added = plain(&self.breaker, "UpdateItem", Effect::None, deadline, add).await?;
        let newest = number_of(&added.attributes.unwrap_or_default(), "n")?;
        Ok(newest.saturating_sub(slots) + 1)
    }

    /// Takes a slot away, where no event has it: its writer takes another one.
    pub(super) async fn take_away(&self, shard: u16, slot: u64, deadline: Instant) -> Result<()> {
        let row = empty(shard, slot, random::version(), self.lasting());
        let put = || {
            let put = self.client.put_item().table_name(self.table()).set_item(Some(row.clone()));
            put.condition_expression("attribute_not_exists(pk)").send()
        };
        match call(&self.breaker, "PutItem", Effect::None, deadline, put).await? {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(given_up(error, false)),
        }
    }

    /// How far a shard is now.
    pub(super) async fn counter(&self, shard: u16) -> Result<Counter> {
        let counter = Counter::read(self.row(At::counter(shard)).await?.as_ref())?;
        self.saw(shard, counter);
        Ok(counter)
    }

    /// How far a shard was a moment ago. All who wait for events share what one of them reads.
    pub(super) async fn recent_counter(&self, shard: u16) -> Result<Counter> {
        let mut polled = self.polled.lock().await;
        let recent = polled.as_ref().is_some_and(|(at, _)| at.elapsed() < self.options.poll / 2);
        if !recent {
            *polled = Some((Instant::now(), self.counters().await?));
        }
        let counter = polled.as_ref().and_then(|(_, counters)| counters.get(usize::from(shard)));
        Ok(counter.copied().unwrap_or_default())
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        let shards: Vec<u16> = (0..self.store.shards).collect();
        let mut counters = vec![Counter::default(); shards.len()];
        let deadline = self.deadline();
        let mut tries = Tries::until(deadline);
        for some in shards.chunks(BATCH) {
            let mut wanted: Vec<Row> = some.iter().map(|shard| At::counter(*shard).row()).collect();
            while !wanted.is_empty() {
                let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
                let keys =
                    keys.map_err(|source| Error::invalid("table", "it cannot be asked").with_source(source))?;
                let get = || self.client.batch_get_item().request_items(self.table(), keys.clone()).send();
                let mut got = plain(&self.breaker, "BatchGetItem", Effect::None, deadline, get).await?;
                for row in got.responses.as_ref().and_then(|of| of.get(self.table())).into_iter().flatten() {
                    let shard = super::rows::text_of(row, "pk")?
                        .strip_prefix("c#")
                        .and_then(|shard| shard.parse().ok());
                    if let Some(counter) = shard.and_then(|shard: usize| counters.get_mut(shard)) {
                        *counter = Counter::read(Some(row))?;
                    }
                }
                let left = got.unprocessed_keys.as_mut().and_then(|of| of.remove(self.table()));
                wanted = left.map(|left| left.keys).unwrap_or_default();
                // What is throttled is left out.
                if !wanted.is_empty() && !tries.again().await {
                    return Err(tries.over());
                }
            }
        }
        for (shard, counter) in shards.into_iter().zip(&counters) {
            self.saw(shard, *counter);
        }
        Ok(counters)
    }

    fn saw(&self, shard: u16, counter: Counter) {
        if let Some(passed) = self.passed().get_mut(usize::from(shard)) {
            passed.saw(counter.newest, self.options.patience);
        }
    }

    /// How long ago the count was seen to have passed this slot.
    pub(super) fn age(&self, shard: u16, slot: u64) -> Duration {
        self.passed().get(usize::from(shard)).map_or(Duration::ZERO, |passed| passed.age(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_as_old_as_the_count_that_passed_it() {
        let (patience, step) = (Duration::from_millis(250), Duration::from_millis(20));
        let mut passed = Passed::default();
        assert_eq!(passed.age(1), Duration::ZERO, "nobody has seen it yet");
        for newest in 1..=100 {
            passed.saw(newest, patience);
            passed.saw(newest, patience);
            tokio::time::advance(step).await;
        }
        assert!(passed.0.len() < 20, "{}", passed.0.len());
        for slot in 1..=100 {
            let (told, real) = (passed.age(slot), step * (101 - slot as u32));
            assert!(told <= real.max(told.min(patience)) + step, "{slot}: {told:?} of {real:?}");
            assert_eq!(told >= patience + step, real >= patience + step, "{slot}: {told:?} of {real:?}");
        }
        assert_eq!(passed.age(101), Duration::ZERO);
    }
}
