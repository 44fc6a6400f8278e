//! What members of staff see of customers.

use bank_sdk::Limit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Account;

/// Which customer: by the whole user name or by an account's id, one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CustomersOf {
    /// The whole user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// One of the customer's accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How many of the customer's accounts, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page of accounts before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// A customer, as members of staff see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaffCustomer {
    /// The id, `cus_…`.
    pub id: String,
    /// The user name.
    pub username: String,
    /// What the customer is called.
    pub name: String,
    /// The accounts of this page, in the order they were opened.
    pub accounts: Vec<Account>,
}
