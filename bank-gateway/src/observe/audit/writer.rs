//! The thread that writes. What waits together is written and synced together.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bank_stores::{Clock as _, SystemClock};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::chain::Hasher;
use super::file::Shared;
use super::{NotRecorded, Record, segments};

/// How long a file that cannot be written is left alone.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Nothing is to be done before the next record.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);
/// So many records are written at once.
const BATCH: usize = 8_192;

/// A record, and who waits until it is kept.
pub(super) struct Message {
    pub(super) record: Record,
    pub(super) waiting: Option<oneshot::Sender<Result<(), NotRecorded>>>,
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) hasher: Hasher,
    pub(super) head: String,
    pub(super) sync_every: Duration,
    pub(super) rotate_at: u64,
    pub(super) shared: Arc<Shared>,
    /// Whether the file may end with a part of a batch.
    pub(super) is_torn: bool,
    /// So many lost records stand in the chain as lost.
    pub(super) told_lost: u64,
    /// So many records were written since the last sync, and when the first of them was.
    pub(super) unsynced: u64,
    pub(super) unsynced_since: Option<Instant>,
}

impl Writer {
    /// Writes until nobody can send any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(self.time_until_due()) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(messages.try_iter().take(BATCH - 1));
                    self.shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
                    self.write(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.write(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(Vec::new());
                    self.sync();
                    return;
                }
            }
        }
    }

    fn time_until_due(&self) -> Duration {
        if self.shared.has_failed.load(Ordering::Relaxed) {
            return TRY_AGAIN;
        }
        match self.unsynced_since {
            Some(since) => self.sync_every.saturating_sub(since.elapsed()),
            None => NOTHING_DUE,
        }
    }

    fn write(&mut self, batch: Vec<Message>) {
        let outcome = self.append(&batch);
        if let Err(error) = &outcome {
            let count = batch.len() as u64;
            if count > 0 {
                tracing::error!(%error, records = count, "audit records cannot be written");
            }
            self.shared.lost.fetch_add(count, Ordering::Relaxed);
            self.shared.fail(error);
        }
        let somebody_waits = batch.iter().any(|message| message.waiting.is_some());
        let is_due = self.unsynced_since.is_some_and(|since| since.elapsed() >= self.sync_every);
        let has_failed = self.shared.has_failed.load(Ordering::Relaxed);
        let is_synced = if somebody_waits || is_due || has_failed { self.sync() } else { true };
        if is_synced && outcome.is_ok() {
            self.shared.has_failed.store(false, Ordering::Relaxed);
        }
        for waiting in batch.into_iter().filter_map(|message| message.waiting) {
            let kept = match &outcome {
                Ok(()) if is_synced => Ok(()),
                Ok(()) => Err(NotRecorded::new("the file cannot be synced")),
                Err(error) => Err(NotRecorded::new(error.to_string())),
            };
            // Whoever went away meanwhile is not told.
            let _ = waiting.send(kept);
        }
        if self.size >= self.rotate_at {
            self.rotate();
        }
    }

    /// Writes all of a batch or nothing. How many records were lost before stands in front of it.
    fn append(&mut self, batch: &[Message]) -> io::Result<()> {
        if self.is_torn {
            // What was written of the last batch would break the chain.
            self.file.set_len(self.size)?;
            self.is_torn = false;
        }
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.told_lost {
            let mut gap = Record::new(SystemClock::new().now(), "", "audit", 500);
            gap.reason = Some(format!("lost {}", lost - self.told_lost));
            self.hasher.append(&gap, &mut head, &mut text);
        }
        for message in batch {
            self.hasher.append(&message.record, &mut head, &mut text);
        }
        if text.is_empty() {
            return Ok(());
        }
        if let Err(error) = (&self.file).write_all(&text) {
            self.is_torn = true;
            return Err(error);
        }
        self.size += text.len() as u64;
        self.told_lost = lost;
        self.unsynced += batch.len() as u64;
        self.unsynced_since.get_or_insert_with(Instant::now);
        self.shared.written(batch.len() as u64, &head);
        self.head = head;
        Ok(())
    }

    /// Whether all that was written is kept.
    fn sync(&mut self) -> bool {
        if self.unsynced_since.is_none() {
            return true;
        }
        let outcome = self.file.sync_data();
        // After a failed sync nobody knows what of it is kept, and a second one would not tell either.
        let unsynced = std::mem::take(&mut self.unsynced);
        self.unsynced_since = None;
        if let Err(error) = &outcome {
            tracing::error!(%error, records = unsynced, "audit records may be lost: the file cannot be synced");
            self.shared.lost.fetch_add(unsynced, Ordering::Relaxed);
            self.shared.fail(error);
        }
        outcome.is_ok()
    }

    fn rotate(&mut self) {
        self.sync();
        match segments::rotate(&self.path) {
            Ok(file) => (self.file, self.size) = (file, 0),
            Err(error) => {
                tracing::error!(%error, "the audit file cannot be rotated, and grows on");
                self.shared.note(&error);
                // Not again for every record.
                self.rotate_at = self.size + (self.rotate_at / 4).max(1);
            }
        }
    }
}
