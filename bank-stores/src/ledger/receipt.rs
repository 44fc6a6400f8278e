//! Receipts and totals: what the ledger says about what it did.

use serde::{Deserialize, Serialize};

use super::{Account, CommandId, Entry, Hold};
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
    /// The account as the command left it, for an opening and a change.
    pub account: Option<Account>,
    /// One entry a leg, in the order of the legs, for a posting, a reversal and a capture.
    pub entries: Vec<Entry>,
    /// The hold as the command left it, for its placing, captures and voiding.
    pub hold: Option<Hold>,
    /// A read with this token sees the effect.
    pub freshness: Freshness,
    /// Whether the effect is an earlier one, of the same command sent before.
    pub replayed: bool,
}

impl Receipt {
    /// Made by an adapter: the receipt of an opening.
    pub fn opened(sequence: u64, account: Account) -> Self {
        let (id, at) = (CommandId::Account(account.id.clone()), account.opened_at);
        Self { account: Some(account), ..Self::of(id, sequence, at) }
    }

    /// Made by an adapter: the receipt of a posting.
    pub fn posted(id: super::PostingId, sequence: u64, booked_at: Timestamp, entries: Vec<Entry>) -> Self {
        Self { entries, ..Self::of(CommandId::Posting(id), sequence, booked_at) }
    }

    /// Made by an adapter: the receipt of a change.
    pub fn changed(id: super::ChangeId, sequence: u64, booked_at: Timestamp, account: Account) -> Self {
        Self { account: Some(account), ..Self::of(CommandId::Change(id), sequence, booked_at) }
    }

    /// Made by an adapter: the receipt of what was added to a posting.
    pub fn added(id: super::ChangeId, sequence: u64, booked_at: Timestamp) -> Self {
        Self::of(CommandId::Change(id), sequence, booked_at)
    }

    /// Made by an adapter: the receipt of placing or voiding a hold.
    pub fn held(id: CommandId, sequence: u64, booked_at: Timestamp, hold: Hold) -> Self {
        Self { hold: Some(hold), ..Self::of(id, sequence, booked_at) }
    }

    /// The same receipt with the hold that a capture left.
    #[must_use]
    pub fn with_hold(self, hold: Hold) -> Self {
        Self { hold: Some(hold), ..self }
    }

    fn of(id: CommandId, sequence: u64, booked_at: Timestamp) -> Self {
        Self {
            id,
            sequence,
            booked_at,
            account: None,
            entries: Vec::new(),
            hold: None,
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
