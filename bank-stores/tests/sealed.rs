//! Sealed stores: each over an embedded one against its role's suite, and what sealing promises beside.

#![cfg(all(feature = "seal", feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "sealed/files.rs"]
mod files;
#[path = "sealed/ground.rs"]
mod ground;
#[path = "sealed/keyring.rs"]
mod keyring;
#[path = "sealed/rotation.rs"]
mod rotation;
#[path = "sealed/unsealed.rs"]
mod unsealed;
#[path = "sealed/values.rs"]
mod values;

use ground::Ground;

mod items {
    use super::*;
    use bank_stores::seal::SealedItems;

    async fn fresh() -> (SealedItems, Ground) {
        let ground = Ground::new().await;
        (ground.items("things"), ground)
    }

    bank_stores::items_conformance!(fresh());
}

mod documents {
    use super::*;
    use bank_stores::seal::{SealedDocuments, SealedFields};

    /// The suite's unique key `email`, and a text.
    async fn fresh() -> (SealedDocuments, Ground) {
        let ground = Ground::new().await;
        let fields = SealedFields::new().seal_indexed("things", "email").seal("things", "text");
        (ground.documents(fields).await, ground)
    }

    bank_stores::documents_conformance!(fresh());
}

mod ledger {
    use super::*;
    use bank_stores::seal::SealedLedger;

    async fn fresh() -> (SealedLedger, Ground) {
        let ground = Ground::new().await;
        (ground.ledger().await, ground)
    }

    bank_stores::ledger_conformance!(fresh());

    mod outbox {
        use super::*;

        bank_stores::ledger_outbox_conformance!(fresh());
    }
}

mod cache {
    use super::*;
    use bank_stores::embedded::MemoryCache;
    use bank_stores::seal::SealedCache;
    use std::sync::Arc;

    async fn fresh() -> (SealedCache, Ground) {
        let ground = Ground::new().await;
        (SealedCache::new(Arc::new(MemoryCache::new()), ground.keys(), "cache"), ground)
    }

    bank_stores::cache_conformance!(fresh());
}
