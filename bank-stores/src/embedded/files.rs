//! The files of a store: made for their owner only, and locked by the one process that writes.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result, SystemRandom, random};

/// Makes the directory and the database file if they are missing, readable by their owner only.
///
/// SQLite gives the log files beside the database the database's permissions.
pub(super) fn prepare(path: &Path) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        create_directory(directory)
            .map_err(|source| unusable("the store's directory cannot be made", source))?;
    }
    open_private(path).map_err(|source| unusable("the store's file cannot be made", source))?;
    Ok(())
}

/// Takes the lock that the writer holds for its life.
pub(super) fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file =
        open_private(Path::new(&name)).map_err(|source| unusable("the lock file cannot be made", source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} is in use by another process", path.display());
            Err(Error::new(ErrorKind::Denied, message))
        }
        Err(TryLockError::Error(source)) => Err(unusable("the lock file cannot be locked", source)),
    }
}

fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn unusable(message: &'static str, source: io::Error) -> Error {
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
