//! Who did what, when, from where, with which outcome (S27): one JSON record a line, each with the hash of the one before
//! it, so that a record which is changed, removed, inserted or moved is found.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use aws_lc_rs::digest;
use bank_stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// So many records may wait to be written.
const WAITING: usize = 8_192;

/// What happened. There is no secret in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// In which request.
    pub request: String,
    /// Who, as far as that is known.
    pub who: Option<String>,
    /// From where.
    pub from: String,
    /// What: the operation, or `unrouted` where no route serves the path.
    pub what: String,
    /// The status of the answer.
    pub status: u16,
    /// The code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where records go.
pub trait Audit: fmt::Debug + Send + Sync + 'static {
    /// Takes a record without waiting for it to be kept.
    fn record(&self, record: Record);
}

/// Records in a file.
pub struct AuditFile {
    sender: Mutex<Option<SyncSender<Record>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<AtomicU64>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    record: Record,
    /// The hash of the line before this one.
    previous: String,
    hash: String,
}

impl AuditFile {
    /// Appends to a file, which only its owner can read, and continues its chain. A line that was torn by a crash is cut
    /// off. The chain before the last line is not checked here: that is [`verify`]'s.
    ///
    /// # Errors
    /// Where the file cannot be opened, another process appends to it, or its last line is no record.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        file.try_lock().map_err(|_| {
            std::io::Error::new(std::io::ErrorKind::WouldBlock, "another process appends to it")
        })?;
        let mut last = continue_chain(&mut file)?;
        let (sender, records) = sync_channel::<Record>(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        let writer = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Ok(record) = records.recv() {
                // What waits together is written together.
                let (mut text, mut next) = (Vec::new(), last.clone());
                let mut batch = vec![record];
                batch.extend(records.try_iter().take(WAITING));
                for record in &batch {
                    append(record, &mut next, &mut text);
                }
                let before = file.metadata().map(|metadata| metadata.len());
                match (&file).write_all(&text) {
                    Ok(()) => last = next,
                    Err(error) => {
                        tracing::error!(%error, records = batch.len(), "audit records cannot be written");
                        counted.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        // What was written of them would break the chain.
                        if let Ok(before) = before {
                            let _ = file.set_len(before);
                        }
                    }
                }
            }
            let _ = file.sync_data();
        })?;
        Ok(Self { sender: Mutex::new(Some(sender)), writer: Mutex::new(Some(writer)), lost })
    }

    /// How many records were lost because the writer did not keep up.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The hash of the last whole line; what stands behind it was torn by a crash and is cut off.
fn continue_chain(file: &mut File) -> std::io::Result<String> {
    /// Longer than any record.
    const TAIL: u64 = 64 * 1024;
    let size = file.metadata()?.len();
    let start = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') else {
        file.set_len(start)?;
        return Ok(String::new());
    };
    file.set_len(start + end as u64 + 1)?;
    let line = tail[..end].rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let line: Line = serde_json::from_slice(line).map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "its last line is no audit record")
    })?;
    Ok(line.hash)
}

fn append(record: &Record, last: &mut String, text: &mut Vec<u8>) {
    let hash = hash(record, last);
    let line = Line { record: record.clone(), previous: std::mem::replace(last, hash.clone()), hash };
    // Strings and numbers always serialize.
    if serde_json::to_writer(&mut *text, &line).is_ok() {
        text.push(b'\n');
    }
}

fn hash(record: &Record, previous: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(previous.as_bytes());
    context.update(b"\n");
    context.update(&serde_json::to_vec(record).unwrap_or_default());
    URL_SAFE_NO_PAD.encode(context.finish())
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// So many records hold.
    pub records: u64,
    /// The hash of the last one.
    pub last: String,
}

/// Reads a whole file of records and checks its chain.
///
/// # Errors
/// `InvalidData` with the number of the first line that does not hold.
pub fn verify(path: &Path) -> std::io::Result<Verified> {
    let mut verified = Verified::default();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let number = verified.records + 1;
        let broken = || {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("the audit chain is broken at line {number}"),
            )
        };
        let line: Line = serde_json::from_str(&line).map_err(|_| broken())?;
        if line.previous != verified.last || line.hash != hash(&line.record, &line.previous) {
            return Err(broken());
        }
        verified = Verified { records: number, last: line.hash };
    }
    Ok(verified)
}

impl Audit for AuditFile {
    fn record(&self, record: Record) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return };
        if matches!(sender.try_send(record), Err(TrySendError::Full(_))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFile").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(what: &str) -> Record {
        Record {
            at: Timestamp::from_seconds(1),
            request: "req_1".into(),
            who: Some("cus_1".into()),
            from: "127.0.0.1".into(),
            what: what.into(),
            status: 401,
            reason: None,
        }
    }

    #[test]
    fn s27_a_changed_removed_or_moved_record_is_found() {
        let directory = std::env::temp_dir().join(format!("bank-audit-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("audit.jsonl");
        for part in ["ab", "c"] {
            let audit = AuditFile::open(&path).unwrap();
            part.chars().for_each(|what| audit.record(record(&what.to_string())));
        }
        assert_eq!(verify(&path).unwrap().records, 3);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"at\":\"torn by a cra")).unwrap();
        let audit = AuditFile::open(&path).unwrap();
        assert!(AuditFile::open(&path).is_err(), "one process appends");
        drop(audit);
        assert_eq!(verify(&path).unwrap().records, 3);
        let good = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for bad in [
            good.replace("\"b\"", "\"x\""),
            [lines[0], lines[2]].join("\n"),
            [lines[1], lines[0], lines[2]].join("\n"),
            [lines[0], lines[1], lines[1], lines[2]].join("\n"),
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(verify(&path).is_err());
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
