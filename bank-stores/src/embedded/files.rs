//! The files of a store: made for their owner only, and locked by the one process that writes.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::descriptors;
#[cfg(target_os = "linux")]
use super::descriptors::FileLock;
use crate::{Error, ErrorKind, Result, SystemRandom, random};

/// Makes the directory and the database file if they are missing, readable by their owner only; files that others may
/// read are taken from them. A directory that was there is left as it is: it may be others' too.
///
/// SQLite gives the log files beside the database the database's permissions.
pub(super) fn prepare(path: &Path) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        create_directory(directory)
            .map_err(|source| unusable("the store's directory cannot be made", source))?;
    }
    open_private(path).map_err(|source| unusable("the store's file cannot be made", source))?;
    #[cfg(unix)]
    for log in ["-wal", "-shm"] {
        let log = beside(path, log);
        if log.is_file() {
            tighten(&log);
        }
    }
    Ok(())
}

/// What the writer of a store holds for its life.
#[derive(Debug)]
pub(super) struct Lock {
    _name: File,
    /// The file itself, where locks of ours do not get in the way of SQLite's own: it may have other names.
    #[cfg(target_os = "linux")]
    _file: Option<FileLock>,
}

/// Takes the lock of a store's file, by whatever name it is called.
pub(super) fn lock(path: &Path) -> Result<Lock> {
    // SQLite follows symbolic links too. One that leads nowhere is as it is.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(&real, ".lock");
    let name = private().open(&beside).map_err(|source| unusable("the lock file cannot be made", source))?;
    #[cfg(unix)]
    tighten(&beside);
    name.try_lock().map_err(|error| not_locked(error, path))?;
    Ok(Lock {
        _name: name,
        #[cfg(target_os = "linux")]
        _file: match FileLock::take(&real) {
            Ok(lock) => Some(lock),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(not_locked(error, path)),
        },
    })
}

fn not_locked(error: TryLockError, path: &Path) -> Error {
    match error {
        TryLockError::WouldBlock => {
            Error::new(ErrorKind::Denied, format!("{} is in use by another process", path.display()))
        }
        TryLockError::Error(source) => unusable("the store's file cannot be locked", source),
    }
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a database file; makes it where it is missing, for its owner only.
pub(super) fn open_private(path: &Path) -> io::Result<Arc<File>> {
    let file = descriptors::open(path, &private())?;
    #[cfg(unix)]
    tighten(path);
    Ok(file)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The file beside `path` whose name has this at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Takes a file from all but its owner. Where it is another's we may not: then it stays as its owner wanted it.
#[cfg(unix)]
fn tighten(path: &Path) {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let tightened = metadata(path).and_then(|metadata| match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => set_permissions(path, Permissions::from_mode(0o600)),
    });
    if let Err(error) = tightened {
        tracing::warn!(path = %path.display(), %error, "others may read a store's file");
    }
}

/// Waits until the disk has a file, or the names in a directory.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn unusable(message: &'static str, source: io::Error) -> Error {
    let kind = match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, message).with_source(source)
}

/// A directory that is removed when it is no longer used.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(random::id(&SystemRandom::new(), "bank-"));
        create_directory(&path).map_err(|source| unusable("no temporary directory can be made", source))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
