//! The keyring's file: for its owner only, and whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Reads the file, unless others may.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it may be read by others; run chmod 600 on it",
            ));
        }
    }
    fs::read(path)
}

/// Makes the file, unless somebody else was faster.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let draft = Draft::write(path, content)?;
    // A link never replaces what is there.
    let linked = fs::hard_link(&draft.0, path);
    drop(draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(path),
    }
}

/// Replaces the file.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = Draft::write(path, content)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        // Whoever ran this, the bank can read it as before.
        let (old, new) = (fs::metadata(path)?, fs::metadata(&draft.0)?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            chown(&draft.0, Some(old.uid()), Some(old.gid()))?;
        }
    }
    fs::rename(&draft.0, path)?;
    sync_directory(path)
}

/// One process at a time changes the file.
pub(super) struct Lock(#[allow(dead_code, reason = "it is unlocked when it is closed")] File);

impl Lock {
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = private().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
        file.lock()?;
        Ok(Self(file))
    }
}

/// What is to become the file; it is removed where it has not.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let mut mark = [0; 8];
        crate::Random::fill(&crate::SystemRandom::new(), &mut mark);
        let draft = Self(path.with_extension(format!("new-{:x}", u64::from_ne_bytes(mark))));
        let mut file = private().create_new(true).write(true).open(&draft.0)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it was renamed there is none.
        let _ = fs::remove_file(&self.0);
    }
}

fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "there is no mode to set elsewhere")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// The name has to last too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
