//! Copies of the ledger: taken while it is written, and put back.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::SqliteLedger;
use super::schema::SCHEMA;
use crate::embedded::SqliteOptions;
use crate::embedded::descriptors;
use crate::embedded::error::from_sqlx;
use crate::embedded::files::{beside, create_directory, lock, open_private, sync, unusable};
use crate::ledger::{Progress, Verified};
use crate::{Clock as _, Error, ErrorKind, Ledger as _, Result, SystemClock, SystemRandom, random};

impl SqliteLedger {
    /// Copies the ledger, as it is at one moment, into the new file `to`, while others go on writing; then verifies the copy and
    /// tells what it found. The file has its name only when that has been done and the disk has it all.
    ///
    /// A ledger that was opened only to read can be copied too, so that it is done beside the process that writes.
    ///
    /// # Errors
    /// `Conflict`, field `to`, where there is such a file; `Denied` and `Unavailable` where it cannot be written.
    pub async fn backup(
        &self,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        let to = to.as_ref();
        if to.exists() {
            let message = format!("{} exists, and a backup replaces nothing", to.display());
            return Err(Error::new(ErrorKind::Conflict, message).with_field("to"));
        }
        if beside(to, "-wal").exists() {
            let message = format!("{} has the log of another file beside it", to.display());
            return Err(Error::new(ErrorKind::Conflict, message).with_field("to"));
        }
        let part = Part::new(to)?;
        // SQLite fills an empty file, and leaves its permissions as they are.
        open_private(&part.0).map_err(|source| unusable("the copy's file cannot be made", source))?;
        let path = part.0.to_str().ok_or_else(|| Error::invalid("to", "a path is UTF-8"))?;
        sqlx::query("VACUUM INTO ?1").bind(path).execute(self.database.readers()).await.map_err(from_sqlx)?;
        let copy = Self::open(SqliteOptions::new(&part.0).read_only()).await?;
        let verified = copy.verify(None, progress).await;
        copy.close().await;
        let verified = verified?;
        part.becomes(to)?;
        Ok(verified)
    }

    /// Puts the backup `from` in the place of the ledger's file `to`, which nobody may have open: copies it, brings the copy to
    /// this program's schema, verifies it, and only then gives it the name. There is a ledger in that place at every moment; the
    /// one that was there stays beside it, under a name with `.replaced-` and the time at its end.
    ///
    /// # Errors
    /// `Denied` where `to` is in use, or, field `from`, where the backup is no ledger's file; `Rejected`, field `from`, where it is
    /// not as it was written, or where a log stands beside it that is not in it.
    pub async fn restore(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        let (from, to) = (from.as_ref(), to.as_ref());
        check_backup(from)?;
        create_parent(to)?;
        let _lock = lock(to)?;
        let part = Part::new(to)?;
        open_private(&part.0)
            .and_then(|copy| io::copy(&mut Reading::of(from)?, &mut &*copy))
            .map_err(|source| unusable("the backup cannot be copied", source))?;
        let copy = Self::open(SqliteOptions::new(&part.0)).await?;
        let verified = copy.verify(None, progress).await;
        copy.close().await;
        let verified = verified?;
        if let Some(breach) = &verified.breach {
            let message = format!("the backup is not as it was written: {breach}");
            return Err(Error::new(ErrorKind::Rejected, message).with_field("from"));
        }
        empty_log(to).await;
        set_aside(to).map_err(|source| unusable("the ledger that is there cannot be set aside", source))?;
        part.becomes(to)?;
        Ok(verified)
    }
}

/// Looks whether a file is a ledger's, before anybody opens it: an empty file would become a ledger.
fn check_backup(path: &Path) -> Result<()> {
    let refused =
        |kind, what: &str| Error::new(kind, format!("{} {what}", path.display())).with_field("from");
    if !path.is_file() {
        return Err(refused(ErrorKind::NotFound, "is not there"));
    }
    let mut head = [0; 72];
    let read = Reading::of(path).and_then(|mut file| file.read_exact(&mut head));
    // <https://www.sqlite.org/fileformat2.html>, the database header: the version of the tables, and whose file it is.
    let number = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let is_ledger =
        head.starts_with(b"SQLite format 3\0") && number(68) == SCHEMA.application && number(60) > 0;
    if read.is_err() || !is_ledger {
        return Err(refused(ErrorKind::Denied, "is no ledger's file"));
    }
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        let what = "has a log beside it with what is not in it yet: take the backup with `backup`, or open the ledger and close it";
        return Err(refused(ErrorKind::Rejected, what));
    }
    Ok(())
}

/// Reads a database file from its beginning. Nothing is closed at the end: a handle of this process may have the file open.
struct Reading {
    file: Arc<File>,
    at: u64,
}

impl Reading {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { file: descriptors::open(path, File::options().read(true))?, at: 0 })
    }
}

impl io::Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, into, self.at)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn create_parent(path: &Path) -> Result<()> {
    match path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        Some(directory) => {
            create_directory(directory).map_err(|source| unusable("the directory cannot be made", source))
        }
        None => Ok(()),
    }
}

/// A file under construction, beside the one that it will be; removed when it is given up.
struct Part(PathBuf);

impl Part {
    fn new(whole: &Path) -> Result<Self> {
        create_parent(whole)?;
        // A name of its own, so that whoever does the same at once works on another file.
        Ok(Self(beside(whole, &random::id(&SystemRandom::new(), ".part-"))))
    }

    fn becomes(self, whole: &Path) -> Result<()> {
        let directory = whole.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(&self.0)
            .and_then(|()| fs::rename(&self.0, whole))
            .and_then(|()| sync(directory.unwrap_or(Path::new("."))))
            .map_err(|source| unusable("the file cannot be put in its place", source))
    }

    fn remove(&self) {
        for end in ["", "-wal", "-shm", "-journal", ".lock"] {
            // Most of them are not there.
            let _ = fs::remove_file(beside(&self.0, end));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Moves what is in a ledger's log into its file, where that can be done.
async fn empty_log(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    if let Ok(mut connection) = options.connect().await {
        // One that is damaged is replaced for that.
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        let _ = connection.close().await;
    }
}

/// Gives a ledger's file a second name, and its log with it. The log leaves its place, with or without a ledger: it would be
/// taken for that of the file which comes there.
fn set_aside(path: &Path) -> io::Result<()> {
    let aside = beside(path, &format!(".replaced-{}", SystemClock::new().now().micros()));
    if path.exists() {
        fs::hard_link(path, &aside)?;
    }
    for log in ["-wal", "-shm"] {
        if beside(path, log).exists() {
            fs::rename(beside(path, log), beside(&aside, log))?;
        }
    }
    Ok(())
}
