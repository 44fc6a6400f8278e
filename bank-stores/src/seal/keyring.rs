//! Master keys in a file that only its owner reads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::keyring_file::{self as file, Lock};
use super::provider::{KeyMaterial, KeyProvider, WrappedKey};
use super::sealer::{Sealer, parse_bytes};
use crate::{Error, ErrorKind, Result, SystemRandom, random};

/// Master keys in a file, one of which is current: a [`KeyProvider`] without a server.
///
/// The file is JSON, for its owner only (mode 0600), and is replaced whole or not at all. Programs that hold it open take up a
/// change by themselves. Whoever has the file and the stores reads everything, so that it is kept and backed up apart from them.
///
/// As a [`KeyProvider`] it reads the file on a thread of tokio's for work that blocks. Its own methods block.
#[derive(Clone)]
pub struct Keyring(Arc<MasterFile>);

/// The file, and what was read from it last.
struct MasterFile {
    path: PathBuf,
    loaded: Mutex<Option<(Stamp, Arc<Masters>)>>,
}

/// What tells one content of the file from the next: when it was written, and how long it is.
type Stamp = (SystemTime, u64);

/// The master keys as they were read.
struct Masters {
    current: String,
    sealers: BTreeMap<String, Sealer>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    current: String,
    /// 32 bytes each, in unpadded base64url.
    keys: BTreeMap<String, String>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.keys.values_mut().for_each(|key| key.zeroize());
    }
}

impl Keyring {
    /// The keyring in the file `path`, which is made with one master key where there is none. Of several processes that do so at
    /// once, all get the same.
    ///
    /// # Errors
    /// `Denied` where the file cannot be read or written, or where others than its owner may read it; `Damaged` where it is
    /// something else.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.try_exists().map_err(|error| unusable(path, error))? {
            let (id, key) = new_key();
            let first = Stored { version: 1, current: id.clone(), keys: BTreeMap::from([(id, key)]) };
            file::create(path, &first.bytes()?).map_err(|error| unusable(path, error))?;
        }
        Self::load(path)
    }

    /// The keyring in the file `path`.
    ///
    /// # Errors
    /// As for [`load_or_create`](Self::load_or_create); also `Denied` where there is no such file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let file = MasterFile { path: path.as_ref().to_owned(), loaded: Mutex::new(None) };
        file.masters()?;
        Ok(Self(Arc::new(file)))
    }

    /// The names of the master keys, the current one first.
    ///
    /// # Errors
    /// As for [`load_or_create`](Self::load_or_create).
    pub fn names(&self) -> Result<Vec<String>> {
        let masters = self.0.masters()?;
        let others = masters.sealers.keys().filter(|name| **name != masters.current);
        Ok(std::iter::once(&masters.current).chain(others).cloned().collect())
    }

    /// Adds a new master key, which is the current one from now on, and gives its name. Older ones still open.
    ///
    /// # Errors
    /// `Denied` where the file cannot be written.
    pub fn rotate(&self) -> Result<String> {
        let (id, key) = new_key();
        self.0.change(|stored| {
            stored.keys.insert(id.clone(), key);
            stored.current = id.clone();
            Ok(())
        })?;
        Ok(id)
    }

    /// Removes an old master key. What is still wrapped under it never opens again: look with
    /// [`DataKeys::status`](super::DataKeys::status) before.
    ///
    /// # Errors
    /// `NotFound` where there is no such key, `Rejected` for the current one.
    pub fn retire(&self, name: &str) -> Result<()> {
        self.0.change(|stored| {
            if stored.current == name {
                let message = "the current master key cannot be retired; rotate first";
                return Err(Error::new(ErrorKind::Rejected, message).with_field("key"));
            }
            match stored.keys.remove(name) {
                Some(mut key) => {
                    key.zeroize();
                    Ok(())
                }
                None => Err(Error::new(ErrorKind::NotFound, "there is no such master key").with_field("key")),
            }
        })
    }

    /// Adds the master keys of another keyring that are missing here, as old ones: they open what is under them, and the current one
    /// stays. Gives their names.
    ///
    /// # Errors
    /// `Denied` where the files cannot be read or written; `Conflict` where a key of theirs has the name of another one here.
    pub fn adopt(&self, other: &Self) -> Result<Vec<String>> {
        let theirs = Stored::read(&other.0.path)?;
        let mut added = Vec::new();
        self.0.change(|stored| {
            for (name, key) in &theirs.keys {
                match stored.keys.get(name) {
                    Some(known) if known == key => {}
                    Some(_) => {
                        let message = format!("two master keys have the name {name}");
                        return Err(Error::new(ErrorKind::Conflict, message).with_field("key"));
                    }
                    None => {
                        stored.keys.insert(name.clone(), key.clone());
                        added.push(name.clone());
                    }
                }
            }
            Ok(())
        })?;
        Ok(added)
    }

    /// The master keys, without blocking the thread of a task.
    async fn masters(&self) -> Result<Arc<Masters>> {
        let file = self.0.clone();
        let read = tokio::task::spawn_blocking(move || file.masters()).await;
        read.map_err(|source| {
            // The runtime ends: nothing was read.
            Error::new(ErrorKind::Unavailable, "the keyring was not read").with_source(source)
        })?
    }
}

impl MasterFile {
    /// Reads, changes and replaces the file, one process after another.
    fn change(&self, change: impl FnOnce(&mut Stored) -> Result<()>) -> Result<()> {
        let failed = |error| unusable(&self.path, error);
        let _lock = Lock::take(&self.path).map_err(failed)?;
        let mut stored = Stored::read(&self.path)?;
        change(&mut stored)?;
        file::replace(&self.path, &stored.bytes()?).map_err(failed)?;
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The master keys, read again where the file has changed.
    fn masters(&self) -> Result<Arc<Masters>> {
        let stamp = std::fs::metadata(&self.path)
            .and_then(|metadata| Ok((metadata.modified()?, metadata.len())))
            .map_err(|error| unusable(&self.path, error));
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, masters)) = &*loaded
            && stamp.as_ref().is_ok_and(|stamp| at == stamp)
        {
            return Ok(masters.clone());
        }
        let read = stamp.and_then(|stamp| Ok((stamp, Arc::new(Stored::read(&self.path)?.masters()?))));
        match (read, &*loaded) {
            (Ok((stamp, masters)), _) => {
                *loaded = Some((stamp, masters.clone()));
                Ok(masters)
            }
            // What was read before is as good as it was.
            (Err(error), Some((_, masters))) => {
                tracing::error!(%error, "the keyring cannot be read anew");
                Ok(masters.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Stored {
    fn read(path: &Path) -> Result<Self> {
        let bytes = Zeroizing::new(file::read(path).map_err(|error| unusable(path, error))?);
        // The cause may repeat what is in the file.
        let stored: Self = serde_json::from_slice(&bytes).map_err(|_| damaged(path))?;
        if stored.version != 1 || !stored.keys.contains_key(&stored.current) {
            return Err(damaged(path));
        }
        Ok(stored)
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let json = serde_json::to_vec_pretty(self);
        let json = json.map_err(|error| Error::invalid("keyring", "cannot be written").with_source(error))?;
        Ok(Zeroizing::new(json))
    }

    fn masters(&self) -> Result<Masters> {
        let sealer = |(name, text): (&String, &String)| -> Result<(String, Sealer)> {
            let wrong = || Error::new(ErrorKind::Damaged, format!("the master key {name} is not 32 bytes"));
            let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| wrong())?);
            let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| wrong())?;
            Ok((name.clone(), Sealer::new(name.as_str(), key)?))
        };
        let sealers = self.keys.iter().map(sealer).collect::<Result<_>>()?;
        Ok(Masters { current: self.current.clone(), sealers })
    }
}

/// A master key with a name that no other has.
fn new_key() -> (String, String) {
    let key = KeyMaterial::generate();
    (random::id(&SystemRandom::new(), "master_"), URL_SAFE_NO_PAD.encode(key.expose()))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Denied, format!("the keyring {} cannot be used", path.display())).with_source(error)
}

fn damaged(path: &Path) -> Error {
    Error::new(ErrorKind::Damaged, format!("{} is not a keyring of this version", path.display()))
}

fn bound(context: &str) -> Vec<u8> {
    super::sealer::context(&["data key", context])
}

#[async_trait]
impl KeyProvider for Keyring {
    async fn current(&self) -> Result<String> {
        Ok(self.masters().await?.current.clone())
    }

    async fn wrap(&self, key: &KeyMaterial, context: &str) -> Result<WrappedKey> {
        let masters = self.masters().await?;
        let Some(master) = masters.sealers.get(&masters.current) else { return Err(damaged(&self.0.path)) };
        let bytes = master.seal_bytes(&bound(context), key.expose())?;
        Ok(WrappedKey::new(&*masters.current, bytes))
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<KeyMaterial> {
        let masters = self.masters().await?;
        let named = parse_bytes(&wrapped.bytes).map(|(id, _)| id);
        let master = masters.sealers.get(&wrapped.master).filter(|_| named == Some(&*wrapped.master));
        let Some(master) = master else {
            let message = format!("the keyring has no master key {}", wrapped.master);
            return Err(Error::new(ErrorKind::Denied, message).with_field("master"));
        };
        let bytes = Zeroizing::new(master.open_bytes(&bound(context), &wrapped.bytes)?);
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        key.map(KeyMaterial::new).map_err(|_| Error::new(ErrorKind::Damaged, "a data key has 32 bytes"))
    }
}

impl fmt::Debug for Keyring {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("path", &self.0.path).finish_non_exhaustive()
    }
}
