//! Tells who waits for events that there are some of other processes: one query at a time, however many wait.
//!
//! The newest number is asked for as long as anybody waits, and not otherwise. It is not told by `NOTIFY`, which costs each group more
//! than it saves: `docs/stores.md` has the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::aurora::database::Database;
use crate::ledger::sql::{Session as _, Store as _};
use crate::{Consistency, Result};

/// How often the events of other processes are looked for.
const POLL: Duration = Duration::from_millis(50);
/// How long it is waited where the server cannot be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// The one task of a process that looks.
#[derive(Debug)]
pub(super) struct Watcher {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// The number of the newest event; none where the server could not be asked.
    newest: watch::Sender<Option<u64>>,
    waiters: AtomicUsize,
    arrived: Notify,
}

impl Watcher {
    pub(super) fn start(database: Arc<Database>) -> Self {
        let (newest, _) = watch::channel(None);
        let shared = Arc::new(Shared { newest, waiters: AtomicUsize::new(0), arrived: Notify::new() });
        let task = tokio::spawn(watch_over(shared.clone(), database));
        Self { shared, task }
    }

    /// Nobody is told any more.
    pub(super) fn stop(&self) {
        self.task.abort();
    }

    /// What tells a reader of further events; `own` is the newest number that this process wrote.
    pub(super) fn reader(&self, own: watch::Receiver<u64>) -> Reader {
        Reader { own, others: self.shared.newest.subscribe(), shared: self.shared.clone() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn watch_over(shared: Arc<Shared>, database: Arc<Database>) {
    loop {
        while shared.waiters.load(Ordering::Acquire) == 0 {
            shared.arrived.notified().await;
        }
        let newest = newest(&database).await;
        if let Err(error) = &newest {
            tracing::debug!(error = ?error, "nobody knows whether there are events");
        }
        let newest = newest.ok();
        shared.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        sleep(if newest.is_some() { POLL } else { PAUSE }).await;
    }
}

async fn newest(database: &Database) -> Result<u64> {
    let mut session = database.session(Consistency::Current).await?;
    Ok(session.number("SELECT {newest} AS number", Vec::new()).await?.unwrap_or_default() as u64)
}

/// Whoever reads events and waits for further ones.
pub(super) struct Reader {
    own: watch::Receiver<u64>,
    others: watch::Receiver<Option<u64>>,
    shared: Arc<Shared>,
}

impl Reader {
    /// Is about to read: what comes from here on is told.
    pub(super) fn reads(&mut self) {
        self.own.mark_unchanged();
        self.others.mark_unchanged();
    }

    /// Waits until there may be an event behind this number that was not there when it read, or the server cannot be asked.
    pub(super) async fn wait_beyond(&mut self, number: u64) {
        let _waiter = Waiter::new(&self.shared);
        // A number that was told before is no reason to read again: a failover may have lost what it names.
        tokio::select! {
            () = changes(&mut self.own, |newest| *newest > number) => {}
            () = changes(&mut self.others, |newest| newest.is_none_or(|newest| newest > number)) => {}
        }
    }
}

/// Waits for a change to what is wanted; for ever where nobody changes it any more.
async fn changes<T: Send + Sync>(value: &mut watch::Receiver<T>, wanted: impl Fn(&T) -> bool + Send) {
    while value.changed().await.is_ok() {
        if wanted(&value.borrow_and_update()) {
            return;
        }
    }
    std::future::pending().await
}

/// Counts for as long as somebody waits.
struct Waiter<'a>(&'a Shared);

impl<'a> Waiter<'a> {
    fn new(shared: &'a Shared) -> Self {
        if shared.waiters.fetch_add(1, Ordering::AcqRel) == 0 {
            shared.arrived.notify_one();
        }
        Self(shared)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_number_that_was_told_before_the_reading_wakes_nobody_again() {
        let newest = watch::channel(Some(20)).0;
        let shared = Arc::new(Shared { newest, waiters: AtomicUsize::new(0), arrived: Notify::new() });
        let (own, others) = (watch::channel(20).0, &shared.newest);
        let mut reader = Reader { own: own.subscribe(), others: others.subscribe(), shared: shared.clone() };
        let mut wakes = async |number| {
            let woken = timeout(Duration::from_secs(1), reader.wait_beyond(number)).await.is_ok();
            reader.reads();
            woken
        };
        // A failover has lost what came behind 15.
        assert!(!wakes(15).await);
        // What comes while it reads is told, whoever wrote it; what it has seen is not.
        others.send_replace(Some(16));
        assert_eq!((wakes(15).await, wakes(16).await), (true, false));
        own.send_replace(17);
        assert_eq!((wakes(16).await, wakes(16).await), (true, false));
        others.send_replace(Some(17));
        assert!(!wakes(17).await);
        // And that nobody knows.
        others.send_replace(None);
        assert_eq!((wakes(17).await, wakes(17).await), (true, false));
        assert_eq!(shared.waiters.load(Ordering::Relaxed), 0);
    }
}
