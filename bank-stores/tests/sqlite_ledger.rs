//! The embedded ledger store against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::{SqliteLedger, SqliteOptions};

async fn fresh() -> (SqliteLedger, ()) {
    (SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::ledger_conformance!(fresh());

/// What `connect` gives passes as well.
mod connected {
    bank_stores::ledger_conformance!(async { (bank_stores::connect::ledger("memory:").await.unwrap(), ()) });
}

/// Groups that are smaller than a batch keep the same promises.
mod in_small_groups {
    use super::*;

    async fn small() -> (SqliteLedger, ()) {
        (SqliteLedger::open(SqliteOptions::temporary().unwrap().group(3).readers(1)).await.unwrap(), ())
    }

    bank_stores::ledger_conformance!(small());
}
