//! The outbox of the embedded ledger store against the suite of outboxes.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::{SqliteLedger, SqliteOptions};

async fn fresh() -> (SqliteLedger, ()) {
    (SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::ledger_outbox_conformance!(fresh());

/// What `connect` gives passes as well.
mod connected {
    bank_stores::ledger_outbox_conformance!(async {
        (bank_stores::connect::ledger("memory:").await.unwrap(), ())
    });
}
