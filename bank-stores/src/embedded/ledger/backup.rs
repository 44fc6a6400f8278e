//! Copies of the ledger: taken while it is written, and put back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SqliteLedger;
use crate::embedded::SqliteOptions;
use crate::embedded::error::from_sqlx;
use crate::embedded::files::{beside, create_directory, lock, open_private, sync, unusable};
use crate::ledger::{Progress, Verified};
use crate::{Clock as _, Error, ErrorKind, Ledger as _, Result, SystemClock};

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
        let part = Part::new(to)?;
        // SQLite fills an empty file, and leaves its permissions as they are.
        open_private(&part.0).map_err(|source| unusable("the copy's file cannot be made", source))?;
        let path = part.0.to_str().ok_or_else(|| Error::invalid("to", "a path is UTF-8"))?;
        sqlx::query("VACUUM INTO ?1").bind(path).execute(self.database.readers()).await.map_err(from_sqlx)?;
        let copy = Self::open(SqliteOptions::new(&part.0).read_only()).await?;
        let verified = copy.verify(progress).await;
        copy.close().await;
        let verified = verified?;
        part.becomes(to)?;
        Ok(verified)
    }

    /// Puts the backup `from` in the place of the ledger's file `to`, which nobody may have open: copies it, brings the copy to
    /// this program's schema, verifies it, and only then gives it the name. A ledger that was there stays beside it, under a name
    /// with `.replaced-` and the time at its end.
    ///
    /// # Errors
    /// `Denied` where `to` is in use or `from` is no ledger; `Rejected`, field `from`, where the backup is not as it was written.
    pub async fn restore(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        let (from, to) = (from.as_ref(), to.as_ref());
        if !from.is_file() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no file {}", from.display()))
                .with_field("from"));
        }
        let part = Part::new(to)?;
        let _lock = lock(to)?;
        open_private(&part.0)
            .and_then(|mut copy| io::copy(&mut fs::File::open(from)?, &mut copy))
            .map_err(|source| unusable("the backup cannot be copied", source))?;
        let copy = Self::open(SqliteOptions::new(&part.0)).await?;
        let verified = copy.verify(progress).await;
        copy.close().await;
        let verified = verified?;
        if let Some(breach) = &verified.breach {
            let message = format!("the backup is not as it was written: {breach}");
            return Err(Error::new(ErrorKind::Rejected, message).with_field("from"));
        }
        set_aside(to).map_err(|source| unusable("the ledger that is there cannot be set aside", source))?;
        part.becomes(to)?;
        Ok(verified)
    }
}

/// A file under construction, beside the one that it will be; removed when it is given up.
struct Part(PathBuf);

impl Part {
    fn new(whole: &Path) -> Result<Self> {
        if let Some(directory) = whole.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            create_directory(directory).map_err(|source| unusable("the directory cannot be made", source))?;
        }
        let part = Self(beside(whole, ".part"));
        // Of an attempt that was killed.
        part.remove();
        Ok(part)
    }

    fn becomes(self, whole: &Path) -> Result<()> {
        sync(&self.0)
            .and_then(|()| fs::rename(&self.0, whole))
            .and_then(|()| {
                sync(whole.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
            })
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

/// Gives a ledger's file another name, and its log with it, which belongs to it.
fn set_aside(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let aside = beside(path, &format!(".replaced-{}", SystemClock::new().now().micros()));
    for log in ["-wal", "-shm"] {
        if beside(path, log).exists() {
            fs::rename(beside(path, log), beside(&aside, log))?;
        }
    }
    fs::rename(path, aside)
}
