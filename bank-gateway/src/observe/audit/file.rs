//! Records in a file, written by a thread of its own.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::chain::Hasher;
use super::writer::{Message, Writer};
use super::{Audit, NotRecorded, Record, Recording, segments};

/// So many records may wait to be written.
const WAITING: usize = 8_192;
/// How long the end of an audit waits for what is not written yet.
const FAREWELL: Duration = Duration::from_secs(5);
/// The shortest key.
const MIN_KEY: usize = 32;

/// Records in a file.
pub struct AuditFile {
    sender: Mutex<Option<SyncSender<Message>>>,
    shared: Arc<Shared>,
    /// Disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

/// How an audit stands.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AuditStatus {
    /// So many records this process has written.
    pub written: u64,
    /// So many it has lost: the queue was full, or the file could not be written.
    pub lost: u64,
    /// So many wait to be written.
    pub waiting: usize,
    /// The hash of the last record. Kept elsewhere, it shows later that nothing before it was cut off.
    pub head: String,
    /// The last error, also where it has passed.
    pub error: Option<String>,
    /// Whether records can be written now.
    pub is_available: bool,
}

/// What the writer and those who send to it share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) lost: AtomicU64,
    pub(super) waiting: AtomicUsize,
    pub(super) has_failed: AtomicBool,
    written: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    head: String,
    error: Option<String>,
}

impl Shared {
    pub(super) fn written(&self, records: u64, head: &str) {
        self.written.fetch_add(records, Ordering::Relaxed);
        head.clone_into(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner).head);
    }

    pub(super) fn note(&self, error: &io::Error) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error.to_string());
    }

    pub(super) fn fail(&self, error: &io::Error) {
        self.note(error);
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

/// A file of records that is not open yet.
#[derive(Clone, Debug)]
#[must_use]
pub struct AuditFileBuilder {
    path: PathBuf,
    key: Option<Vec<u8>>,
    sync_every: Duration,
    rotate_at: u64,
}

impl AuditFileBuilder {
    /// Hashes records with this key, of at least 32 bytes: who can write the file cannot make another chain that holds. Keep
    /// it where the file is not.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    /// How long a record may wait until it is synced to disk (200 ms without this).
    pub const fn sync_every(mut self, time: Duration) -> Self {
        self.sync_every = time;
        self
    }

    /// Begins a new file when this one has so many bytes (256 MiB without this). The one before is kept as `NAME.000001` and
    /// so on, and the chain goes on over all of them.
    pub const fn rotate_at(mut self, bytes: u64) -> Self {
        self.rotate_at = bytes;
        self
    }

    /// Opens the file, which only its owner can read, and continues its chain. A line that was torn by a crash is cut off. The
    /// chain before the last line is not checked here: that is [`verify`](super::verify())'s.
    ///
    /// # Errors
    /// Where the file cannot be opened, another process appends to it, the key is too short, or the last line is no record
    /// that holds under this key.
    pub fn open(self) -> io::Result<AuditFile> {
        let hasher = match &self.key {
            Some(key) if key.len() < MIN_KEY => {
                let reason = format!("the key has {} bytes; it must have at least {MIN_KEY}", key.len());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            Some(key) => Hasher::keyed(key),
            None => Hasher::default(),
        };
        let file = segments::open(&self.path)?;
        let (last, end) = segments::last_line(&file)?;
        if end < file.metadata()?.len() {
            file.set_len(end)?;
        }
        let head = match last {
            Some(last) => read_head(&hasher, &last)?,
            // The chain goes on from the file before.
            None => match segments::earlier(&self.path)?.last() {
                Some((_, before)) => match segments::last_line(&File::open(before)?)?.0 {
                    Some(last) => read_head(&hasher, &last)?,
                    None => String::new(),
                },
                None => String::new(),
            },
        };
        let shared = Arc::new(Shared::default());
        shared.written(0, &head);
        let (sender, messages) = sync_channel(WAITING);
        let (ending, ended) = channel::<()>();
        let writer = Writer {
            path: self.path,
            file,
            size: end,
            hasher,
            head,
            sync_every: self.sync_every,
            rotate_at: self.rotate_at.max(1),
            shared: shared.clone(),
            told_lost: 0,
            is_torn: false,
            unsynced: 0,
            unsynced_since: None,
        };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run(&messages);
            drop(ending);
        })?;
        Ok(AuditFile { sender: Mutex::new(Some(sender)), shared, ended: Mutex::new(ended) })
    }
}

fn read_head(hasher: &Hasher, last: &[u8]) -> io::Result<String> {
    match hasher.read(last) {
        Some(line) => Ok(line.hash),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its last line is no audit record, or was written with another key; move the file away to begin a new chain",
        )),
    }
}

impl AuditFile {
    /// Describes a file before it is opened.
    pub fn builder(path: impl Into<PathBuf>) -> AuditFileBuilder {
        AuditFileBuilder {
            path: path.into(),
            key: None,
            sync_every: Duration::from_millis(200),
            rotate_at: 256 * 1024 * 1024,
        }
    }

    /// Appends to a file with the defaults: without a key, synced within 200 ms, rotated at 256 MiB.
    ///
    /// # Errors
    /// As [`AuditFileBuilder::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::builder(path).open()
    }

    /// How many records were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        AuditStatus {
            written: self.shared.written.load(Ordering::Relaxed),
            lost: self.lost(),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            head: told.head.clone(),
            error: told.error.clone(),
            is_available: !self.shared.has_failed.load(Ordering::Relaxed),
        }
    }

    /// Hands a message to the writer. What cannot be taken is counted.
    fn send(&self, message: Message) -> Result<(), NotRecorded> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted first: the writer may be faster than this thread.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if sender.as_ref().is_some_and(|sender| sender.try_send(message).is_ok()) {
            return Ok(());
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        Err(NotRecorded::new("too many records wait to be written"))
    }
}

impl Audit for AuditFile {
    fn record(&self, record: Record) {
        // What is lost is counted, and stands in the chain later.
        let _ = self.send(Message { record, waiting: None });
    }

    fn record_durably(&self, record: Record) -> Recording {
        let (waiting, kept) = oneshot::channel();
        let sent = self.send(Message { record, waiting: Some(waiting) });
        Box::pin(async move {
            sent?;
            kept.await.unwrap_or_else(|_| Err(NotRecorded::new("the writer has ended")))
        })
    }

    fn status(&self) -> Option<AuditStatus> {
        Some(Self::status(self))
    }

    fn check(&self) -> Result<(), NotRecorded> {
        if self.shared.waiting.load(Ordering::Relaxed) >= WAITING {
            return Err(NotRecorded::new("too many records wait to be written"));
        }
        if !self.shared.has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        Err(NotRecorded::new(told.error.clone().unwrap_or_default()))
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // A disk that hangs does not keep the process from ending.
        if ended.recv_timeout(FAREWELL) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the last audit records are not written yet, and may be lost");
        }
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFile").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
