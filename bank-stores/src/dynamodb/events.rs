//! The events of a shard, read slot by slot, and how far consumers have come.
//!
//! A position is a slot and the number that was drawn for it when it was taken, one for each transaction. So a position of another history, of a table that was
//! restored say, is told from this one's as soon as its slot was taken anew.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use tokio::time::Instant;

use super::DynamoItems;
use super::calls::{Effect, Tries, call, plain};
use super::commit::unfit;
use super::error::{Reason, given_up};
use super::rows::{
    At, CONSUMERS, Row, Slot, consumer_sort, number, number_of, slot_sort, slots, text, unreadable,
};
use super::slots::Counter;
use crate::outbox::{
    Edge, Events, Position, ShardId, check_consumer, check_limit, no_such_shard, not_in_history,
};
use crate::{Error, ErrorKind, Result};

/// So many of the newest slots are looked at for empty ones, where somebody begins behind them: more than are reserved in the longest
/// time that a transaction may take.
const NEWEST: u64 = 5_000;
/// How often a place is looked for that others move meanwhile.
const TRIES: usize = 20;

/// What stands behind a position.
pub(super) struct Behind {
    /// Slots without a gap.
    pub(super) slots: Vec<Slot>,
    /// Behind them.
    pub(super) next: Position,
    /// The first slot that is empty, where it is one that was reserved.
    pub(super) gap: Option<u64>,
}

impl DynamoItems {
    fn check_shard(&self, shard: ShardId) -> Result<u16> {
        if shard.number() < self.store.shards { Ok(shard.number()) } else { Err(no_such_shard(shard)) }
    }

    pub(super) async fn events_behind(&self, after: Position, limit: u32, wait: Duration) -> Result<Events> {
        check_limit(limit)?;
        let until = Instant::now().checked_add(wait);
        let until = until.ok_or_else(|| Error::invalid("wait", "longer than can be waited"))?;
        let shard = self.check_shard(after.shard()).map_err(|error| error.with_field("after"))?;
        let mut written = self.written[usize::from(shard)].subscribe();
        let mut counter = self.counter(shard).await?;
        let mut after = after;
        loop {
            written.borrow_and_update();
            let read = self.behind("after", after, counter, limit).await?;
            let events: Vec<_> = read.slots.into_iter().filter_map(|slot| slot.event).collect();
            if !events.is_empty() {
                return Ok(Events::new(events, read.next));
            }
            let moved = read.next != after;
            if moved || read.gap.is_some() {
                // What looks like a gap may be what was forgotten since: the floor is raised before anything is deleted.
                counter = self.counter(shard).await?;
                self.check_bounds("after", after, counter)?;
            }
            after = read.next;
            if let Some(gap) = read.gap {
                // What was committed behind it is not told before it is known what stands in it.
                self.close_gap(shard, gap).await?;
                continue;
            }
            if moved {
                continue;
            }
            // Nothing is behind it: waits until there is.
            while counter.newest <= after.number() {
                let now = Instant::now();
                if now >= until {
                    return Ok(Events::new(Vec::new(), after));
                }
                let look = until.min(now + self.options.poll);
                counter = match tokio::time::timeout_at(look, written.changed()).await {
                    Ok(_) => self.counter(shard).await?,
                    // Others may be waiting for the same answer.
                    Err(_) => match tokio::time::timeout_at(until, self.recent_counter(shard)).await {
                        Ok(recent) => recent?,
                        Err(_) => return Ok(Events::new(Vec::new(), after)),
                    },
                };
            }
        }
    }

    /// Waits a while for the event of a slot, or takes the slot away.
    pub(super) async fn close_gap(&self, shard: u16, slot: u64) -> Result<()> {
        let left = self.options.patience.saturating_sub(self.age(shard, slot));
        if left.is_zero() {
            return self.take_away(shard, slot, self.deadline()).await;
        }
        tokio::time::sleep(left.min(self.options.patience / 10)).await;
        Ok(())
    }

    /// What stands behind `after`, up to `limit` slots. `field` names the position where it is in no history.
    pub(super) async fn behind(
        &self,
        field: &'static str,
        after: Position,
        counter: Counter,
        limit: u32,
    ) -> Result<Behind> {
        self.check_bounds(field, after, counter)?;
        let shard = after.shard();
        let (pk, from) = (slots(shard.number()), slot_sort(after.number()));
        let to = slot_sort(counter.newest.max(after.number()));
        // The position's own slot is read too: it tells whether the position is of this history.
        let own = i32::from(after.number() > 0);
        let asked = i32::try_from(limit).unwrap_or(i32::MAX).saturating_add(own);
        let ask = || {
            let ask = self.client.query().table_name(self.table()).consistent_read(true);
            ask.key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", text(&pk))
                .expression_attribute_values(":from", text(&from))
                .expression_attribute_values(":to", text(&to))
                .limit(asked)
                .send()
        };
        let got = plain(&self.breaker, "Query", Effect::None, self.deadline(), ask).await?;
        let mut rows = got.items.iter().flatten().map(|row| Slot::read(shard, row));
        if after.number() > 0 {
            let own = rows.next().transpose()?;
            if own.is_none_or(|own| (own.number, own.nonce) != (after.number(), after.epoch())) {
                return Err(not_in_history(
                    field,
                    "the position is of another epoch: the store was replaced",
                ));
            }
        }
        let (mut slots, mut next) = (Vec::new(), after);
        for slot in rows {
            let slot = slot?;
            if slot.number != next.number() + 1 {
                break;
            }
            next = Position::new(slot.nonce, shard, slot.number);
            slots.push(slot);
        }
        let others = got.items.as_ref().map_or(0, Vec::len).saturating_sub(own as usize);
        let was_whole = got.last_evaluated_key.is_none() || slots.len() < others;
        let gap = (next.number() < counter.newest && was_whole).then_some(next.number() + 1);
        Ok(Behind { slots, next, gap })
    }

    /// Whether the position lies within what is kept.
    fn check_bounds(&self, field: &'static str, position: Position, counter: Counter) -> Result<()> {
        if position.number() > counter.newest {
            return Err(not_in_history(field, "the position lies beyond the newest event"));
        }
        if position.number() == 0 && position.epoch() != self.store.epoch {
            return Err(not_in_history(field, "the position is of another epoch: the store was replaced"));
        }
        if position.number() < counter.floor {
            return Err(not_in_history(field, "events behind the position were forgotten"));
        }
        Ok(())
    }

    /// What stands in a slot, if anything does.
    async fn slot(&self, shard: ShardId, slot: u64) -> Result<Option<Slot>> {
        let row = self.row(At::slot(shard.number(), slot)).await?;
        row.map(|row| Slot::read(shard, &row)).transpose()
    }

    /// The position with this number, if its slot is taken.
    async fn place(&self, shard: ShardId, slot: u64) -> Result<Option<Position>> {
        if slot == 0 {
            return Ok(Some(Position::new(self.store.epoch, shard, 0)));
        }
        Ok(self.slot(shard, slot).await?.map(|slot| Position::new(slot.nonce, shard, slot.number)))
    }

    pub(super) async fn edge_of(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        let number = self.check_shard(shard)?;
        for _ in 0..TRIES {
            let counter = self.counter(number).await?;
            let slot = match edge {
                Edge::Oldest => counter.floor,
                Edge::Newest => {
                    self.close_newest(shard, counter).await?;
                    counter.newest
                }
            };
            if let Some(place) = self.place(shard, slot).await? {
                return Ok(place);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "events are forgotten faster than they can be found"))
    }

    /// Waits for the events of the newest slots, or takes those slots away: their events come behind them.
    async fn close_newest(&self, shard: ShardId, counter: Counter) -> Result<()> {
        let first = (counter.floor + 1).max(counter.newest.saturating_sub(NEWEST - 1));
        if counter.newest < first {
            return Ok(());
        }
        let pk = slots(shard.number());
        let mut taken = std::collections::HashSet::new();
        let mut start: Option<Row> = None;
        loop {
            let ask = || {
                let ask = self.client.query().table_name(self.table()).consistent_read(true);
                ask.key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                    .expression_attribute_values(":pk", text(&pk))
                    .expression_attribute_values(":from", text(slot_sort(first)))
                    .expression_attribute_values(":to", text(slot_sort(counter.newest)))
                    .projection_expression("sk")
                    .set_exclusive_start_key(start.clone())
                    .send()
            };
            let got = plain(&self.breaker, "Query", Effect::None, self.deadline(), ask).await?;
            for row in got.items.iter().flatten() {
                let slot: u64 = super::rows::text_of(row, "sk")?.parse().map_err(|_| unreadable("sk"))?;
                taken.insert(slot);
            }
            start = got.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        for slot in (first..=counter.newest).filter(|slot| !taken.contains(slot)) {
            while self.age(shard.number(), slot) < self.options.patience {
                self.close_gap(shard.number(), slot).await?;
            }
            self.close_gap(shard.number(), slot).await?;
        }
        Ok(())
    }

    /// Refuses a position that is in no history of this store.
    async fn check_kept(&self, position: Position) -> Result<()> {
        let field = "position";
        let shard = self.check_shard(position.shard()).map_err(|error| error.with_field(field))?;
        self.check_bounds(field, position, self.counter(shard).await?)?;
        if self.place(position.shard(), position.number()).await? != Some(position) {
            return Err(not_in_history(field, "the position is of another epoch: the store was replaced"));
        }
        Ok(())
    }

    pub(super) async fn keep(&self, consumer: &str, position: Position) -> Result<()> {
        check_consumer(consumer)?;
        self.check_kept(position).await?;
        let mut row = At::consumer(consumer, position.shard().number()).row();
        row.insert("c".to_owned(), text(consumer));
        row.insert("sh".to_owned(), number(position.shard()));
        row.insert("n".to_owned(), number(position.number()));
        row.insert("e".to_owned(), number(position.epoch()));
        // Further than what is kept; or in the place of what is of no history any more.
        let mut instead: Option<Position> = None;
        for _ in 0..TRIES {
            let put = || {
                let put = self.client.put_item().table_name(self.table()).set_item(Some(row.clone()));
                let put =
                    put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                let put = match instead {
                    None => put.condition_expression("n < :n"),
                    Some(old) => put
                        .condition_expression("n = :n AND e = :e")
                        .expression_attribute_values(":e", number(old.epoch())),
                };
                put.expression_attribute_values(":n", number(instead.unwrap_or(position).number())).send()
            };
            let Err(error) = call(&self.breaker, "PutItem", Effect::None, self.deadline(), put).await? else {
                return Ok(());
            };
            let kept = match error.as_service_error() {
                Some(
                    aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                        failed,
                    ),
                ) => failed.item().map(position_of).transpose()?,
                _ => return Err(given_up(error, false)),
            };
            instead = match kept {
                Some(kept)
                    if self
                        .check_kept(kept)
                        .await
                        .is_err_and(|error| error.kind() == ErrorKind::Rejected) =>
                {
                    Some(kept)
                }
                Some(_) => return Ok(()),
                None if self.register(&row, position).await? => return Ok(()),
                // Somebody else was first, or events were forgotten meanwhile.
                None => {
                    self.check_kept(position).await?;
                    None
                }
            };
        }
        Err(Error::new(ErrorKind::Unavailable, "the consumer's position is kept by others all the time"))
    }

    /// Keeps a consumer's first position in a shard, unless what comes behind it was just forgotten. Whoever forgets sees that a consumer
    /// has come.
    async fn register(&self, row: &Row, position: Position) -> Result<bool> {
        let put = Put::builder()
            .table_name(self.table())
            .set_item(Some(row.clone()))
            .condition_expression("attribute_not_exists(pk)");
        let floor = ConditionCheck::builder()
            .table_name(self.table())
            .set_key(Some(At::counter(position.shard().number()).row()))
            .condition_expression("attribute_not_exists(#floor) OR #floor <= :n")
            .expression_attribute_names("#floor", "floor")
            .expression_attribute_values(":n", number(position.number()));
        let came = Update::builder()
            .table_name(self.table())
            .set_key(Some(At::register().row()))
            .update_expression("ADD n :one")
            .expression_attribute_values(":one", number(1));
        let actions = vec![
            TransactWriteItem::builder().put(put.build().map_err(unfit)?).build(),
            TransactWriteItem::builder().condition_check(floor.build().map_err(unfit)?).build(),
            TransactWriteItem::builder().update(came.build().map_err(unfit)?).build(),
        ];
        self.transact(actions).await
    }

    /// Whether the actions were done; not, where a condition did not hold.
    pub(super) async fn transact(&self, actions: Vec<TransactWriteItem>) -> Result<bool> {
        let mut tries = Tries::until(self.deadline());
        loop {
            let send = || self.client.transact_write_items().set_transact_items(Some(actions.clone())).send();
            let Err(error) =
                call(&self.breaker, "TransactWriteItems", Effect::Some, self.deadline(), send).await?
            else {
                return Ok(true);
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(given_up(error, false));
            };
            let reasons: Vec<Reason> =
                cancelled.cancellation_reasons().iter().map(|reason| Reason::of(reason.code())).collect();
            if reasons.iter().any(|reason| matches!(reason, Reason::Condition)) {
                return Ok(false);
            }
            if reasons.iter().any(|reason| matches!(reason, Reason::Refused)) || !tries.again().await {
                return Err(given_up(error, false));
            }
        }
    }

    pub(super) async fn kept(&self, consumer: &str) -> Result<Vec<Position>> {
        check_consumer(consumer)?;
        let rows = self.consumers(Some(consumer)).await?;
        rows.iter().map(position_of).collect()
    }

    /// The rows of one consumer, or of all.
    pub(super) async fn consumers(&self, of: Option<&str>) -> Result<Vec<Row>> {
        let (mut rows, mut start) = (Vec::new(), None::<Row>);
        loop {
            let ask = || {
                let ask = self.client.query().table_name(self.table()).consistent_read(true);
                let ask = ask
                    .set_exclusive_start_key(start.clone())
                    .expression_attribute_values(":pk", text(CONSUMERS));
                match of {
                    None => ask.key_condition_expression("pk = :pk").send(),
                    Some(consumer) => ask
                        .key_condition_expression("pk = :pk AND begins_with(sk, :c)")
                        .expression_attribute_values(":c", text(consumer_sort(consumer)))
                        .send(),
                }
            };
            let got = plain(&self.breaker, "Query", Effect::None, self.deadline(), ask).await?;
            rows.extend(got.items.into_iter().flatten());
            start = got.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    pub(super) async fn leave_out(&self, consumer: &str) -> Result<()> {
        check_consumer(consumer)?;
        for row in self.consumers(Some(consumer)).await? {
            let key: Row = row.into_iter().filter(|(name, _)| matches!(&**name, "pk" | "sk")).collect();
            let delete =
                || self.client.delete_item().table_name(self.table()).set_key(Some(key.clone())).send();
            plain(&self.breaker, "DeleteItem", Effect::Some, self.deadline(), delete).await?;
        }
        Ok(())
    }
}

/// The position that a consumer's row keeps.
pub(super) fn position_of(row: &Row) -> Result<Position> {
    let shard = u16::try_from(number_of(row, "sh")?).map_err(|_| unreadable("sh"))?;
    Ok(Position::new(number_of(row, "e")?, ShardId::new(shard), number_of(row, "n")?))
}
