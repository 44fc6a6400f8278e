//! The embedded documents store against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::{SqliteDocuments, SqliteOptions};

async fn fresh() -> (SqliteDocuments, ()) {
    (SqliteDocuments::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::documents_conformance!(fresh());
