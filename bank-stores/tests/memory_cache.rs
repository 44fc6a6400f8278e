//! The embedded cache against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::embedded::MemoryCache;

async fn fresh() -> (MemoryCache, ()) {
    (MemoryCache::new(), ())
}

bank_stores::cache_conformance!(fresh());
