//! Observed stores: each over an embedded one against its role's suite.

#![cfg(all(feature = "observed", feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bank_stores::embedded::{
    MemoryCache, MemoryLimits, MemoryOnce, SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions,
};
use bank_stores::observed::{CallCounts, Observed};

fn observed<R>(store: R) -> (Observed<R>, ()) {
    (Observed::new(Arc::new(store), "tested", Arc::new(CallCounts::new())), ())
}

mod ledger {
    use super::*;

    async fn fresh() -> (Observed<SqliteLedger>, ()) {
        observed(SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::ledger_conformance!(fresh());

    mod outbox {
        use super::*;

        bank_stores::ledger_outbox_conformance!(fresh());
    }
}

mod items {
    use super::*;

    async fn fresh() -> (Observed<SqliteItems>, ()) {
        observed(SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::items_conformance!(fresh());
}

mod documents {
    use super::*;

    async fn fresh() -> (Observed<SqliteDocuments>, ()) {
        observed(SqliteDocuments::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::documents_conformance!(fresh());
}

mod cache {
    use super::*;

    bank_stores::cache_conformance!(async { observed(MemoryCache::new()) });
}

mod limits {
    use super::*;

    bank_stores::limits_conformance!(async { observed(MemoryLimits::new()) });
}

mod claims {
    use super::*;

    bank_stores::once_conformance!(async { observed(MemoryOnce::new()) });
}
