//! What the ledger's events say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::book::MadePosting;
use super::{
    Account, AccountId, AccountStatus, ChangeAccount, ChangeId, Entry, Hold, HoldId, HoldStatus, OpenAccount,
    OwnerId, PostingId, Receipt,
};
use crate::{Currency, Money, Timestamp};

/// The topic of an opening's event.
pub(crate) const OPENED: &str = "account.opened";

/// The payload of `account.opened`.
#[derive(Serialize)]
pub(crate) struct Opened<'a> {
    account: &'a AccountId,
    owner: Option<&'a OwnerId>,
    name: Option<&'a str>,
    currency: Currency,
    at: Timestamp,
}

impl<'a> Opened<'a> {
    pub(crate) fn new(open: &'a OpenAccount, at: Timestamp) -> Self {
        let OpenAccount { id, owner, name, currency, .. } = open;
        Self { account: id, owner: owner.as_ref(), name: name.as_deref(), currency: *currency, at }
    }
}

/// The topic of the event of a change.
pub(crate) const CHANGED: &str = "account.changed";
/// The topics of holds. The captures of one are postings.
pub(crate) const PLACED: &str = "hold.placed";
pub(crate) const VOIDED: &str = "hold.voided";
pub(crate) const EXPIRED: &str = "hold.expired";

/// The payload of `account.changed`.
#[derive(Serialize)]
pub(crate) struct Changed<'a> {
    change: &'a ChangeId,
    account: &'a AccountId,
    owner: Option<&'a OwnerId>,
    status: AccountStatus,
    floor: Option<Money>,
    ceiling: Option<Money>,
    at: Timestamp,
}

impl<'a> Changed<'a> {
    pub(crate) fn new(change: &'a ChangeAccount, account: &'a Account, at: Timestamp) -> Self {
        let Account { id, owner, status, floor, ceiling, .. } = account;
        Self {
            change: &change.id,
            account: id,
            owner: owner.as_ref(),
            status: *status,
            floor: *floor,
            ceiling: *ceiling,
            at,
        }
    }
}

/// The payload of `hold.placed`, `hold.voided` and `hold.expired`.
#[derive(Serialize)]
pub(crate) struct HoldEvent<'a> {
    hold: &'a HoldId,
    account: &'a AccountId,
    owner: Option<&'a OwnerId>,
    amount: Money,
    captured: Money,
    status: HoldStatus,
    deadline: Option<Timestamp>,
    at: Timestamp,
}

impl<'a> HoldEvent<'a> {
    pub(crate) fn new(held: &'a Hold, owner: Option<&'a OwnerId>, at: Timestamp) -> Self {
        let Hold { id, account, amount, captured, status, deadline, .. } = held;
        Self {
            hold: id,
            account,
            owner,
            amount: *amount,
            captured: *captured,
            status: *status,
            deadline: *deadline,
            at,
        }
    }
}

/// The payload of `posting.<kind>`.
#[derive(Serialize)]
pub(crate) struct Posted<'a> {
    posting: &'a PostingId,
    kind: &'a str,
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
    owner: Option<&'a OwnerId>,
    name: Option<&'a str>,
    amount: Money,
    balance_after: Money,
}

impl<'a> Posted<'a> {
    /// `whose` gives an account's owner and name.
    pub(crate) fn new(
        made: &'a MadePosting<'_>,
        receipt: &'a Receipt,
        whose: impl Fn(&AccountId) -> (Option<&'a OwnerId>, Option<&'a str>),
    ) -> Self {
        let leg = |entry: &'a Entry| {
            let (owner, name) = whose(&entry.account);
            let Entry { account, amount, balance_after, .. } = entry;
            PostedLeg { account, owner, name, amount: *amount, balance_after: *balance_after }
        };
        let posting = &made.posting;
        Self {
            posting: &posting.id,
            kind: &posting.kind,
            reference: posting.reference.as_deref(),
            metadata: &posting.metadata,
            legs: receipt.entries.iter().map(leg).collect(),
            hold: made.capture.as_ref().map(|capture| &capture.id),
            reverses: made.reverses.as_ref().map(|(_, id)| id),
            at: receipt.booked_at,
        }
    }
}

/// The id of an opening's event.
pub(crate) fn opened_id(account: &AccountId) -> String {
    format!("account:{account}")
}

/// The id of the event of a change.
pub(crate) fn changed_id(change: &ChangeId) -> String {
    format!("change:{change}")
}

/// The id of an event of a hold, which has one of each topic at most.
pub(crate) fn hold_id(topic: &str, hold: &HoldId) -> String {
    format!("{topic}:{hold}")
}

/// The id of a posting's event.
pub(crate) fn posted_id(posting: &PostingId) -> String {
    format!("posting:{posting}")
}
