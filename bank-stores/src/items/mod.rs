//! Keyed items with conditional writes, transactions over several of them, ordered queries and expiry.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::embedded::{SqliteItems, SqliteOptions};
//! use bank_stores::items::{Change, Condition, Key, Transaction};
//! use bank_stores::{Consistency, ErrorKind, Items, ItemsExt};
//!
//! let items = SqliteItems::open(SqliteOptions::temporary()?).await?;
//! let key = Key::new("transfer", "tr_1");
//! let create = Change::put(key.clone(), &"accepted")?.when(Condition::Absent);
//! items.commit_one(Transaction::new("w1").change(create.clone())).await?;
//!
//! let (state, version): (String, u64) = items.get_json(&key, Consistency::Current).await?.unwrap();
//! assert_eq!(state, "accepted");
//! let step = Change::put(key, &"posted")?.when(Condition::Version(version));
//! items.commit_one(Transaction::new("w2").change(step)).await?;
//!
//! let again = items.commit_one(Transaction::new("w3").change(create)).await.unwrap_err();
//! assert_eq!((again.kind(), again.change()), (ErrorKind::AlreadyExists, Some(0)));
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```

use async_trait::async_trait;
use serde::de::DeserializeOwned;

mod change;
mod key;

pub use change::{Change, Committed, Condition, MAX_CHANGES, MAX_TRANSACTION, Settled, Transaction, WriteId};
pub use key::{Item, Key, MAX_KEY, MAX_VALUE, Query, SortRange};

use crate::{Consistency, Error, ErrorKind, Outbox, Page, PageRequest, Result};

/// Keyed items, with an [`Outbox`] of the events of their transactions.
///
/// A read is [`Consistency::Current`] or [`Consistency::Any`]; a commit gives no token, and `AtLeast` is answered as `Current`.
///
/// Whether an item has expired is asked of the clock of whoever reads or writes: two callers whose clocks differ may disagree. What
/// has expired is removed later. A clock that jumps far ahead removes no item, and lets no other take its place.
///
/// Cancelling a call never leaves half an effect: a transaction that had been handed over happens whole or not at all,
/// and its id tells later which.
#[async_trait]
pub trait Items: Outbox {
    /// The item, if there is one that has not expired by the caller's clock.
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>>;

    /// Executes transactions; each is atomic and has its own outcome, in the order given.
    ///
    /// Where a condition does not hold, the error's `change()` is its index; the kind is `AlreadyExists` for
    /// [`Condition::Absent`] and `Conflict` for the others.
    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>>;

    /// The outcome of a transaction, if it is known by now. `None` is not final: it may still be on its way; see
    /// [`Items::settle`].
    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>>;

    /// The outcome of a transaction for good, after [`ErrorKind::Indeterminate`] say.
    ///
    /// Where it has not taken effect, it never will: its id is refused from now on (`Rejected`, field `id`), for seven days at
    /// least. Whoever wants to try again takes a new id.
    async fn settle(&self, id: &WriteId) -> Result<Settled>;

    /// The items of one partition, in the order of `sort`. A page may be short or empty while it has `next`.
    async fn query(&self, query: &Query) -> Result<Page<Item>>;
}

/// [`Items`] that give all they have, whatever its partition: for maintenance, such as sealing what was written in the clear.
#[async_trait]
pub trait ItemsScan: Items {
    /// A page of all items that have not expired, forward and in an order of the store's own. A page may be short or empty while it has
    /// `next`. What is there throughout is on one of the pages; what is written meanwhile may be.
    ///
    /// # Errors
    /// `Invalid`, field `direction`, for a page that is read backward.
    async fn scan(&self, page: &PageRequest) -> Result<Page<Item>>;
}

/// Checks the page of a scan; adapters call it first.
#[cfg(any(feature = "dynamodb", feature = "embedded"))]
pub(crate) fn check_scan(page: &PageRequest) -> Result<()> {
    page.validate()?;
    if page.direction == crate::Direction::Backward {
        return Err(Error::invalid("direction", "all items are read forward"));
    }
    Ok(())
}

/// What the cursors of a scan are bound to.
#[cfg(any(feature = "dynamodb", feature = "embedded"))]
pub(crate) const SCAN: [&str; 1] = ["scan"];

/// Conveniences for every [`Items`].
#[async_trait]
pub trait ItemsExt: Items {
    /// Executes one transaction.
    async fn commit_one(&self, transaction: Transaction) -> Result<Committed> {
        let outcome = self.commit(vec![transaction]).await.pop();
        outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Indeterminate, "the store gave no outcome")))
    }

    /// The item's value read as JSON, and its version.
    async fn get_json<T: DeserializeOwned + Send>(
        &self,
        key: &Key,
        read: Consistency,
    ) -> Result<Option<(T, u64)>> {
        match self.get(key, read).await? {
            Some(item) => Ok(Some((item.json()?, item.version))),
            None => Ok(None),
        }
    }
}

impl<I: Items + ?Sized> ItemsExt for I {}
