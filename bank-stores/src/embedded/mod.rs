//! Stores that need no server: SQLite for what lasts, memory for the cache, limits and claims.
//!
//! A store is one file with SQLite's write-ahead log beside it, and has one writer: a second process that opens it is
//! refused, but may open it with [`SqliteOptions::read_only`]. What was acknowledged survives `kill -9` and power loss
//! (`synchronous=FULL`).
//!
//! Writes of all callers go to one writer task over a bounded queue. It takes what is waiting, executes it as one set of
//! statements in one database transaction, and answers each caller. When nothing is waiting, a write is committed at once.

mod backup;
mod cache;
mod database;
mod descriptors;
mod documents;
mod error;
mod files;
mod filter;
mod items;
mod json;
mod ledger;
mod limits;
mod once;
mod options;
mod outbox;
mod steady;
mod uptime;
mod writer;

pub use backup::Staged;
pub use cache::MemoryCache;
pub use documents::SqliteDocuments;
pub use items::SqliteItems;
pub use ledger::SqliteLedger;
pub use limits::MemoryLimits;
pub use once::MemoryOnce;
pub use options::SqliteOptions;
