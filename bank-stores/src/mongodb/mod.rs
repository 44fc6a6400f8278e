//! MongoDB: documents that several processes share, on a replica set or a sharded cluster.
//!
//! ```no_run
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::documents::{Collection, DocumentChange, DocumentWrite};
//! use bank_stores::mongodb::{MongoDocuments, MongoOptions};
//! use bank_stores::{Documents, DocumentsExt};
//! use serde_json::json;
//!
//! let options = MongoOptions::new("mongodb://bank@db.example/?replicaSet=main")?;
//! let documents = MongoDocuments::open(options.password("from a file")).await?;
//! documents.declare(&Collection::new("partners").unique("email", ["email"])).await?;
//! let insert = DocumentChange::insert("p1", &json!({"email": "a@example.com"}))?;
//! documents.write_one("partners", DocumentWrite::new("w1", insert)).await?;
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! MongoDB 5.0 or later. What was written is on a majority of the servers and in their journals. A `Current` read of one document is
//! linearizable. A `Current` page holds documents that a majority has.
//!
//! A write whose reply was lost is sent again within the call, since a document remembers the write that it was left by. It is
//! `Indeterminate` where another write came after it, and where a delete finds nothing the second time.
//!
//! While no server can be reached, calls are `Unavailable` at once, but for one now and then that looks whether one is back.
//!
//! A unique key is computed by the writer and stored beside the body. Processes learn within half a second that a key was declared
//! for a collection that has documents; a write that is on its way for longer may miss it. So declare keys before others write.

mod body;
mod definition;
mod documents;
mod error;
mod filter;
mod find;
mod keys;
mod options;
mod row;
mod schema;
mod store;
mod write;

pub use documents::MongoDocuments;
pub use options::MongoOptions;
