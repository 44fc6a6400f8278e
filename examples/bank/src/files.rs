//! Directories and secrets that only their owner reads.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
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
    let draft = draft(path);
    write_private(&draft, new)?;
    // A link never replaces what is there, and is there whole.
    match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::remove_file(&draft)?;
    fs::read(path)
}

/// Replaces a file by another content, whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft(path);
    write_private(&draft, content)?;
    fs::rename(&draft, path)
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
