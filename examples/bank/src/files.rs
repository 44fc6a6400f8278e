//! Directories and secrets that only their owner reads.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bank_sdk::identity::IdentityKeys;
use bank_stores::{Random, SystemRandom};

use crate::Fatal;

/// Makes a directory, and those above it, where there is none.
pub(crate) fn private_directory(path: &Path) -> Result<(), Fatal> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Fatal::new(format!("{}: {error}", path.display())))
}

/// The data directory and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn open(root: &Path) -> Result<Self, Fatal> {
        let files = Self { root: root.to_owned() };
        for directory in ["", "keys"] {
            private_directory(&root.join(directory))?;
        }
        Ok(files)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// 32 secret bytes, made by whichever process asks first.
    pub(crate) fn secret(&self, name: &str) -> Result<[u8; 32], Fatal> {
        let path = self.root.join("keys").join(name);
        let mut new = [0; 32];
        SystemRandom::new().fill(&mut new);
        let bytes = read_or_create(&path, &new)
            .map_err(|error| Fatal::new(format!("{}: {error}", path.display())))?;
        bytes.try_into().map_err(|_| Fatal::new(format!("{}: it must hold 32 bytes", path.display())))
    }

    /// The keys by which a service knows the gateway.
    pub(crate) fn identity_keys(&self, service: &str) -> Result<IdentityKeys, Fatal> {
        self.keys(&format!("identity-{service}"))
    }

    /// The keys by which the gateway knows a service that calls.
    pub(crate) fn caller_keys(&self, service: &str) -> Result<IdentityKeys, Fatal> {
        self.keys(&format!("caller-{service}"))
    }

    fn keys(&self, name: &str) -> Result<IdentityKeys, Fatal> {
        let secret = self.secret(&format!("{name}.key"))?;
        IdentityKeys::new([(format!("{name}-1"), secret)]).map_err(Fatal::new)
    }
}

/// What a file holds, or `new` where there was none: of several processes that come at once, one wins.
pub(crate) fn read_or_create(path: &Path, new: &[u8]) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let draft = Draft::written(path, new)?;
    // A link never replaces what is there, and is there whole.
    match fs::hard_link(draft.path(), path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    drop(draft);
    sync_names(path)?;
    fs::read(path)
}

/// Replaces a file by another content, whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    Draft::written(path, content)?.becomes()
}

/// Removes a file, for good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_names(path)
}

/// A file for its owner only, on the disk beside the one that it is to become; removed where it is given up.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    whole: PathBuf,
}

impl Draft {
    /// With this content.
    pub(crate) fn written(whole: &Path, mut content: &[u8]) -> io::Result<Self> {
        Self::read_from(whole, &mut content)
    }

    /// With what another file holds.
    pub(crate) fn copied(from: &Path, whole: &Path) -> io::Result<Self> {
        Self::read_from(whole, &mut fs::File::open(from)?)
    }

    /// With all that can be read there.
    pub(crate) fn read_from(whole: &Path, from: &mut dyn io::Read) -> io::Result<Self> {
        let mut name = whole.as_os_str().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let draft = Self { path: name.into(), whole: whole.to_owned() };
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&draft.path)?;
        io::copy(from, &mut file)?;
        file.sync_all()?;
        Ok(draft)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the name that it is for, whatever had that name.
    pub(crate) fn becomes(self) -> io::Result<()> {
        fs::rename(&self.path, &self.whole)?;
        sync_names(&self.whole)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it has its name there is none.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the disk has the names in a file's directory.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
