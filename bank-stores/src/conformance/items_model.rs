//! A store of items in memory that is plain enough to be seen to be right.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::items::{Change, Committed, Condition, Key, Settled, Transaction, WriteId};
use crate::{ErrorKind, Timestamp};

/// What an item holds, and until when.
type Held = (Bytes, u64, Option<Timestamp>);

/// Why a transaction is refused: the kind, and the index of the change.
pub type Refusal = (ErrorKind, Option<usize>);

/// Items as they have to be after the transactions that a store said to have committed, in the order of their commit.
#[derive(Clone, Debug, Default)]
pub struct ItemsModel {
    items: BTreeMap<Key, Held>,
    writes: BTreeMap<String, ([u8; 32], Settled)>,
}

impl ItemsModel {
    /// How the transaction has to end at this time: the first outcome where it was committed before, nothing where it is to be
    /// committed now, or the refusal.
    ///
    /// # Errors
    /// The refusal.
    pub fn expect(&self, transaction: &Transaction, now: Timestamp) -> Result<Option<Committed>, Refusal> {
        match self.writes.get(transaction.id.as_str()) {
            Some((_, Settled::Never)) => return Err((ErrorKind::Rejected, None)),
            Some((content, Settled::Committed(first))) if *content == transaction.content() => {
                return Ok(Some(first.clone().replay()));
            }
            Some(_) => return Err((ErrorKind::Conflict, None)),
            None => {}
        }
        for (index, change) in transaction.changes.iter().enumerate() {
            let version = self.item(change.key(), now).map(|(_, version, _)| *version);
            let refused = match change.condition() {
                Condition::Always => None,
                Condition::Absent => version.map(|_| ErrorKind::AlreadyExists),
                Condition::Exists => version.is_none().then_some(ErrorKind::Conflict),
                Condition::Version(wanted) => (version != Some(wanted)).then_some(ErrorKind::Conflict),
            };
            if let Some(kind) = refused {
                return Err((kind, Some(index)));
            }
        }
        Ok(None)
    }

    /// Takes in a transaction that was committed now, with the versions that the store gave it.
    pub fn commit(&mut self, transaction: &Transaction, committed: &Committed) {
        for (change, version) in transaction.changes.iter().zip(&committed.versions) {
            match change {
                Change::Put { key, value, expires_at, .. } => {
                    self.items.insert(key.clone(), (value.clone(), *version, *expires_at));
                }
                Change::Delete { key, .. } => drop(self.items.remove(key)),
                Change::Check { .. } => {}
            }
        }
        let first = Committed { replayed: false, ..committed.clone() };
        let write = (transaction.content(), Settled::Committed(first));
        self.writes.insert(transaction.id.as_str().to_owned(), write);
    }

    /// How the transaction of this id is settled.
    pub fn settle(&mut self, id: &WriteId) -> Settled {
        let never = ([0; 32], Settled::Never);
        self.writes.entry(id.as_str().to_owned()).or_insert(never).1.clone()
    }

    /// What the item holds, if it is there.
    pub fn item(&self, key: &Key, now: Timestamp) -> Option<&Held> {
        self.items.get(key).filter(|(_, _, expires_at)| expires_at.is_none_or(|at| at > now))
    }

    /// The items that are there.
    pub fn items(&self, now: Timestamp) -> Vec<(&Key, &Held)> {
        self.items.iter().filter(|(key, _)| self.item(key, now).is_some()).collect()
    }
}
