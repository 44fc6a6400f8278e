//! The rows that a transfer leaves in the store, and their keys.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `transfer#ID` | `transfer` | the transfer; stays |
//! | `transfer#ID` | `answer` | what its key stands for and was answered; at least a day |
//! | `pending#SHARD` | time `#` ID | that there is something to do |
//! | `activity#CUSTOMER` | time `#` ID | the transfer as this customer sees it |
//! | `activity#CUSTOMER#ACCOUNT` | time `#` ID | the same, for one account |

use std::time::Duration;

use bank_sdk::{Fingerprint, Problem};
use bank_stores::items::Key;
use bank_stores::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::wire::{Direction, Transfer, TransferStatus};

/// How long a key's answer is kept byte for byte. Afterwards it is rebuilt from the transfer, which stays.
pub(crate) const ANSWER_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// What is to do is spread over so many partitions, so that none is written to by every transfer.
pub(crate) const SHARDS: u8 = 4;

/// A transfer as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: Money,
    pub(crate) reference: Option<String>,
    pub(crate) created_at: Timestamp,
    /// What the key stands for.
    pub(crate) fingerprint: Fingerprint,
    /// The request that began it, which a refusal names.
    pub(crate) request: String,
    pub(crate) state: State,
}

/// How far it is. `Pending` becomes one of the others, once; those stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// Accounts was asked or will be.
    Pending,
    /// Accounts has moved the money.
    Completed { to_owner: String, at: Timestamp },
    /// Accounts has refused for good.
    Rejected { code: String, at: Timestamp },
    /// The paying account is not the caller's, and the first request was told so: nobody sees this transfer, and the row only keeps its key from standing
    /// for something else.
    Refused,
}

impl Stored {
    /// As one side sees it.
    pub(crate) fn seen(&self, direction: Direction) -> Transfer {
        let (status, code, completed_at) = match &self.state {
            State::Pending | State::Refused => (TransferStatus::Pending, None, None),
            State::Completed { at, .. } => (TransferStatus::Completed, None, Some(*at)),
            State::Rejected { code, .. } => (TransferStatus::Rejected, Some(code.clone()), None),
        };
        Transfer {
            id: self.id.clone(),
            status,
            code,
            from: self.from.clone(),
            to: self.to.clone(),
            amount: self.amount,
            reference: self.reference.clone(),
            direction,
            created_at: self.created_at,
            completed_at,
        }
    }

    /// As this customer may see it, if at all.
    pub(crate) fn seen_by(&self, customer: &str) -> Option<Transfer> {
        match &self.state {
            State::Refused => None,
            _ if self.owner == customer => Some(self.seen(Direction::Out)),
            State::Completed { to_owner, .. } if to_owner == customer => Some(self.seen(Direction::In)),
            _ => None,
        }
    }

    /// What the request that began it is answered, as things stand.
    pub(crate) async fn answer(&self) -> Result<Answer, Problem> {
        match self.state {
            State::Refused => Answer::refusal(Problem::not_found(), &self.request).await,
            _ => Answer::created(&self.seen(Direction::Out)),
        }
    }

    pub(crate) fn key(&self) -> Key {
        transfer_key(&self.id)
    }

    pub(crate) fn answer_key(&self) -> Key {
        answer_key(&self.id)
    }

    pub(crate) fn pending_key(&self) -> Key {
        let shard = self.id.bytes().last().unwrap_or_default() % SHARDS;
        Key::new(pending_partition(shard), self.place())
    }

    pub(crate) fn activity_key(&self, customer: &str) -> Key {
        Key::new(activity_partition(customer, None), self.place())
    }

    pub(crate) fn account_activity_key(&self, customer: &str, account: &str) -> Key {
        Key::new(activity_partition(customer, Some(account)), self.place())
    }

    /// Orders by time; the id makes it unique.
    fn place(&self) -> String {
        format!("{:020}#{}", self.created_at.micros(), self.id)
    }
}

pub(crate) fn transfer_key(id: &str) -> Key {
    Key::new(format!("transfer#{id}"), "transfer")
}

pub(crate) fn answer_key(id: &str) -> Key {
    Key::new(format!("transfer#{id}"), "answer")
}

pub(crate) fn pending_partition(shard: u8) -> String {
    format!("pending#{shard}")
}

/// Ids hold no `#`, so that no two partitions are one.
pub(crate) fn activity_partition(customer: &str, account: Option<&str>) -> String {
    match account {
        Some(account) => format!("activity#{customer}#{account}"),
        None => format!("activity#{customer}"),
    }
}

/// What a key was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    /// Whose key it is.
    pub(crate) owner: String,
    pub(crate) fingerprint: Fingerprint,
    /// Nothing, while the first request is still running.
    pub(crate) answer: Option<Answer>,
}

/// What was erased with its owner's key is not there.
pub(crate) fn unless_erased<T>(read: bank_stores::Result<Option<T>>) -> bank_stores::Result<Option<T>> {
    match read {
        Err(error) if error.is_erased() => Ok(None),
        read => read,
    }
}
