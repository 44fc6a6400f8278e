//! What is held on an account.

use bank_sdk::Limit;
use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which page of an account's open holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HoldsOf {
    /// The account.
    pub id: String,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// A hold that keeps money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenHold {
    /// Its id, `hld_…`.
    pub id: String,
    /// What it keeps now.
    pub amount: Money,
    /// What was paid out of it.
    pub captured: Money,
    /// When it was placed.
    pub at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// An account's open holds, newest first, with the account at the same moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenHolds {
    /// The holds of this page. What all holds of the account keep is its balance less what is available.
    pub items: Vec<OpenHold>,
    /// Where the next page starts; `null` at the end.
    pub next: Option<String>,
    /// What is on the account.
    pub balance: Money,
    /// What may be taken out.
    pub available: Money,
}
