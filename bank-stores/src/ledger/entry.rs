//! Entries: what postings did to accounts.

use serde::{Deserialize, Serialize};

use super::{AccountId, PostingId};
use crate::{Money, Timestamp};

/// One posting's effect on one account; never changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The account.
    pub account: AccountId,
    /// Its place among the account's entries: 1, 2, 3, …
    pub number: u64,
    /// The posting that made it.
    pub posting: PostingId,
    /// The posting's kind.
    pub kind: String,
    /// The posting's reference.
    pub reference: Option<String>,
    /// What was added to the balance; negative amounts were taken away.
    pub amount: Money,
    /// The account's balance after it.
    pub balance_after: Money,
    /// The account that it came from or went to: the posting's one other account, none where it has several.
    pub counterparty: Option<AccountId>,
    /// When it was booked; never goes back from one entry to the next.
    pub booked_at: Timestamp,
    /// When it takes effect.
    pub value_at: Timestamp,
}

impl Entry {
    /// Made by an adapter: the entry that leg `index` of `posting` makes.
    ///
    /// # Panics
    /// When the posting has no such leg.
    pub fn of_leg(
        posting: &super::Posting,
        index: usize,
        number: u64,
        balance_after: i64,
        booked_at: Timestamp,
    ) -> Self {
        let leg = &posting.legs[index];
        let mut others =
            posting.legs.iter().map(|leg| &leg.account).filter(|account| **account != leg.account);
        let other = others.next();
        Self {
            account: leg.account.clone(),
            number,
            posting: posting.id.clone(),
            kind: posting.kind.clone(),
            reference: posting.reference.clone(),
            amount: leg.amount,
            balance_after: Money::from_minor(balance_after, leg.amount.currency()),
            counterparty: other.filter(|other| others.all(|account| account == *other)).cloned(),
            booked_at,
            value_at: posting.value_time.unwrap_or(booked_at),
        }
    }
}
