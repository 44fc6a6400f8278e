//! Forgetting events: the floor of a shard moves first, then what lies below it is deleted.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use tokio::time::Instant;

use super::DynamoItems;
use super::calls::{Effect, call, plain};
use super::error::given_up;
use super::events::position_of;
use super::rows::{At, number, text_of};
use super::slots::Counter;
use crate::outbox::{Edge, Position, ShardId};
use crate::{Error, ErrorKind, Result, Timestamp};

/// How many slots are read and forgotten at once, and deleted in one call.
const PORTION: u32 = 500;
const DELETED: usize = 25;

impl DynamoItems {
    pub(super) async fn forget(&self, before: Timestamp) -> Result<u64> {
        let rows = self.consumers(None).await?;
        let mut names = BTreeSet::new();
        let mut kept: BTreeMap<u16, Vec<Position>> = BTreeMap::new();
        for row in &rows {
            let position = position_of(row)?;
            names.insert(text_of(row, "c")?);
            kept.entry(position.shard().number()).or_default().push(position);
        }
        let mut forgotten = 0;
        for shard in 0..self.store.shards {
            let positions = kept.remove(&shard).unwrap_or_default();
            // Who has kept none here has passed nothing here.
            if positions.len() < names.len() {
                continue;
            }
            forgotten += self.forget_in(ShardId::new(shard), before, &positions).await?;
        }
        Ok(forgotten)
    }

    async fn forget_in(&self, shard: ShardId, before: Timestamp, kept: &[Position]) -> Result<u64> {
        let mut forgotten = 0;
        let counter = self.counter(shard.number()).await?;
        // What an interrupted one has left.
        let passed =
            kept.iter().map(|position| position.number()).min().unwrap_or(counter.newest).min(counter.newest);
        if passed <= counter.floor {
            return Ok(0);
        }
        // A position that is of no history has passed nothing.
        for position in kept {
            match self.behind("position", *position, counter, 1).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Rejected => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        let mut at = self.edge_of(shard, Edge::Oldest).await?;
        let mut counter = Counter { floor: at.number(), ..counter };
        loop {
            let read = self.behind("position", at, counter, PORTION).await?;
            if read.slots.is_empty() {
                match read.gap {
                    Some(gap) if gap <= passed => {
                        self.close_gap(shard.number(), gap).await?;
                        continue;
                    }
                    _ => return Ok(forgotten),
                }
            }
            let old = read.slots.iter().take_while(|slot| {
                slot.number <= passed && slot.event.as_ref().is_none_or(|event| event.at < before)
            });
            let (count, events) = old
                .fold((0, 0), |(count, events), slot| (count + 1, events + u64::from(slot.event.is_some())));
            let Some(last) = read.slots[..count].last() else { return Ok(forgotten) };
            let floor = Position::new(last.nonce, shard, last.number);
            self.raise_floor(shard.number(), floor.number()).await?;
            self.delete(shard.number(), at.number(), floor.number()).await?;
            forgotten += events;
            if count < read.slots.len() {
                return Ok(forgotten);
            }
            at = floor;
            counter.floor = at.number();
        }
    }

    async fn raise_floor(&self, shard: u16, floor: u64) -> Result<()> {
        let update = || {
            let update =
                self.client.update_item().table_name(self.table()).set_key(Some(At::counter(shard).row()));
            let update =
                update.update_expression("SET #floor = :floor").expression_attribute_names("#floor", "floor");
            let update = update.condition_expression("attribute_not_exists(#floor) OR #floor < :floor");
            update.expression_attribute_values(":floor", number(floor)).send()
        };
        match call("UpdateItem", Effect::Some, self.deadline(), update).await? {
            Ok(_) => Ok(()),
            // Somebody else has come further.
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

    /// Deletes the slots from `from` on and below `floor`, which stays.
    async fn delete(&self, shard: u16, from: u64, floor: u64) -> Result<()> {
        let slots: Vec<u64> = (from.max(1)..floor).collect();
        for some in slots.chunks(DELETED) {
            let request = |slot: &u64| {
                let delete = DeleteRequest::builder().set_key(Some(At::slot(shard, *slot).row())).build();
                let delete = delete
                    .map_err(|source| Error::invalid("table", "it cannot be asked").with_source(source))?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            };
            let mut left = some.iter().map(request).collect::<Result<Vec<_>>>()?;
            let deadline = self.deadline();
            while !left.is_empty() {
                let write =
                    || self.client.batch_write_item().request_items(self.table(), left.clone()).send();
                let mut written = plain("BatchWriteItem", Effect::Some, deadline, write).await?;
                left = written
                    .unprocessed_items
                    .as_mut()
                    .and_then(|of| of.remove(self.table()))
                    .unwrap_or_default();
                if Instant::now() >= deadline {
                    return Err(Error::new(ErrorKind::Unavailable, "DynamoDB has too much to do"));
                }
            }
        }
        Ok(())
    }
}
