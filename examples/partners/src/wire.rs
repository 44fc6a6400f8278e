//! What goes over the wire.

use bank_sdk::Limit;
use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use transactions::wire::{Direction, TransferStatus};

/// Something that a customer is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Its id, `ntf_…`.
    pub id: String,
    /// What it is about.
    pub kind: NotificationKind,
    /// A few words.
    pub title: String,
    /// A sentence.
    pub body: String,
    /// The transfer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// How much money it is about.
    pub amount: Money,
    /// When it happened.
    pub at: Timestamp,
    /// Whether the customer has read it.
    pub read: bool,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotificationKind {
    /// The customer's transfer went through.
    TransferSent,
    /// Somebody sent money to the customer.
    TransferReceived,
    /// The customer's transfer was rejected.
    TransferRejected,
    /// Cash was paid in for the customer.
    DepositReceived,
}

/// What happened to a transfer, seen from one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransferChange {
    /// The transfer.
    pub id: String,
    /// How far it is now.
    pub status: TransferStatus,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From which account.
    pub from: String,
    /// To which account.
    pub to: String,
    /// How much.
    pub amount: Money,
    /// What both sides read.
    pub reference: Option<String>,
    /// Whether this side sends or receives.
    pub direction: Direction,
    /// When this happened.
    pub at: Timestamp,
}

/// Which page of the caller's notifications.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PageOf {
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Names a notification in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NotificationPath {
    /// The notification.
    pub id: String,
}
