//! Everything that moved or holds a customer's money.

use bank_sdk::Limit;
use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which page of which activity.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ActivityOf {
    /// On which account of the caller; on all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only what came in, or what goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// A part of the reference or of the counterparty's name, whatever its case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub q: Option<String>,
    /// The first moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first moment behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The smallest amount, such as `12.50`, in whichever currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,15}([.][0-9]{1,4})?$"))]
    pub min: Option<String>,
    /// The largest amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,15}([.][0-9]{1,4})?$"))]
    pub max: Option<String>,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Something that moved money of the caller, or holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// Its id: an entry's, or a hold's.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Whether the money came in or goes out, as the ledger has it.
    pub direction: Direction,
    /// On which account of the caller.
    pub account: String,
    /// Whom it came from or went to, where that is a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Counterparty>,
    /// How much, more than nothing; `direction` says which way.
    pub amount: Money,
    /// The account's balance after it; a hold changes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_after: Option<Money>,
    /// What the payer wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Whether it is done.
    pub status: ActivityStatus,
    /// When it was booked, or placed.
    pub at: Timestamp,
    /// The transfer that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
}

/// What moved money, or holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// From one customer's account to another.
    Transfer,
    /// Cash that was paid in.
    Deposit,
    /// Cash that was paid out.
    Withdrawal,
    /// Money that is kept for a payment to come.
    Hold,
    /// A payment out of a hold.
    Capture,
    /// A posting of before was undone.
    Reversal,
    /// What the bank charges.
    Fee,
    /// Something else.
    Other,
}

impl Kind {
    /// What a posting of this kind in the ledger is.
    #[must_use]
    pub fn of_posting(kind: &str) -> Self {
        match kind {
            "transfer" => Self::Transfer,
            "deposit" => Self::Deposit,
            "withdrawal" => Self::Withdrawal,
            "capture" => Self::Capture,
            "reversal" => Self::Reversal,
            "fee" => Self::Fee,
            _ => Self::Other,
        }
    }
}

/// Which way money goes, seen from an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To it.
    In,
    /// From it.
    Out,
}

impl Direction {
    /// The direction of what is added to an account; negative amounts are taken away.
    #[must_use]
    pub const fn of_change(amount: Money) -> Self {
        if amount.is_negative() { Self::Out } else { Self::In }
    }
}

/// The other side of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counterparty {
    /// What the customer is called, where that can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The customer's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActivityStatus {
    /// The money was moved.
    Completed,
    /// The money is held for a payment to come.
    Pending,
}
