//! The embedded items store against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::{SqliteItems, SqliteOptions};

async fn fresh() -> (SqliteItems, ()) {
    (SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::items_conformance!(fresh());

/// What `connect` gives passes as well.
mod connected {
    bank_stores::items_conformance!(async { (bank_stores::connect::items("memory:").await.unwrap(), ()) });
}

/// Whatever the number of shards.
mod sharded {
    use super::*;

    async fn sharded() -> (SqliteItems, ()) {
        (SqliteItems::open(SqliteOptions::temporary().unwrap().shards(5)).await.unwrap(), ())
    }

    bank_stores::items_conformance!(sharded());
}
