//! What the ledger's events say. They are told from what commands wrote, and are not stored: so what is not there is left out, and a
//! field that comes later changes no event of before.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Account, AccountId, AccountStatus, ChangeId, Entry, Hold, HoldId, HoldStatus, OpenAccount, OwnerId,
    PostingId, PostingRecord, STREAM,
};
use crate::outbox::NewEvent;
use crate::{Currency, Money, Timestamp};

fn event<T: Serialize>(id: String, topic: impl Into<String>, payload: &T) -> NewEvent {
    // Our own types have text keys and no failing serializer.
    NewEvent::new(id, STREAM, topic, serde_json::to_value(payload).unwrap_or_default())
}

/// The payload of `account.opened`.
#[derive(Serialize)]
struct Opened<'a> {
    account: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a OwnerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    currency: Currency,
    at: Timestamp,
}

pub(crate) fn opened(open: &OpenAccount, at: Timestamp) -> NewEvent {
    let OpenAccount { id, owner, name, currency, .. } = open;
    let payload =
        Opened { account: id, owner: owner.as_ref(), name: name.as_deref(), currency: *currency, at };
    event(format!("account:{id}"), "account.opened", &payload)
}

/// The payload of `account.changed`.
#[derive(Serialize)]
struct Changed<'a> {
    change: &'a ChangeId,
    account: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a OwnerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    status: AccountStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<Money>,
    at: Timestamp,
}

/// The event of a change, which left the account so.
pub(crate) fn changed(change: &ChangeId, account: &Account, at: Timestamp) -> NewEvent {
    let Account { id, owner, name, status, floor, ceiling, .. } = account;
    let payload = Changed {
        change,
        account: id,
        owner: owner.as_ref(),
        name: name.as_deref(),
        status: *status,
        floor: *floor,
        ceiling: *ceiling,
        at,
    };
    event(format!("change:{change}"), "account.changed", &payload)
}

/// The event of something that was added to a posting: its own fields, and of which posting it is.
pub(crate) fn added(
    change: &ChangeId,
    posting: &PostingId,
    kind: &str,
    state: Map<String, Value>,
    at: Timestamp,
) -> NewEvent {
    let mut payload = state;
    payload.extend([
        ("change".to_owned(), json!(change)),
        ("posting".to_owned(), json!(posting)),
        ("at".to_owned(), json!(at)),
    ]);
    event(format!("change:{change}"), format!("{kind}.added"), &payload)
}

/// The payload of `hold.placed`, `hold.voided` and `hold.expired`.
#[derive(Serialize)]
struct HoldEvent<'a> {
    hold: &'a HoldId,
    account: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a OwnerId>,
    amount: Money,
    captured: Money,
    status: HoldStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    at: Timestamp,
}

/// The event of a hold that was placed, voided or has expired, as that left it.
pub(crate) fn hold(held: &Hold, owner: Option<&OwnerId>, at: Timestamp) -> NewEvent {
    let Hold { id, account, amount, captured, status, deadline, .. } = held;
    let payload = HoldEvent {
        hold: id,
        account,
        owner,
        amount: *amount,
        captured: *captured,
        status: *status,
        deadline: *deadline,
        at,
    };
    let topic = match status {
        HoldStatus::Open => "hold.placed",
        HoldStatus::Voided => "hold.voided",
        // Its captures are postings.
        HoldStatus::Expired | HoldStatus::Captured => "hold.expired",
    };
    event(format!("{topic}:{id}"), topic, &payload)
}

/// The payload of `posting.<kind>`.
#[derive(Serialize)]
struct Posted<'a> {
    posting: &'a PostingId,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    legs: Vec<PostedLeg<'a>>,
    /// The hold that it pays out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a HoldId>,
    /// The posting that it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<&'a PostingId>,
    at: Timestamp,
}

#[derive(Serialize)]
struct PostedLeg<'a> {
    account: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a OwnerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    amount: Money,
    balance_after: Money,
}

/// Whose an account is, and what it was called then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Party {
    pub(crate) owner: Option<OwnerId>,
    pub(crate) name: Option<String>,
}

/// The event of a posting whose entries are of these parties.
pub(crate) fn posted(posting: &PostingRecord, parties: &[Party]) -> NewEvent {
    let legs = std::iter::zip(&posting.entries, parties).map(|(entry, party)| {
        let Entry { account, amount, balance_after, .. } = entry;
        let (owner, name) = (party.owner.as_ref(), party.name.as_deref());
        PostedLeg { account, owner, name, amount: *amount, balance_after: *balance_after }
    });
    let payload = Posted {
        posting: &posting.id,
        kind: &posting.kind,
        reference: posting.reference.as_deref(),
        metadata: &posting.metadata,
        legs: legs.collect(),
        hold: posting.hold.as_ref(),
        reverses: posting.reverses.as_ref(),
        at: posting.booked_at,
    };
    event(format!("posting:{}", posting.id), format!("posting.{}", posting.kind), &payload)
}
