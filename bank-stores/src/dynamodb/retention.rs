//! Forgetting events: the floor of a shard moves first, then what lies below it is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{ConditionCheck, DeleteRequest, TransactWriteItem, Update, WriteRequest};

use super::DynamoItems;
use super::calls::{Effect, Tries, plain};
use super::commit::unfit;
use super::events::position_of;
use super::rows::{At, Row, number, number_of, slot_sort, slots, text, text_of};
use super::slots::Counter;
use crate::outbox::{Edge, Position, ShardId};
use crate::{ErrorKind, Result, Timestamp};

/// How many slots are read and forgotten at once, and deleted in one call.
const PORTION: u32 = 500;
const DELETED: usize = 25;
/// How often a portion is tried where consumers come meanwhile.
const TRIES: usize = 8;
/// A slot that was taken away is not forgotten before: its writer may come back to it so long, and would find it free.
const EMPTY: Duration = Duration::from_secs(3_600);

/// The consumers' positions, and how many had come when they were read.
struct Consumers {
    came: u64,
    count: usize,
    kept: BTreeMap<u16, Vec<Position>>,
}

impl DynamoItems {
    pub(super) async fn forget(&self, before: Timestamp) -> Result<u64> {
        let mut forgotten = 0;
        for shard in 0..self.store.shards {
            forgotten += self.forget_in(ShardId::new(shard), before).await?;
        }
        Ok(forgotten)
    }

    async fn everybody(&self) -> Result<Consumers> {
        // Read before them: who comes in between is seen by the count.
        let came = self.row(At::register()).await?.map_or(Ok(0), |row| number_of(&row, "n"))?;
        let rows = self.consumers(None).await?;
        let (mut names, mut kept) = (BTreeSet::new(), BTreeMap::<u16, Vec<Position>>::new());
        for row in &rows {
            let position = position_of(row)?;
            names.insert(text_of(row, "c")?);
            kept.entry(position.shard().number()).or_default().push(position);
        }
        Ok(Consumers { came, count: names.len(), kept })
    }

    async fn forget_in(&self, shard: ShardId, before: Timestamp) -> Result<u64> {
        let counter = self.counter(shard.number()).await?;
        // What an interrupted one has left.
        self.delete_below(shard.number(), counter.floor).await?;
        let (mut forgotten, mut tries) = (0, 0);
        loop {
            match self.forget_portion(shard, before).await {
                Ok(Portion::Some(events)) => (forgotten, tries) = (forgotten + events, 0),
                Ok(Portion::Last(events)) => return Ok(forgotten + events),
                Ok(Portion::SomebodyCame) if tries < TRIES => tries += 1,
                Ok(Portion::SomebodyCame) => return Ok(forgotten),
                // Somebody else forgets the same.
                Err(error) if error.kind() == ErrorKind::Rejected => return Ok(forgotten),
                Err(error) => return Err(error),
            }
        }
    }

    async fn forget_portion(&self, shard: ShardId, before: Timestamp) -> Result<Portion> {
        let consumers = self.everybody().await?;
        let kept = consumers.kept.get(&shard.number()).map(Vec::as_slice).unwrap_or_default();
        // Who has kept none here has passed nothing here.
        if kept.len() < consumers.count {
            return Ok(Portion::Last(0));
        }
        let at = self.edge_of(shard, Edge::Oldest).await?;
        let counter = Counter { floor: at.number(), ..self.counter(shard.number()).await? };
        let passed = kept.iter().map(|position| position.number()).min().unwrap_or(counter.newest);
        let passed = passed.min(counter.newest);
        if passed <= counter.floor {
            return Ok(Portion::Last(0));
        }
        // A position that is of no history has passed nothing.
        for position in kept {
            match self.behind("position", *position, counter, 1).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Rejected => return Ok(Portion::Last(0)),
                Err(error) => return Err(error),
            }
        }
        let read = self.behind("position", at, counter, PORTION).await?;
        if read.slots.is_empty() {
            return match read.gap {
                Some(gap) if gap <= passed => {
                    self.close_gap(shard.number(), gap).await?;
                    Ok(Portion::Some(0))
                }
                _ => Ok(Portion::Last(0)),
            };
        }
        let empty_before = before.min(self.lasting().saturating_sub(EMPTY));
        let old = read.slots.iter().take_while(|slot| {
            slot.number <= passed && slot.at < if slot.event.is_some() { before } else { empty_before }
        });
        let (count, events) =
            old.fold((0, 0), |(count, events), slot| (count + 1, events + u64::from(slot.event.is_some())));
        let Some(last) = read.slots[..count].last() else { return Ok(Portion::Last(0)) };
        if !self.raise_floor(shard.number(), last.number, consumers.came).await? {
            return Ok(Portion::SomebodyCame);
        }
        self.delete_below(shard.number(), last.number).await?;
        Ok(if count < read.slots.len() { Portion::Last(events) } else { Portion::Some(events) })
    }

    /// Whether the floor was raised; not, where a consumer came since, or somebody else has raised it.
    async fn raise_floor(&self, shard: u16, floor: u64, came: u64) -> Result<bool> {
        let nobody = ConditionCheck::builder()
            .table_name(self.table())
            .set_key(Some(At::register().row()))
            .condition_expression(if came == 0 { "attribute_not_exists(pk)" } else { "n = :came" })
            .set_expression_attribute_values(
                (came > 0).then(|| Row::from([(":came".to_owned(), number(came))])),
            );
        let raise = Update::builder()
            .table_name(self.table())
            .set_key(Some(At::counter(shard).row()))
            .update_expression("SET #floor = :floor")
            .expression_attribute_names("#floor", "floor")
            .condition_expression("attribute_not_exists(#floor) OR #floor < :floor")
            .expression_attribute_values(":floor", number(floor));
        let actions = vec![
            TransactWriteItem::builder().condition_check(nobody.build().map_err(unfit)?).build(),
            TransactWriteItem::builder().update(raise.build().map_err(unfit)?).build(),
        ];
        self.transact(actions).await
    }

    /// Deletes the slots below the floor, which itself stays.
    async fn delete_below(&self, shard: u16, floor: u64) -> Result<()> {
        let (pk, to) = (slots(shard), slot_sort(floor));
        loop {
            let ask = || {
                let ask = self.client.query().table_name(self.table()).consistent_read(true);
                ask.key_condition_expression("pk = :pk AND sk < :to")
                    .expression_attribute_values(":pk", text(&pk))
                    .expression_attribute_values(":to", text(&to))
                    .projection_expression("pk, sk")
                    .limit(PORTION as i32)
                    .send()
            };
            let got = plain(&self.breaker, "Query", Effect::None, self.deadline(), ask).await?;
            let rows = got.items.unwrap_or_default();
            for some in rows.chunks(DELETED) {
                self.delete(some).await?;
            }
            if got.last_evaluated_key.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, rows: &[Row]) -> Result<()> {
        let request = |row: &Row| {
            let delete = DeleteRequest::builder().set_key(Some(row.clone())).build().map_err(unfit)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        let mut left = rows.iter().map(request).collect::<Result<Vec<_>>>()?;
        let deadline = self.deadline();
        let mut tries = Tries::until(deadline);
        while !left.is_empty() {
            let write = || self.client.batch_write_item().request_items(self.table(), left.clone()).send();
            let mut written = plain(&self.breaker, "BatchWriteItem", Effect::None, deadline, write).await?;
            left =
                written.unprocessed_items.as_mut().and_then(|of| of.remove(self.table())).unwrap_or_default();
            // What is throttled is left out.
            if !left.is_empty() && !tries.again().await {
                return Err(tries.over());
            }
        }
        Ok(())
    }
}

/// How many events a portion had, and whether there may be more.
enum Portion {
    Some(u64),
    Last(u64),
    SomebodyCame,
}
