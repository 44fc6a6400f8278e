//! Files as the source of a watched value.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Loaded, Source};

/// The largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// What becomes of the files' bytes: a value, nothing where they say nothing new, or why they are not used. It is given the
/// value in force.
type Make<T> = Box<dyn Fn(&[Vec<u8>], &T) -> Result<Option<T>, String> + Send + Sync>;

/// Files that are read together, off the async threads. They are compared byte by byte: times of files are coarse, and can be
/// set.
pub(crate) struct Files<T>(Arc<Known<T>>);

struct Known<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    /// What the value in force was made of.
    bytes: Mutex<Vec<Vec<u8>>>,
    /// A file system that hangs holds one thread, not one a second.
    is_read: AtomicBool,
}

impl<T> Files<T> {
    /// These files, of whose bytes the first value was made.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        bytes: Vec<Vec<u8>>,
        make: impl Fn(&[Vec<u8>], &T) -> Result<Option<T>, String> + Send + Sync + 'static,
    ) -> Self {
        let (make, bytes): (Make<T>, _) = (Box::new(make), Mutex::new(bytes));
        Self(Arc::new(Known { paths, make, bytes, is_read: AtomicBool::new(false) }))
    }
}

impl<T> Known<T> {
    fn read(&self, current: &T) -> Result<Option<T>, String> {
        let bytes = read(&self.paths).map_err(|error| error.to_string())?;
        let mut before = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == bytes {
            return Ok(None);
        }
        let made = (self.make)(&bytes, current)?;
        *before = bytes;
        Ok(made)
    }
}

impl<T: Send + Sync + 'static> Source<T> for Files<T> {
    fn load(&self, current: Arc<T>) -> Loaded<'_, T> {
        if self.0.is_read.swap(true, Ordering::AcqRel) {
            return Box::pin(std::future::ready(Err("it is still being read".to_owned())));
        }
        let known = self.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            let read = known.read(&current);
            known.is_read.store(false, Ordering::Release);
            read
        });
        Box::pin(async move { read.await.map_err(|error| error.to_string())? })
    }
}

/// A file that cannot be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(crate) struct FileError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The bytes of each of these files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    let one = |path: &PathBuf| read_one(path).map_err(|source| FileError { path: path.clone(), source });
    paths.iter().map(one).collect()
}

fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}
