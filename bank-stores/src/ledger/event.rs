//! What the ledger's events say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AccountId, Entry, OpenAccount, OwnerId, Posting, PostingId};
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

/// The payload of `posting.<kind>`.
#[derive(Serialize)]
pub(crate) struct Posted<'a> {
    posting: &'a PostingId,
    kind: &'a str,
    reference: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    legs: Vec<PostedLeg<'a>>,
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
        posting: &'a Posting,
        entries: &'a [Entry],
        at: Timestamp,
        whose: impl Fn(&AccountId) -> (Option<&'a OwnerId>, Option<&'a str>),
    ) -> Self {
        let leg = |entry: &'a Entry| {
            let (owner, name) = whose(&entry.account);
            let Entry { account, amount, balance_after, .. } = entry;
            PostedLeg { account, owner, name, amount: *amount, balance_after: *balance_after }
        };
        Self {
            posting: &posting.id,
            kind: &posting.kind,
            reference: posting.reference.as_deref(),
            metadata: &posting.metadata,
            legs: entries.iter().map(leg).collect(),
            at,
        }
    }
}

/// The id of an opening's event.
pub(crate) fn opened_id(account: &AccountId) -> String {
    format!("account:{account}")
}

/// The id of a posting's event.
pub(crate) fn posted_id(posting: &PostingId) -> String {
    format!("posting:{posting}")
}
