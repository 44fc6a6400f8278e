//! The ledger on a real PostgreSQL server: the role's suite, and what only a server can do.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use async_trait::async_trait;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::conformance::ledger::Reopen;
use bank_tests::Postgres;

/// A ledger of its own on the server that these tests share.
async fn fresh() -> Option<(AuroraLedger, ())> {
    let server =
        tokio::task::spawn_blocking(|| Postgres::shared("the ledger on PostgreSQL")).await.unwrap()?;
    let options = AuroraOptions::new(&server.url()).unwrap().schema(&Postgres::fresh_schema()).unwrap();
    Some((AuroraLedger::open(options.connections(4)).await.unwrap(), ()))
}

bank_stores::ledger_conformance!(fresh());

/// Its events keep what every outbox promises.
mod outbox {
    use super::*;

    bank_stores::ledger_outbox_conformance!(fresh());
}

/// Groups that are smaller than a batch keep the same promises.
mod in_small_groups {
    use super::*;

    async fn small() -> Option<(AuroraLedger, ())> {
        let server =
            tokio::task::spawn_blocking(|| Postgres::shared("the ledger on PostgreSQL")).await.unwrap()?;
        let options = AuroraOptions::new(&server.url()).unwrap().schema(&Postgres::fresh_schema()).unwrap();
        Some((AuroraLedger::open(options.connections(2).group(3)).await.unwrap(), ()))
    }

    bank_stores::ledger_conformance!(small());
}

/// Any number of handles write.
struct Schema(AuroraOptions);

#[async_trait]
impl Reopen for Schema {
    type Ledger = AuroraLedger;

    async fn open(&self) -> AuroraLedger {
        AuroraLedger::open(self.0.clone()).await.unwrap()
    }

    async fn beside(&self) -> AuroraLedger {
        self.open().await
    }

    async fn close(&self, ledger: &AuroraLedger) {
        ledger.close().await;
    }
}

async fn schema() -> Option<(Schema, ())> {
    let server =
        tokio::task::spawn_blocking(|| Postgres::shared("the ledger on PostgreSQL")).await.unwrap()?;
    let options = AuroraOptions::new(&server.url()).unwrap().schema(&Postgres::fresh_schema()).unwrap();
    Some((Schema(options.connections(2)), ()))
}

bank_stores::ledger_reopening_conformance!(schema());
