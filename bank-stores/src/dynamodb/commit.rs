//! A transaction: one call with its changes, its id, and its events in the slots that were reserved for them.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use tokio::time::Instant;

use super::DynamoItems;
use super::calls::{Tries, heard, unheard};
use super::error::{Met, Reason, given_up, met};
use super::ids::Known;
use super::rows::{At, Row, bytes, event, number, put, remembered, text};
use super::sent::watched;
use crate::breaker::Away;
use crate::items::{Change, Committed, Condition, Transaction};
use crate::{Error, ErrorKind, Result, Timestamp, random};

/// What an action of a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Id,
    /// The change with this index.
    Change(usize),
    /// A slot or the head of a stream.
    Place,
}

/// How a transaction ended that was sent with these slots.
enum Ended {
    Committed(Committed),
    Refused(Error),
    /// A slot was taken away, or a later event of the stream came first.
    PlaceTaken,
}

/// The slots of a transaction's events: of each shard the first, and how many.
type Places = BTreeMap<u16, (u64, u64)>;

/// How old a reservation may be when it is used: events that are forgotten are at least an hour old.
const STILL: Duration = Duration::from_secs(600);

/// One call of `commit`.
struct Sending<'a> {
    transaction: &'a Transaction,
    content: [u8; 32],
    /// Tells this call's transaction from the same one sent by others, and its slots from those of another history.
    owner: u64,
    versions: Vec<u64>,
    /// By the clock, and as far as it may be believed.
    now: Timestamp,
    believed: Timestamp,
    /// From when on ids and heads are remembered.
    lasting: Timestamp,
}

impl DynamoItems {
    pub(super) async fn commit_one_of(&self, transaction: &Transaction) -> Result<Committed> {
        transaction.validate()?;
        let version =
            |change: &Change| if matches!(change, Change::Put { .. }) { random::version() } else { 0 };
        let sending = Sending {
            transaction,
            content: transaction.content(),
            owner: random::version(),
            versions: transaction.changes.iter().map(version).collect(),
            now: self.clock.now(),
            believed: self.clock.believed(),
            lasting: self.lasting(),
        };
        let deadline = self.deadline();
        let mut tries = Tries::until(deadline);
        loop {
            let places = self.places(transaction, deadline).await?;
            let ended = self.send(&sending, &places, &mut tries).await?;
            if !matches!(ended, Ended::Committed(_)) {
                self.leave(&places, deadline).await;
            }
            match ended {
                Ended::Committed(committed) => {
                    for written in places.keys().filter_map(|shard| self.written.get(usize::from(*shard))) {
                        written.send_modify(|count| *count += 1);
                    }
                    if committed.replayed {
                        self.leave(&places, deadline).await;
                    }
                    return Ok(committed);
                }
                Ended::Refused(error) => return Err(error),
                Ended::PlaceTaken => {
                    if !tries.again().await {
                        return Err(tries.over());
                    }
                }
            }
        }
    }

    /// Reserves a slot for each event.
    async fn places(&self, transaction: &Transaction, deadline: Instant) -> Result<Places> {
        let mut places = Places::new();
        for event in &transaction.events {
            places.entry(event.stream.shard(self.store.shards).number()).or_default().1 += 1;
        }
        for (shard, (first, count)) in &mut places {
            *first = self.reserve(*shard, *count, deadline).await?;
        }
        Ok(places)
    }

    /// Takes away what was reserved and is not needed, so that no reader waits for it. Where that fails, a reader does it.
    async fn leave(&self, places: &Places, deadline: Instant) {
        for (shard, (first, count)) in places {
            for slot in *first..first + count {
                if let Err(error) = self.take_away(*shard, slot, deadline).await {
                    tracing::debug!(shard, slot, error = ?error, "slots stay empty for now");
                    return;
                }
            }
        }
    }

    /// Sends the transaction until it is known how it ended with these slots.
    async fn send(&self, sending: &Sending<'_>, places: &Places, tries: &mut Tries) -> Result<Ended> {
        let (actions, roles) = self.actions(sending, places)?;
        let reserved = self.lasting();
        let mut attempt = self.breaker.enter().map_err(Away::into_error)?;
        loop {
            // A process that stood still comes back to slots that may be forgotten by now.
            if self.lasting().since(reserved) > STILL && !places.is_empty() {
                return Ok(Ended::PlaceTaken);
            }
            let send = self.client.transact_write_items().set_transact_items(Some(actions.clone())).send();
            let (outcome, was_sent) = watched(send).await;
            let Err(error) = outcome else {
                attempt.answered();
                let committed = Committed::new(sending.transaction.id.clone(), sending.versions.clone());
                return Ok(Ended::Committed(committed));
            };
            heard(&mut attempt, &error);
            match &error {
                SdkError::ServiceError(refused)
                    if let TransactWriteItemsError::TransactionCanceledException(cancelled) =
                        refused.err() =>
                {
                    match judge(sending, &roles, cancelled.cancellation_reasons())? {
                        // An earlier try may be on its way still, or be what it was refused for.
                        Some(Ended::Refused(refusal)) if tries.lost && refusal.change().is_some() => {
                            return self.after_lost_tries(sending, refusal).await;
                        }
                        Some(ended) => return Ok(ended),
                        None => {}
                    }
                }
                _ => match met(&error, was_sent) {
                    Met::Refused => return Err(given_up(error, tries.lost)),
                    Met::Lost => tries.lost = true,
                    Met::NotNow => {}
                },
            }
            if !tries.again().await {
                unheard(&mut attempt, &error);
                return Err(match error {
                    SdkError::ServiceError(_) if met(&error, was_sent) == Met::Refused => {
                        tries.over().with_source(error)
                    }
                    error => given_up(error, tries.lost),
                });
            }
        }
    }

    /// What a refusal means where an earlier try got no answer.
    async fn after_lost_tries(&self, sending: &Sending<'_>, refusal: Error) -> Result<Ended> {
        let maybe = |source| {
            let message = "an answer was lost: what was asked for may have happened";
            Error::new(ErrorKind::Indeterminate, message).with_source(source)
        };
        match self.known(&sending.transaction.id).await.map_err(maybe)? {
            Some(known) => Ok(match known.outcome(&sending.content, sending.owner) {
                Ok(committed) => Ended::Committed(committed),
                Err(error) => Ended::Refused(error),
            }),
            None => Err(maybe(refusal)),
        }
    }

    /// The actions, and what each is for.
    fn actions(&self, sending: &Sending<'_>, places: &Places) -> Result<(Vec<TransactWriteItem>, Vec<Role>)> {
        let (mut actions, mut roles) = (vec![self.id_action(sending)?], vec![Role::Id]);
        for (index, change) in sending.transaction.changes.iter().enumerate() {
            if let Some(action) = self.change_action(sending, index, change)? {
                actions.push(action);
                roles.push(Role::Change(index));
            }
        }
        let mut next: BTreeMap<u16, u64> =
            places.iter().map(|(shard, (first, _))| (*shard, *first)).collect();
        // Of a stream's events in one transaction, the last is its newest.
        let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
        for told in &sending.transaction.events {
            let shard = told.stream.shard(self.store.shards).number();
            let Some(slot) = next.get_mut(&shard) else { continue };
            let put =
                Put::builder().table_name(self.table()).condition_expression("attribute_not_exists(pk)");
            let row = event(shard, *slot, sending.owner, told, sending.now);
            actions.push(
                TransactWriteItem::builder().put(put.set_item(Some(row)).build().map_err(unfit)?).build(),
            );
            roles.push(Role::Place);
            heads.insert(told.stream.as_str(), *slot);
            *slot += 1;
        }
        for (stream, slot) in heads {
            // Slots are in the order of commits for each stream: whoever comes late takes a new one.
            let update = Update::builder()
                .table_name(self.table())
                .set_key(Some(At::head(stream).row()))
                .update_expression("SET n = :slot, #ttl = :ttl")
                .condition_expression("attribute_not_exists(pk) OR n < :slot")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":slot", number(slot))
                .expression_attribute_values(":ttl", remembered(sending.lasting));
            actions.push(TransactWriteItem::builder().update(update.build().map_err(unfit)?).build());
            roles.push(Role::Place);
        }
        Ok((actions, roles))
    }

    fn id_action(&self, sending: &Sending<'_>) -> Result<TransactWriteItem> {
        let mut row: Row = At::id(sending.transaction.id.as_str()).row();
        let versions: Vec<String> = sending.versions.iter().map(u64::to_string).collect();
        row.insert("f".to_owned(), bytes(sending.content));
        row.insert("vs".to_owned(), text(versions.join(",")));
        row.insert("o".to_owned(), number(sending.owner));
        row.insert("ttl".to_owned(), remembered(sending.lasting));
        let put = Put::builder()
            .table_name(self.table())
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().put(put.build().map_err(unfit)?).build())
    }

    /// Nothing where a check asks for nothing.
    fn change_action(
        &self,
        sending: &Sending<'_>,
        index: usize,
        change: &Change,
    ) -> Result<Option<TransactWriteItem>> {
        let condition = condition(change.condition());
        // Named values that nothing refers to are refused.
        let mut values = Row::new();
        if condition.is_some_and(|condition| condition.contains(":now")) {
            values.insert(":now".to_owned(), number(sending.believed.micros()));
        }
        if let Condition::Version(version) = change.condition() {
            values.insert(":ver".to_owned(), number(version));
        }
        let values = Some(values).filter(|values| !values.is_empty());
        let condition = condition.map(str::to_owned);
        let action = TransactWriteItem::builder();
        Ok(Some(match change {
            Change::Put { key, value, expires_at, .. } => {
                let row = put(key, value, sending.versions[index], *expires_at);
                let put = Put::builder().table_name(self.table()).set_item(Some(row));
                let put = put.set_condition_expression(condition).set_expression_attribute_values(values);
                action.put(put.build().map_err(unfit)?).build()
            }
            Change::Delete { key, .. } => {
                let delete = Delete::builder().table_name(self.table()).set_key(Some(At::item(key).row()));
                let delete =
                    delete.set_condition_expression(condition).set_expression_attribute_values(values);
                action.delete(delete.build().map_err(unfit)?).build()
            }
            Change::Check { key, .. } => {
                let Some(condition) = condition else { return Ok(None) };
                let check =
                    ConditionCheck::builder().table_name(self.table()).set_key(Some(At::item(key).row()));
                let check = check.condition_expression(condition).set_expression_attribute_values(values);
                action.condition_check(check.build().map_err(unfit)?).build()
            }
        }))
    }
}

/// What has to hold, in the service's words. An item that has expired by the caller's clock is none.
fn condition(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::Always => None,
        Condition::Absent => Some("attribute_not_exists(pk) OR (attribute_exists(x) AND x <= :now)"),
        Condition::Exists => Some("attribute_exists(pk) AND (attribute_not_exists(x) OR x > :now)"),
        Condition::Version(_) => Some("ver = :ver AND (attribute_not_exists(x) OR x > :now)"),
    }
}

/// How a cancelled transaction ended; nothing where it may do soon. The id's row comes first: what it says is an outcome. While
/// another call with the same id is on its way, what the conditions say may be its own doing.
fn judge(sending: &Sending<'_>, roles: &[Role], reasons: &[CancellationReason]) -> Result<Option<Ended>> {
    let mut place_taken = false;
    for (role, reason) in roles.iter().zip(reasons) {
        match (role, Reason::of(reason.code())) {
            (Role::Id, Reason::Condition) => {
                let row = reason.item().ok_or_else(|| super::rows::unreadable("item"))?;
                let known = Known::read(&sending.transaction.id, row)?;
                return Ok(Some(match known.outcome(&sending.content, sending.owner) {
                    Ok(committed) => Ended::Committed(committed),
                    Err(error) => Ended::Refused(error),
                }));
            }
            (Role::Id, Reason::NotNow) => return Ok(None),
            (Role::Change(index), Reason::Condition) => {
                let error = missed(sending.transaction.changes[*index].condition()).with_change(*index);
                return Ok(Some(Ended::Refused(error)));
            }
            (Role::Place, Reason::Condition) => place_taken = true,
            (role, Reason::Refused) => {
                let error = Error::invalid("transaction", "DynamoDB does not take a part of it");
                return Ok(Some(Ended::Refused(match role {
                    Role::Change(index) => error.with_change(*index),
                    Role::Id | Role::Place => error,
                })));
            }
            (_, Reason::None | Reason::NotNow) => {}
        }
    }
    Ok(place_taken.then_some(Ended::PlaceTaken))
}

/// The refusal where a condition does not hold.
fn missed(condition: Condition) -> Error {
    match condition {
        Condition::Absent => Error::new(ErrorKind::AlreadyExists, "there is such an item already"),
        Condition::Exists => Error::new(ErrorKind::Conflict, "there is no such item"),
        Condition::Version(_) | Condition::Always => {
            Error::new(ErrorKind::Conflict, "the item has another version")
        }
    }
}

pub(super) fn unfit(source: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::invalid("transaction", "it cannot be sent").with_source(source)
}
