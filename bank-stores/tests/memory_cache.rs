//! What is in memory against the suites of its roles; claims also where they are items.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bank_stores::connect;
use bank_stores::embedded::{MemoryCache, MemoryLimits, MemoryOnce, SqliteItems, SqliteOptions};
use bank_stores::once::ItemsOnce;

mod cache {
    use super::*;

    bank_stores::cache_conformance!(async { (MemoryCache::new(), ()) });
}

mod limits {
    use super::*;

    bank_stores::limits_conformance!(async { (MemoryLimits::new(), ()) });
}

mod claims {
    use super::*;

    bank_stores::once_conformance!(async { (MemoryOnce::new(), ()) });
}

mod claims_as_items {
    use super::*;

    async fn fresh() -> (ItemsOnce, ()) {
        let items = SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap();
        (ItemsOnce::new(Arc::new(items), "once"), ())
    }

    bank_stores::once_conformance!(fresh());
}

/// What `connect` gives passes as well.
mod connected {
    use super::*;

    bank_stores::cache_conformance!(async { (connect::cache("memory:").await.unwrap(), ()) });
    bank_stores::limits_conformance!(async { (connect::limits("memory:").await.unwrap(), ()) });
    bank_stores::once_conformance!(async { (connect::once("memory:").await.unwrap(), ()) });
}
