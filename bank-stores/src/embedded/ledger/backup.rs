//! Copies of the ledger: taken while it is written, and put back.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

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
        part.becomes(to).map_err(|source| unusable("the file cannot be put in its place", source))?;
        Ok(verified)
    }

    /// Puts the backup `from` in the place of the ledger's file `to`, which nobody may have open: copies it, brings the copy to
    /// this program's schema, verifies it, and only then gives it the name. There is a whole ledger in that place at every moment,
    /// whenever this process is killed: the old one or the new one. The old one stays beside it, under a name with `.replaced-` and
    /// the time at its end; where the file system has no hard links, as a copy.
    ///
    /// # Errors
    /// `Denied` where `to` is in use; `Unavailable` where its log cannot be moved into it, since somebody reads it; `Denied`, field
    /// `from`, where the backup is no ledger's file; `Rejected`, field `from`, where it is not as it was written, or where a log
    /// stands beside it that is not in it.
    pub async fn restore(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        Self::restore_by_steps(from.as_ref(), to.as_ref(), progress, &mut |_| Ok(())).await
    }

    async fn restore_by_steps(
        from: &Path,
        to: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
        before: Before<'_>,
    ) -> Result<Verified> {
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
        before(Step::TakeIn).map_err(unmoved)?;
        take_in_log(to).await?;
        set_aside(to, before).map_err(unmoved)?;
        before(Step::Replace).map_err(unmoved)?;
        part.becomes(to).map_err(|source| unusable("the file cannot be put in its place", source))?;
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
        Ok(Self::beside(whole))
    }

    fn beside(whole: &Path) -> Self {
        // A name of its own, so that whoever does the same at once works on another file.
        Self(beside(whole, &random::id(&SystemRandom::new(), ".part-")))
    }

    fn becomes(self, whole: &Path) -> io::Result<()> {
        sync(&self.0)?;
        fs::rename(&self.0, whole)?;
        sync_names(whole)
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

/// Waits until the disk has the names in a file's directory.
fn sync_names(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(directory.unwrap_or(Path::new(".")))
}

/// What a restore does with the files that are there, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The old ledger's log is moved into its file.
    TakeIn,
    /// The old ledger gets a second name.
    Link,
    /// Where it cannot have one, it is copied.
    Copy,
    /// What is left of its log leaves its place.
    MoveLog,
    /// The new ledger gets the old one's name.
    Replace,
}

/// Is told of each step before it is taken. An error is the step's own.
type Before<'a> = &'a mut (dyn FnMut(Step) -> io::Result<()> + Send);

fn unmoved(source: io::Error) -> Error {
    unusable("the ledger that is there cannot be set aside", source)
}

/// Moves what is in a ledger's log into its file, so that the file is whole without it.
async fn take_in_log(path: &Path) -> Result<()> {
    let has = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
    if !has(path) || !has(&beside(path, "-wal")) {
        return Ok(());
    }
    // SQLite removes a log of which it can read nothing. Under another name it stays.
    let (log, part) = (beside(path, "-wal"), Part::beside(path));
    let kept = beside(&part.0, "-wal");
    if fs::hard_link(&log, &kept).is_err() {
        copy(&log, &kept).map_err(unmoved)?;
    }
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let checkpoint = async {
        let mut connection = options.connect().await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await;
        // Also where that failed: what is only dropped is closed some time later, when its names may be another ledger's.
        connection.close().await?;
        Ok(row?.get::<i64, _>(0) != 0)
    };
    match checkpoint.await.map_err(from_sqlx) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let message = "somebody reads the ledger that is there, so that its log cannot be moved into it: nothing was changed";
            Err(Error::new(ErrorKind::Unavailable, message))
        }
        // It is not whole anyway, and replaced for that.
        Err(error) if error.kind() == ErrorKind::Damaged => {
            tracing::warn!(error = ?error, "the ledger that is there cannot be read: it is set aside as it is");
            if log.exists() { Ok(()) } else { fs::rename(&kept, &log).map_err(unmoved) }
        }
        Err(error) => Err(error),
    }
}

/// Gives a ledger's file a second name, or copies it. A log that is left leaves its place, with or without a ledger: it would be
/// taken for that of the file which comes there.
fn set_aside(path: &Path, before: Before<'_>) -> io::Result<()> {
    let aside = beside(path, &format!(".replaced-{}", SystemClock::new().now().micros()));
    if path.exists() {
        match before(Step::Link).and_then(|()| fs::hard_link(path, &aside)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Not every file system has hard links.
            Err(_) => {
                before(Step::Copy)?;
                copy(path, &aside)?;
            }
        }
    }
    for log in ["-wal", "-shm"] {
        if beside(path, log).exists() {
            before(Step::MoveLog)?;
            fs::rename(beside(path, log), beside(&aside, log))?;
        }
    }
    // The disk has this before the new file has its name.
    sync_names(path)
}

/// Copies a file, which has its name only when it is whole.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let part = Part::beside(to);
    let file = open_private(&part.0)?;
    io::copy(&mut Reading::of(from)?, &mut &*file)?;
    part.becomes(to)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId};
    use crate::{Currency, LedgerExt as _, Money};

    fn posting(number: i64) -> Posting {
        let account = |name| AccountId::new(name).unwrap();
        let amount = Money::from_minor(1, Currency::EUR);
        Posting::new(PostingId::new(format!("p{number}")).unwrap(), "transfer").transfer(
            account("cash"),
            account("alice"),
            amount,
        )
    }

    async fn has(ledger: &SqliteLedger, number: i64) -> bool {
        ledger.receipt(&CommandId::Posting(posting(number).id)).await.unwrap().is_some()
    }

    fn copy_files(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    /// A directory with a backup of ten postings, and the ledger as a killed bank leaves it: with five more, which are in its log.
    async fn killed(directory: &Path) -> (PathBuf, PathBuf) {
        let living = directory.join("living");
        let ledger = SqliteLedger::open(SqliteOptions::new(living.join("ledger.db"))).await.unwrap();
        for (name, floor) in [("cash", Floor::None), ("alice", Floor::Zero)] {
            let account = OpenAccount::new(AccountId::new(name).unwrap(), Currency::EUR);
            ledger.open(account.floor(floor)).await.unwrap();
        }
        for number in 1..=15 {
            ledger.post(posting(number)).await.unwrap();
            if number == 10 {
                assert!(ledger.backup(directory.join("backup.db"), &mut |_| ()).await.unwrap().is_intact());
            }
        }
        while ledger.chain().await.unwrap().pending > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let place = directory.join("place");
        copy_files(&living, &place);
        ledger.close().await;
        let path = place.join("ledger.db");
        assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 0);
        (directory.join("backup.db"), path)
    }

    /// Whether a directory's ledger is the old one; it is the new one otherwise, and whole in either case.
    async fn is_old(path: &Path) -> bool {
        let ledger = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap();
        assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
        assert!(has(&ledger, 10).await);
        let old = has(&ledger, 15).await;
        assert_eq!(has(&ledger, 11).await, old);
        ledger.close().await;
        old
    }

    #[tokio::test]
    async fn a_crash_at_each_step_of_a_restore_leaves_the_old_ledger_or_the_new_one_whole() {
        for links in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (backup, path) = killed(directory.path()).await;
            let mut crashes = Vec::new();
            let crash = |at: usize| directory.path().join(format!("crash{at}"));
            let mut before = |step| {
                copy_files(path.parent().unwrap(), &crash(crashes.len()));
                crashes.push(step);
                let refused = || io::Error::from(io::ErrorKind::Unsupported);
                if step == Step::Link && !links { Err(refused()) } else { Ok(()) }
            };
            let restored = SqliteLedger::restore_by_steps(&backup, &path, &mut |_| (), &mut before).await;
            assert!(restored.unwrap().is_intact());
            let mut steps = vec![Step::TakeIn, Step::Link];
            steps.extend((!links).then_some(Step::Copy));
            steps.push(Step::Replace);
            assert_eq!(crashes, steps, "links: {links}");
            for (at, step) in crashes.iter().enumerate() {
                assert!(is_old(&crash(at).join("ledger.db")).await, "before {step:?}");
            }
            assert!(!is_old(&path).await);
            let names: HashSet<String> = fs::read_dir(path.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let aside = names.iter().find(|name| name.contains(".replaced-")).unwrap();
            assert!(is_old(&path.with_file_name(aside)).await);
            assert!(!names.iter().any(|name| name.contains(".part-")), "{names:?}");
        }
    }

    #[tokio::test]
    async fn a_ledger_whose_log_cannot_be_taken_in_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (backup, path) = killed(directory.path()).await;
        // Somebody looks at it as it was, so that its log has to stay.
        let mut reader = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM postings").execute(&mut reader).await.unwrap();
        let refused = SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Unavailable, true), "{refused:?}");
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
        reader.close().await.unwrap();
        assert!(is_old(&path).await);
        assert!(SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap().is_intact());
        assert!(!is_old(&path).await);
    }

    #[tokio::test]
    async fn a_ledger_that_cannot_be_read_is_replaced_and_kept_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let (backup, path) = killed(directory.path()).await;
        for file in [path.clone(), beside(&path, "-wal")] {
            fs::write(&file, [7; 8_192]).unwrap();
        }
        assert!(SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap().is_intact());
        assert!(!is_old(&path).await);
        let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let mut kept: Vec<_> = files.filter(|file| file.to_str().unwrap().contains(".replaced-")).collect();
        kept.retain(|file| !file.to_str().unwrap().ends_with("-shm"));
        kept.sort();
        assert!(kept.len() == 2 && kept[1].to_str().unwrap().ends_with("-wal"), "{kept:?}");
        for file in kept {
            assert_eq!(fs::read(file).unwrap(), [7; 8_192]);
        }
    }
}
