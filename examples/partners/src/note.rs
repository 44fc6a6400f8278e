//! A notification as it is stored.

use bank_stores::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::{Notification, NotificationKind, TransferChange};

/// A notification, as the body of its document; the document's id is the notification's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Whom it is for.
    pub(crate) customer: String,
    /// Its place among the customer's: 1, 2, 3, … without a gap, since each is written only after the one before. So
    /// whoever has read up to a number has missed nothing below it.
    pub(crate) number: u64,
    pub(crate) kind: NotificationKind,
    pub(crate) title: String,
    pub(crate) body: String,
    /// What is told of the transfer that it is about.
    pub(crate) transfer: Option<TransferChange>,
    pub(crate) amount: Money,
    pub(crate) at: Timestamp,
    pub(crate) read: bool,
}

impl Note {
    pub(crate) fn notification(&self, id: String) -> Notification {
        Notification {
            id,
            kind: self.kind,
            title: self.title.clone(),
            body: self.body.clone(),
            transfer: self.transfer.as_ref().map(|transfer| transfer.id.clone()),
            amount: self.amount,
            at: self.at,
            read: self.read,
        }
    }
}
