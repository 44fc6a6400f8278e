//! The descriptors that this process has of database files. They stay open for as long as the file has a name.
//!
//! SQLite locks a file with POSIX record locks, and a process loses all of those that it has on a file as soon as it closes any
//! descriptor of that file, whoever opened it (<https://www.sqlite.org/howtocorrupt.html>, section 2.2). Another process could
//! then take away the log under a handle of this one. So whoever needs a descriptor of a database file takes it from here.

#[cfg(target_os = "linux")]
use std::fs::TryLockError;
use std::fs::{File, Metadata, OpenOptions, metadata};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Kept {
    inode: (u64, u64),
    file: Arc<File>,
    locked: bool,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// What is kept, without the files that have no name any more: no other process can come to open those.
fn kept() -> MutexGuard<'static, Vec<Kept>> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|known| known.locked || known.file.metadata().is_ok_and(|file| has_name(&file)));
    kept
}

/// Opens a file, or gives the descriptor that there is. It is shared: its offset belongs to nobody.
pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<Arc<File>> {
    open_in(&mut kept(), path, options)
}

fn open_in(kept: &mut Vec<Kept>, path: &Path, options: &OpenOptions) -> io::Result<Arc<File>> {
    let find =
        |kept: &[Kept], inode| kept.iter().find(|known| known.inode == inode).map(|it| it.file.clone());
    let there = metadata(path).ok().and_then(|file| inode(&file));
    if let Some(file) = there.and_then(|inode| find(kept, inode)) {
        return Ok(file);
    }
    let file = Arc::new(options.open(path)?);
    if let Some(inode) = inode(&file.metadata()?) {
        kept.push(Kept { inode, file: file.clone(), locked: false });
        // Where another file came to this name in between, it may have been known: then there are two descriptors of it.
        return Ok(find(kept, inode).unwrap_or(file));
    }
    Ok(file)
}

/// An exclusive lock of a file, by whatever name it was opened. It is apart from SQLite's own.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct FileLock(Arc<File>);

#[cfg(target_os = "linux")]
impl FileLock {
    /// Takes the lock; `WouldBlock` where this or another process has it.
    pub(super) fn take(path: &Path) -> Result<Self, TryLockError> {
        let mut kept = kept();
        let file = open_in(&mut kept, path, OpenOptions::new().read(true)).map_err(TryLockError::Error)?;
        if let Some(known) = kept.iter_mut().find(|known| Arc::ptr_eq(&known.file, &file)) {
            // The operating system would give the same descriptor the lock once more.
            if known.locked {
                return Err(TryLockError::WouldBlock);
            }
            file.try_lock()?;
            known.locked = true;
        } else {
            file.try_lock()?;
        }
        Ok(Self(file))
    }
}

#[cfg(target_os = "linux")]
impl Drop for FileLock {
    fn drop(&mut self) {
        let mut kept = kept();
        if let Some(known) = kept.iter_mut().find(|known| Arc::ptr_eq(&known.file, &self.0)) {
            known.locked = false;
        }
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a store's file stays locked until this process ends");
        }
    }
}

#[cfg(unix)]
fn inode(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(unix)]
fn has_name(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 0
}

/// Elsewhere locks belong to a descriptor, and nothing need be kept.
#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(not(unix))]
fn has_name(_: &Metadata) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use crate::ErrorKind;
    use crate::embedded::{SqliteLedger, SqliteOptions};

    /// How many POSIX locks this process has on a file.
    fn record_locks(path: &std::path::Path) -> usize {
        let (process, inode) = (std::process::id(), std::fs::metadata(path).expect("it is there").ino());
        let (process, inode) = (process.to_string(), format!(":{inode}"));
        let of_file = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[1] == "POSIX" && words[4] == process && words[5].ends_with(&inode)
        };
        std::fs::read_to_string("/proc/locks").expect("it is read").lines().filter(of_file).count()
    }

    /// Whether it has so many. While other tests lock and unlock, a line may be missing from what is read: it is read again then.
    fn has_locks(path: &std::path::Path, wanted: impl Fn(usize) -> bool) -> bool {
        (0..50).any(|_| {
            let found = wanted(record_locks(path));
            if !found {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            found
        })
    }

    #[tokio::test]
    async fn whatever_a_process_opens_and_closes_the_locks_of_its_other_handles_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("l.db"), directory.path().join("copy.db"));
        let writer = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
        let reader = SqliteLedger::open(SqliteOptions::new(&path).read_only()).await.unwrap();
        assert!(has_locks(&path, |locks| locks > 0), "SQLite holds no lock that could be lost");
        let locks = (0..20).map(|_| record_locks(&path)).max().unwrap_or_default();

        // A second writer is refused, by this name and by another one.
        let other = directory.path().join("other.db");
        std::fs::hard_link(&path, &other).unwrap();
        for path in [&path, &other] {
            let refused = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
        }
        assert!(has_locks(&path, |now| now == locks));
        // A file that is open is copied and looked at.
        let _ = writer.backup(&copy, &mut |_| ()).await.unwrap();
        let log = SqliteLedger::restore(&path, directory.path().join("third.db"), &mut |_| ()).await;
        assert_eq!(log.unwrap_err().kind(), ErrorKind::Rejected);
        assert!(has_locks(&path, |now| now == locks));
        // The writer ends; another one comes and goes.
        writer.close().await;
        assert!(has_locks(&path, |locks| locks > 0), "the reader lost its lock");
        SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap().close().await;
        assert!(has_locks(&path, |locks| locks > 0), "the reader lost its lock");
        // That is what this test would see.
        drop(std::fs::File::open(&path).unwrap());
        assert!(!has_locks(&path, |locks| locks > 0));
        reader.close().await;
    }
}
