//! A notification as it is stored.

use bank_stores::documents::Document;
use bank_stores::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::{Counterparty, Notification, NotificationKind, TransferChange};

/// A notification, as the body of its document; the document's id is the notification's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Whom it is for.
    pub(crate) customer: String,
    /// Its place among the customer's: 1, 2, 3, … without a gap, since each is written only after the one before. So
    /// whoever has read up to a number has missed nothing below it.
    pub(crate) number: u64,
    pub(crate) kind: NotificationKind,
    pub(crate) amount: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counterparty: Option<Counterparty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// What is told of the transfer that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transfer: Option<TransferChange>,
    pub(crate) at: Timestamp,
    /// Whether it was read by itself, or needed no reading; all up to a number are by the customer's [`Mark`].
    pub(crate) read: bool,
}

/// The place of a notification alone: it can be read, whatever else another release has written.
#[derive(Debug, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
}

impl Note {
    /// The notification of a document. What cannot be read is logged and passed over: it may be from another release, and
    /// must hold up neither the customer's others nor what is yet to be written.
    pub(crate) fn read(document: &Document) -> Option<Self> {
        match document.read() {
            Ok(note) => Some(note),
            Err(error) => {
                tracing::error!(%error, notification = %document.id, "a notification cannot be read");
                None
            }
        }
    }

    /// As it is told to a customer who has read everything up to this number.
    pub(crate) fn notification(self, id: String, read_to: u64) -> Notification {
        let Self { number, kind, amount, counterparty, account, reference, transfer, at, read, .. } = self;
        let (transfer, code) = transfer.map(|transfer| (transfer.id, transfer.code)).unzip();
        let (read, code) = (read || number <= read_to, code.flatten());
        Notification { id, kind, amount, counterparty, account, reference, transfer, code, at, read }
    }
}

/// Up to where a customer has read everything, as the body of a document under the customer's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) customer: String,
    /// The number of the newest notification that is read.
    pub(crate) read_to: u64,
}
