//! Typed documents with filters, unique keys, optimistic versions and expiry.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::documents::{Collection, DocumentChange, DocumentWrite, Filter, Find};
//! use bank_stores::embedded::{SqliteDocuments, SqliteOptions};
//! use bank_stores::{Documents, DocumentsExt, ErrorKind};
//! use serde_json::json;
//!
//! let documents = SqliteDocuments::open(SqliteOptions::temporary()?).await?;
//! documents.declare(&Collection::new("partners").unique("email", ["email"])).await?;
//! let insert = DocumentChange::insert("p1", &json!({"email": "a@example.com", "active": true}))?;
//! documents.write_one("partners", DocumentWrite::new("w1", insert)).await?;
//!
//! let taken = DocumentChange::insert("p2", &json!({"email": "a@example.com"}))?;
//! let error = documents.write_one("partners", DocumentWrite::new("w2", taken)).await.unwrap_err();
//! assert_eq!((error.kind(), error.field()), (ErrorKind::AlreadyExists, Some("email")));
//!
//! let active = documents.find("partners", &Find::all().filter(Filter::eq("active", true))).await?;
//! assert_eq!(active.items[0].id, "p1");
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```

use std::fmt;

use async_trait::async_trait;

pub(crate) mod collection;
mod document;
mod find;
mod write;

pub use collection::{Collection, MAX_SORT_TEXT, Unique};
pub use document::{Document, Written};
pub use find::{Filter, Find};
pub use write::{DocumentChange, DocumentWrite, MAX_BODY, MAX_DEPTH};

pub use crate::items::WriteId;

use crate::{Consistency, Error, ErrorKind, Page, Result};

/// Collections of JSON documents.
///
/// A read is [`Consistency::Current`] or [`Consistency::Any`]; writes give no token, and `AtLeast` is answered as `Current`. Whether a
/// document has expired is asked of the clock of whoever reads or writes.
///
/// Cancelling a call never leaves half an effect.
#[async_trait]
pub trait Documents: fmt::Debug + Send + Sync + 'static {
    /// Makes the collection with its unique keys, orders and indexes, where they are missing; repeating it changes nothing, and what
    /// was declared before stays.
    ///
    /// `Conflict`, field `unique`, if documents that are there break a unique key, or one of that name has other fields; field
    /// `sorted`, if they hold what nothing is sorted by. Then nothing of it is made.
    async fn declare(&self, collection: &Collection) -> Result<()>;

    /// The document, if there is one that has not expired; `NotFound` for a collection that was never declared.
    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>>;

    /// Executes writes; each is atomic and has its own outcome, in the order given.
    ///
    /// The same write again gives the first outcome, as [`DocumentWrite`] says.
    ///
    /// Replacing or deleting what does not exist is `NotFound`. A unique key that is taken is `AlreadyExists`, with the
    /// key's name (or `id`) as the error's field.
    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>>;

    /// The documents that match, by a declared field and then by id, or by id. A page may be short or empty while it has `next`.
    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>>;
}

/// Conveniences for every [`Documents`].
#[async_trait]
pub trait DocumentsExt: Documents {
    /// Executes one write.
    async fn write_one(&self, collection: &str, write: DocumentWrite) -> Result<Written> {
        let outcome = self.write(collection, vec![write]).await.pop();
        outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Indeterminate, "the store gave no outcome")))
    }
}

impl<D: Documents + ?Sized> DocumentsExt for D {}
