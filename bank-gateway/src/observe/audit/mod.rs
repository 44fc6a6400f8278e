//! Who did what, when, from where, with which outcome (S27): one JSON record a line, each with the hash of the one before
//! it, so that a record which is changed, removed, inserted or moved is found.
//!
//! ```
//! use bank_gateway::audit::{Audit as _, AuditFile, Record, Verifier};
//! use bank_stores::Timestamp;
//!
//! # let directory = std::env::temp_dir().join(format!("audit-example-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory).unwrap();
//! # let path = directory.join("audit.jsonl");
//! let key = [7; 32];
//! let audit = AuditFile::builder(&path).key(&key).rotate_at(64 << 20).open()?;
//! audit.record(Record::new(Timestamp::from_seconds(0), "req_1", "POST /v1/transfers", 201));
//! drop(audit);
//! let verified = Verifier::new(&path).key(&key).verify()?;
//! assert_eq!(verified.records, 1);
//! // Whoever can write the file, but does not have the key, cannot make a chain that holds.
//! assert!(Verifier::new(&path).key(&[8; 32]).verify().is_err());
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | Question | Answer |
//! | --- | --- |
//! | When is a record on disk? | at most 200 ms later ([`sync_every`](AuditFileBuilder::sync_every)); before a request passes where [`RequireAudit::before`] asks for it |
//! | What if it cannot be written? | it is counted in [`AuditFile::status`], the chain tells how many are missing, and [`RequireAudit`] refuses what would not be recorded |
//! | Who can forge a chain? | without a key everybody who can write the file; with one, who has the key |
//! | Can the newest records be cut off? | not those before a [head](AuditStatus::head) that was kept elsewhere: [`verify`] takes it |

mod audited;
mod chain;
mod file;
mod gate;
mod metrics;
mod segments;
mod verify;
mod writer;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bank_stores::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use audited::Audited;
pub use file::{AuditFile, AuditFileBuilder, AuditStatus};
pub use gate::RequireAudit;
pub(crate) use metrics::render as render_audit;
pub use verify::{Verified, Verifier, verify};

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

impl Record {
    /// What happened in a request; who, from where and why can be set.
    pub fn new(at: Timestamp, request: impl Into<String>, what: impl Into<String>, status: u16) -> Self {
        Self {
            at,
            request: request.into(),
            who: None,
            from: String::new(),
            what: what.into(),
            status,
            reason: None,
        }
    }
}

/// Where records go.
pub trait Audit: fmt::Debug + Send + Sync + 'static {
    /// Takes a record without waiting for it to be kept. It is called while a request ends, also in a panic: it must neither
    /// block nor panic.
    fn record(&self, record: Record);

    /// Takes a record, and completes when not even a loss of power can lose it. Without an implementation of its own an audit
    /// cannot promise that, and says so.
    fn record_durably(&self, record: Record) -> Recording {
        drop(record);
        Box::pin(std::future::ready(Err(NotRecorded::new("this audit does not tell when a record is kept"))))
    }

    /// How it stands, for `/metrics` and the admin page; nothing, where the audit does not know.
    fn status(&self) -> Option<AuditStatus> {
        None
    }

    /// Whether a record would be kept now.
    ///
    /// # Errors
    /// Why it would not.
    fn check(&self) -> Result<(), NotRecorded> {
        Ok(())
    }
}

/// The outcome of [`Audit::record_durably`].
pub type Recording = Pin<Box<dyn Future<Output = Result<(), NotRecorded>> + Send>>;

/// Why a record is not kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotRecorded(String);

impl NotRecorded {
    /// For this reason, which is for the log.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
