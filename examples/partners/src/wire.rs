//! What goes over the wire.

use bank_sdk::Limit;
use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use transactions::wire::{Direction, TransferStatus};

/// Something that a customer is told: data, which each client puts into words of its reader's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Its id, `ntf_…`.
    pub id: String,
    /// What it is about.
    pub kind: NotificationKind,
    /// How much money it is about; never negative.
    pub amount: Money,
    /// The other side, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Counterparty>,
    /// The customer's account that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What both sides read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The transfer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// Why it was rejected, as the transfer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// Whether the customer has read it.
    pub read: bool,
}

/// The other side of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counterparty {
    /// What its owner is called; left out where it is the customer, or cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotificationKind {
    /// The customer's transfer went through. It is read from the beginning.
    TransferSent,
    /// Somebody sent money to the customer.
    TransferReceived,
    /// The customer's transfer was rejected.
    TransferRejected,
    /// Cash was paid in for the customer.
    // As it was called once, and is stored still.
    #[serde(alias = "deposit_received")]
    Deposit,
    /// Cash was paid out to the customer.
    Withdrawal,
    /// The bank undid a posting and gave the customer money back.
    ReversalReceived,
    /// The bank undid a posting and took money back from the customer.
    ReversalSent,
    /// Somebody paid the customer out of a hold.
    CaptureReceived,
    /// Somebody was paid out of a hold of the customer. It is read from the beginning.
    CaptureSent,
}

/// A page of the caller's notifications, and how many are unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inbox {
    /// The notifications, the newest first.
    pub items: Vec<Notification>,
    /// Where the next page starts; `null` at the end.
    pub next: Option<String>,
    /// How many are unread on all pages together, counted up to 100: 100 stands for 100 or more.
    #[schemars(range(max = 100))]
    pub unread: u32,
}

/// Up to where the caller has read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReadBefore {
    /// The newest notification that is read; so are all older ones.
    pub before: String,
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
