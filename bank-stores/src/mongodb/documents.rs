//! The role `Documents` on MongoDB.

use std::fmt;

use ::mongodb::bson::doc;
use ::mongodb::options::ReadConcern;
use async_trait::async_trait;

use super::store::Store;
use super::{MongoOptions, find, row, schema, write};
use crate::documents::collection::check_name;
use crate::documents::{Collection, Document, DocumentWrite, Find, Written};
use crate::{Consistency, Documents, Page, Result};

/// Documents in a database of MongoDB.
pub struct MongoDocuments {
    store: Store,
    options: MongoOptions,
}

impl MongoDocuments {
    /// Connects, on the current tokio runtime, and looks whether a primary answers.
    ///
    /// # Errors
    /// `Unavailable` where none does, `Denied` where it does not let the user in, and `Invalid` for options that cannot be used.
    pub async fn open(options: MongoOptions) -> Result<Self> {
        let documents = Self { store: Store::open(&options).await?, options };
        documents.ping().await?;
        Ok(documents)
    }

    /// Whether a primary answers: for a health check.
    ///
    /// # Errors
    /// `Unavailable` where none does.
    pub async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    /// Closes the connections; later calls are `Unavailable`.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

impl fmt::Debug for MongoDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDocuments").field("options", &self.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Documents for MongoDocuments {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        collection.validate()?;
        schema::declare(&self.store, collection).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        self.store.definition(collection).await?;
        let rows = self.store.rows(collection);
        // By the id alone: only such a read can be linearizable.
        let call = rows.find_one(doc! { "_id": id }).projection(doc! { "k": 0, "s": 0, "w": 0, "f": 0 });
        let call = match read {
            Consistency::Any => {
                call.read_concern(ReadConcern::majority()).selection_criteria(find::any_copy())
            }
            _ => call.read_concern(ReadConcern::linearizable()).max_time(self.store.deadline()),
        };
        let Some(row) = self.store.read(call).await? else { return Ok(None) };
        let (document, now) = (row::document(row)?, self.store.now());
        Ok(Some(document).filter(|document| document.expires_at.is_none_or(|at| at > now)))
    }

    /// One after another, in their order. A cancelled call has done those before the one that it was at.
    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        let name = check_name("collection", collection);
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in &writes {
            outcomes.push(match name.clone().and_then(|()| write.validate()) {
                Ok(()) => write::write(&self.store, collection, write).await,
                Err(fault) => Err(fault),
            });
        }
        outcomes
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        find.validate()?;
        find::find(&self.store, collection, find).await
    }
}
