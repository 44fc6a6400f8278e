//! Receipts and totals: what the ledger says about what it did.

use serde::{Deserialize, Serialize};

use super::{Account, CommandId, Entry};
use crate::{Currency, Freshness, Timestamp};

/// The outcome of a command that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The command.
    pub id: CommandId,
    /// Its place in the ledger's commit order.
    pub sequence: u64,
    /// When it was booked.
    pub booked_at: Timestamp,
    /// The account as it was opened, for an opening.
    pub account: Option<Account>,
    /// One entry a leg, in the order of the legs, for a posting.
    pub entries: Vec<Entry>,
    /// A read with this token sees the effect.
    pub freshness: Freshness,
    /// Whether the effect is an earlier one, of the same command sent before.
    pub replayed: bool,
}

impl Receipt {
    /// Made by an adapter: the receipt of an opening.
    pub fn opened(sequence: u64, account: Account) -> Self {
        Self {
            id: CommandId::Account(account.id.clone()),
            sequence,
            booked_at: account.opened_at,
            account: Some(account),
            entries: Vec::new(),
            freshness: Freshness::from_sequence(sequence),
            replayed: false,
        }
    }

    /// Made by an adapter: the receipt of a posting.
    pub fn posted(id: super::PostingId, sequence: u64, booked_at: Timestamp, entries: Vec<Entry>) -> Self {
        Self {
            id: CommandId::Posting(id),
            sequence,
            booked_at,
            account: None,
            entries,
            freshness: Freshness::from_sequence(sequence),
            replayed: false,
        }
    }

    /// The same receipt for a command that had been executed before.
    #[must_use]
    pub fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }
}

/// The totals of the whole ledger, one a currency, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrialBalance {
    /// The totals, in the order of the currencies' codes.
    pub currencies: Vec<CurrencyTotal>,
    /// The last command that is in them.
    pub sequence: u64,
}

impl TrialBalance {
    /// Made by an adapter.
    pub fn new(currencies: Vec<CurrencyTotal>, sequence: u64) -> Self {
        Self { currencies, sequence }
    }

    /// Whether, in every currency, balances sum to zero and debits equal credits.
    pub fn is_balanced(&self) -> bool {
        self.currencies.iter().all(|total| total.total == 0 && total.debits == total.credits)
    }

    /// The totals of one currency.
    pub fn currency(&self, currency: Currency) -> Option<&CurrencyTotal> {
        self.currencies.iter().find(|total| total.currency == currency)
    }
}

/// The totals of one currency, in minor units.
///
/// 128 bits, since a sum over many accounts may be larger than any one balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurrencyTotal {
    /// The currency.
    pub currency: Currency,
    /// All that entries took away, as a positive number.
    pub debits: i128,
    /// All that entries added.
    pub credits: i128,
    /// The sum of all balances: zero.
    pub total: i128,
    /// How many accounts are held in it.
    pub accounts: u64,
    /// How many postings have a leg in it.
    pub postings: u64,
}

impl CurrencyTotal {
    /// Made by an adapter: nothing yet.
    pub fn zero(currency: Currency) -> Self {
        Self { currency, debits: 0, credits: 0, total: 0, accounts: 0, postings: 0 }
    }
}
