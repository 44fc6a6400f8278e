//! The embedded items store against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::{SqliteItems, SqliteOptions};

async fn fresh() -> (SqliteItems, ()) {
    (SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::items_conformance!(fresh());
