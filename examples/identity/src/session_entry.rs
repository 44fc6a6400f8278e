//! What is kept of a session for its customer to see, beside the session itself: one item for each that is live, in the
//! customer's partition, the oldest first.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `customer#ID` | `session#MICROSECONDS#ID` | the [`SessionEntry`] |
//!
//! It is written and removed in the transactions that open and end the session, and expires with it: the list needs no look at
//! the sessions themselves. Those of an epoch that is over are left out, and removed soon after.

use bank_stores::Timestamp;
use bank_stores::items::Key;
use serde::{Deserialize, Serialize};

use crate::wire::SessionView;

/// What all of them begin with.
pub(crate) const ENTRIES: &str = "session#";

/// A session, as its customer sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionEntry {
    pub(crate) id: String,
    /// Of the session.
    #[serde(default)]
    pub(crate) epoch: u64,
    pub(crate) created_at: Timestamp,
    /// To a few minutes.
    pub(crate) last_used_at: Timestamp,
    pub(crate) user_agent: Option<String>,
    pub(crate) network: Option<String>,
}

impl SessionEntry {
    pub(crate) fn view(self, current: Option<&str>) -> SessionView {
        let Self { id, created_at, last_used_at, user_agent, network, .. } = self;
        let current = current == Some(id.as_str());
        SessionView { id, current, created_at, last_used_at, user_agent, network }
    }
}

/// The partition of a customer's entries.
pub(crate) fn partition(customer: &str) -> String {
    format!("customer#{customer}")
}

/// Where the entry of a session is, which was opened at this time.
pub(crate) fn entry_key(customer: &str, id: &str, opened: Timestamp) -> Key {
    // Digits in the order of the numbers; no session was opened before 1970.
    Key::new(partition(customer), format!("{ENTRIES}{:020}#{id}", opened.micros().max(0)))
}
