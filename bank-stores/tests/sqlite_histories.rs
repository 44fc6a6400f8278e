//! What the embedded stores promise holds across processes that are killed at any moment; `histories`, of the reference bank's tests,
//! does it to the ledger.

#![cfg(all(unix, feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "history/documents.rs"]
mod documents;
#[path = "history/items.rs"]
mod items;
#[path = "history/lives.rs"]
mod lives;
#[path = "history/once.rs"]
mod once;
