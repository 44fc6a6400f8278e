//! Cash over the counter.

use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cash to be paid in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewDeposit {
    /// Into which account.
    pub account: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// What stands on the statement, at most 140 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub reference: Option<String>,
}

/// Cash that was paid in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deposit {
    /// Its id, `dep_…`.
    pub id: String,
    /// Into which account.
    pub account: String,
    /// How much.
    pub amount: Money,
    /// What stands on the statement.
    pub reference: Option<String>,
    /// The account's balance right after it.
    pub balance: Money,
    /// When it was booked.
    pub at: Timestamp,
}

/// Cash to be paid out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewWithdrawal {
    /// Out of which account.
    pub account: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// What stands on the statement, at most 140 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub reference: Option<String>,
}

/// Cash that was paid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawal {
    /// Its id, `wdr_…`.
    pub id: String,
    /// Out of which account.
    pub account: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// What stands on the statement.
    pub reference: Option<String>,
    /// The account's balance right after it.
    pub balance: Money,
    /// When it was booked.
    pub at: Timestamp,
}
