//! How an embedded store is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Temporary;
use crate::{Clock, Result, SystemClock};

/// How an embedded store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(super) path: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) readers: u32,
    pub(super) group: usize,
    pub(super) shards: u16,
    pub(super) read_only: bool,
    /// Removed when the last store that uses it is gone.
    pub(super) temporary: Option<Arc<Temporary>>,
}

impl SqliteOptions {
    /// The store in the file `path`, which is created with its directory if need be, for its owner only.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            clock: Arc::new(SystemClock::new()),
            readers: 2,
            group: 1_024,
            shards: 1,
            read_only: false,
            temporary: None,
        }
    }

    /// A store in a new temporary directory, which is removed with the store: for tests and trials.
    pub fn temporary() -> Result<Self> {
        let temporary = Temporary::new()?;
        let mut options = Self::new(temporary.path().join("store.db"));
        options.temporary = Some(Arc::new(temporary));
        Ok(options)
    }

    /// Where the time comes from; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How many connections read, 1 to 64; two otherwise.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.clamp(1, 64);
        self
    }

    /// How many commands are committed together at most, 1 to 8,192; 1,024 otherwise.
    #[must_use]
    pub fn group(mut self, group: usize) -> Self {
        self.group = group.clamp(1, 8_192);
        self
    }

    /// How many shards the events of a new store of items have, 1 to 256; one otherwise. A store keeps the number it was made with,
    /// and a ledger has one.
    #[must_use]
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards.clamp(1, 256);
        self
    }

    /// Only reads, beside the process that writes; every write is `Denied`.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}
