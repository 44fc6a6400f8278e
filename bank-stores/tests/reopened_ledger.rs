//! The embedded ledger opened again and again, and what the suite says where that goes wrong.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::conformance::ledger::{self, Reopen};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::{ManualClock, Timestamp};
use tempfile::TempDir;

struct Files {
    directory: PathBuf,
    clock: ManualClock,
    /// Whether each opening finds another file, and whether time stands still.
    forgets: bool,
    stands_still: bool,
    opened: AtomicU32,
}

impl Files {
    fn options(&self, writes: bool) -> SqliteOptions {
        let last = self.opened.fetch_add(u32::from(writes), Ordering::Relaxed);
        let name = if self.forgets { format!("{last}.db") } else { "ledger.db".to_owned() };
        SqliteOptions::new(self.directory.join(name)).clock(Arc::new(self.clock.clone()))
    }
}

#[async_trait]
impl Reopen for Files {
    type Ledger = SqliteLedger;

    async fn open(&self) -> SqliteLedger {
        SqliteLedger::open(self.options(true)).await.unwrap()
    }

    async fn beside(&self) -> SqliteLedger {
        let options = self.options(false);
        // A file that is not the first handle's has to be made.
        SqliteLedger::open(if self.forgets { options } else { options.read_only() }).await.unwrap()
    }

    async fn close(&self, ledger: &SqliteLedger) {
        ledger.close().await;
    }

    fn pass(&self, time: Duration) -> bool {
        if !self.stands_still {
            self.clock.advance(time);
        }
        true
    }
}

fn files(forgets: bool, stands_still: bool) -> (Files, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let (path, opened) = (directory.path().to_owned(), AtomicU32::new(0));
    (Files { directory: path, clock, forgets, stands_still, opened }, directory)
}

async fn sound() -> (Files, TempDir) {
    files(false, false)
}

bank_stores::ledger_reopening_conformance!(sound());

#[tokio::test]
async fn a_ledger_that_is_another_one_each_time_is_found_out() {
    let second = tokio::spawn(async {
        let (forgets, _directory) = files(true, false);
        ledger::a_second_handle_sees_what_the_first_one_wrote(&forgets).await;
    });
    let reopened = tokio::spawn(async {
        let (forgets, _directory) = files(true, false);
        ledger::a_ledger_goes_on_where_it_was_closed(&forgets).await;
    });
    assert!(second.await.is_err() && reopened.await.is_err());
}

#[tokio::test]
async fn a_ledger_whose_time_stands_still_is_found_out() {
    let held = tokio::spawn(async {
        let (stands_still, _directory) = files(false, true);
        ledger::a_hold_ends_while_time_passes(&stands_still).await;
    });
    assert!(held.await.is_err());
}
