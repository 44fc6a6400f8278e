//! Copies of a store's file: taken while it is written, and put in the place of another.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::database::{Database, Schema};
use super::descriptors;
use super::error::from_sqlx;
use super::files::{Lock, beside, create_directory, lock, open_private, sync, unusable};
use crate::{Clock as _, Error, ErrorKind, Result, SystemClock, SystemRandom, random};

/// A copy that has no name yet: the caller verifies it, and then keeps it.
pub(super) struct Copy<'a> {
    part: Part,
    to: &'a Path,
}

impl<'a> Copy<'a> {
    /// Copies a store's file, as it is at one moment, while others go on writing.
    ///
    /// # Errors
    /// `Conflict`, field `to`, where there is such a file; `Denied` and `Unavailable` where it cannot be written.
    pub(super) async fn of(database: &Database, to: &'a Path) -> Result<Self> {
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
        sqlx::query("VACUUM INTO ?1").bind(path).execute(database.readers()).await.map_err(from_sqlx)?;
        Ok(Self { part, to })
    }

    pub(super) fn path(&self) -> &Path {
        &self.part.0
    }

    /// Gives the copy its name, when the disk has it all.
    pub(super) fn keep(self) -> Result<()> {
        self.part.becomes(self.to).map_err(|source| unusable("the file cannot be put in its place", source))
    }
}

/// A checked copy of a backup, beside the file in whose place it is to come. It has that file's lock, so that nobody opens it meanwhile,
/// and is removed where it is given up.
///
/// Whoever restores several stores makes all of these first: what can be refused is refused before anything is replaced.
#[derive(Debug)]
pub struct Staged {
    part: Part,
    to: PathBuf,
    _lock: Lock,
}

impl Staged {
    /// Copies the backup `from`, which must be of this kind of store, and takes the lock of the file `to`.
    ///
    /// # Errors
    /// `Denied` where `to` is in use; `Unavailable` where somebody reads it; `NotFound`, `Denied` and `Rejected`, field `from`, where
    /// the backup is not there, is of another kind or of a newer program, or has a log beside it that is not in it.
    pub(super) async fn of(from: &Path, to: &Path, schema: Schema) -> Result<Self> {
        check_backup(from, schema)?;
        create_parent(to)?;
        let lock = lock(to)?;
        remove_leftovers(to);
        take_in_log(to).await?;
        let part = Part::new(to)?;
        open_private(&part.0)
            .and_then(|copy| io::copy(&mut Reading::of(from)?, &mut &*copy))
            .map_err(|source| unusable("the backup cannot be copied", source))?;
        Ok(Self { part, to: to.to_owned(), _lock: lock })
    }

    /// The same, when SQLite finds the copy whole.
    pub(super) async fn whole(from: &Path, to: &Path, schema: Schema) -> Result<Self> {
        let staged = Self::of(from, to, schema).await?;
        check_integrity(staged.path(), "from").await?;
        Ok(staged)
    }

    /// The copy, which may be opened until it takes its place.
    pub fn path(&self) -> &Path {
        &self.part.0
    }

    /// Gives the copy the name of the file that is there. There is a whole file in that place at every moment, whenever this process is
    /// killed: the old one or the new one. The old one stays beside it, under a name with `.replaced-` and the time at its end; where
    /// the file system has no hard links, as a copy.
    ///
    /// # Errors
    /// `Unavailable` where the old file's log cannot be moved into it, since somebody reads it; nothing was changed then.
    pub async fn take_place(self) -> Result<()> {
        self.take_place_by_steps(&mut |_| Ok(())).await
    }

    pub(super) async fn take_place_by_steps(self, before: Before<'_>) -> Result<()> {
        before(Step::TakeIn).map_err(unmoved)?;
        take_in_log(&self.to).await?;
        set_aside(&self.to, before).map_err(unmoved)?;
        before(Step::Replace).map_err(unmoved)?;
        self.part.becomes(&self.to).map_err(|source| unusable("the file cannot be put in its place", source))
    }
}

/// Copies a store's file into the new file `to`, and looks whether SQLite finds the copy whole.
pub(super) async fn backup(database: &Database, to: &Path) -> Result<()> {
    let copy = Copy::of(database, to).await?;
    check_integrity(copy.path(), "to").await?;
    copy.keep()
}

/// Whether SQLite finds each page and each index of a file as they should be.
async fn check_integrity(path: &Path, field: &'static str) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).read_only(true);
    let mut connection = options.connect().await.map_err(from_sqlx)?;
    let found = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut connection).await;
    connection.close().await.map_err(from_sqlx)?;
    match found.map_err(from_sqlx) {
        Ok::<String, _>(found) if found == "ok" => Ok(()),
        Ok(found) => {
            let message = format!("the copy is not whole: {found}");
            Err(Error::new(ErrorKind::Rejected, message).with_field(field))
        }
        Err(error) if error.kind() == ErrorKind::Damaged => {
            Err(Error::new(ErrorKind::Rejected, "the copy is not whole").with_field(field).with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// Looks whether a file is of this kind of store, before anybody opens it: an empty file would become one.
fn check_backup(path: &Path, schema: Schema) -> Result<()> {
    let refused =
        |kind, what: &str| Error::new(kind, format!("{} {what}", path.display())).with_field("from");
    if !path.is_file() {
        return Err(refused(ErrorKind::NotFound, "is not there"));
    }
    let mut head = [0; 72];
    let read = Reading::of(path).and_then(|mut file| file.read_exact(&mut head));
    // <https://www.sqlite.org/fileformat2.html>, the database header: the version of the tables, and whose file it is.
    let number = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let is_ours =
        head.starts_with(b"SQLite format 3\0") && number(68) == schema.application && number(60) > 0;
    if read.is_err() || !is_ours {
        return Err(refused(ErrorKind::Denied, &format!("is no file of the {} store", schema.name)));
    }
    if usize::try_from(number(60)).is_ok_and(|version| version > schema.migrations.len()) {
        let what = format!("has schema version {}, which is of a newer program: use that one", number(60));
        return Err(refused(ErrorKind::Denied, &what));
    }
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        let what = "has a log beside it with what is not in it yet: take the backup with `backup`, or open the store and close it";
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

/// Removes the copies that a killed restore has left beside a file. Whoever has the file's lock is alone with them.
fn remove_leftovers(to: &Path) {
    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let start = format!("{name}.part-");
    let entries = to.parent().and_then(|directory| fs::read_dir(directory).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_copy = |name: &&str| {
            name.starts_with(&start)
                && !["-wal", "-shm", "-journal", ".lock"].iter().any(|end| name.ends_with(end))
        };
        if name.to_str().filter(is_copy).is_some() {
            drop(Part(entry.path()));
        }
    }
}

/// A file under construction, beside the one that it will be; removed when it is given up.
#[derive(Debug)]
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
pub(super) enum Step {
    /// The old file's log is moved into its file.
    TakeIn,
    /// The old file gets a second name.
    Link,
    /// Where it cannot have one, it is copied.
    Copy,
    /// What is left of its log leaves its place.
    MoveLog,
    /// The new file gets the old one's name.
    Replace,
}

/// Is told of each step before it is taken. An error is the step's own.
pub(super) type Before<'a> = &'a mut (dyn FnMut(Step) -> io::Result<()> + Send);

fn unmoved(source: io::Error) -> Error {
    unusable("the file that is there cannot be set aside", source)
}

/// Moves what is in a store's log into its file, so that the file is whole without it.
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
        // Also where that failed: what is only dropped is closed some time later, when its names may be another store's.
        connection.close().await?;
        Ok(row?.get::<i64, _>(0) != 0)
    };
    match checkpoint.await.map_err(from_sqlx) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let message = "somebody reads the file that is there, so that its log cannot be moved into it: nothing was changed";
            Err(Error::new(ErrorKind::Unavailable, message))
        }
        // It is not whole anyway, and replaced for that.
        Err(error) if error.kind() == ErrorKind::Damaged => {
            tracing::warn!(error = ?error, "the file that is there cannot be read: it is set aside as it is");
            if log.exists() { Ok(()) } else { fs::rename(&kept, &log).map_err(unmoved) }
        }
        Err(error) => Err(error),
    }
}

/// Gives a store's file a second name, or copies it. A log that is left leaves its place, with or without a file: it would be
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
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::documents::{Collection, DocumentChange, DocumentWrite};
    use crate::embedded::{SqliteDocuments, SqliteItems, SqliteOptions};
    use crate::items::{Change, Key, Transaction};
    use crate::outbox::{Edge, NewEvent, Position};
    use crate::{Consistency, Documents as _, DocumentsExt as _, Items as _, ItemsExt as _, Outbox as _};

    const NOW: Consistency = Consistency::Current;

    /// A pair of items that is written together, and an event.
    fn pair(number: usize) -> Transaction {
        let half = |name: &str| Change::put(Key::new(name, number.to_string()), &number).unwrap();
        let event = NewEvent::new(format!("e{number}"), "stream", "topic", json!(number));
        Transaction::new(format!("w{number}")).change(half("left")).change(half("right")).event(event)
    }

    async fn has(items: &SqliteItems, name: &str, number: usize) -> bool {
        items.get(&Key::new(name, number.to_string()), NOW).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_copy_of_items_is_of_one_moment_while_others_write() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("items.db"), directory.path().join("copies/items.db"));
        let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
        let reader = SqliteItems::open(SqliteOptions::new(&path).read_only()).await.unwrap();
        for number in 0..200 {
            items.commit_one(pair(number)).await.unwrap();
        }
        let writing = async {
            for number in 200..400 {
                items.commit_one(pair(number)).await.unwrap();
            }
        };
        let (copied, ()) = tokio::join!(reader.backup(&copy), writing);
        copied.unwrap();
        assert_eq!(reader.backup(&copy).await.unwrap_err().field(), Some("to"), "a backup replaces nothing");
        let copied = SqliteItems::open(SqliteOptions::new(&copy).read_only()).await.unwrap();
        let mut gone = false;
        for number in 0..400 {
            let (left, right) = (has(&copied, "left", number).await, has(&copied, "right", number).await);
            assert_eq!(left, right, "half of pair {number} is in the copy");
            assert!(!(gone && left), "pair {number} is in the copy, and one from before is not");
            gone |= !left;
        }
        assert!(has(&copied, "left", 199).await);
    }

    #[tokio::test]
    async fn a_restored_file_of_items_is_another_history_from_there_on() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("items.db"), directory.path().join("copy.db"));
        let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
        items.commit_one(pair(1)).await.unwrap();
        items.backup(&copy).await.unwrap();
        items.commit_one(pair(2)).await.unwrap();
        let shard = items.shards().await.unwrap()[0];
        let lost = items.edge(shard, Edge::Newest).await.unwrap();
        let in_use = SqliteItems::restore(&copy, &path).await.unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::Denied, "{in_use:?}");
        items.close().await;
        SqliteItems::restore(&copy, &path).await.unwrap();
        let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
        assert!(has(&items, "left", 1).await && !has(&items, "left", 2).await);
        let refused = async |position: &Position| {
            items.events(position, 10, Duration::ZERO).await.err().map(|error| error.kind())
        };
        assert_eq!(refused(&lost).await, Some(ErrorKind::Rejected), "it lies beyond the end");
        items.commit_one(pair(3)).await.unwrap();
        items.commit_one(pair(4)).await.unwrap();
        assert_eq!(refused(&lost).await, Some(ErrorKind::Rejected), "the number is another event's by now");
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.starts_with("items.db.replaced-")), "{names:?}");
        assert!(!names.iter().any(|name| name.contains(".part-")), "{names:?}");
    }

    #[tokio::test]
    async fn what_is_no_whole_file_of_the_kind_is_refused_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let documents = SqliteDocuments::open(SqliteOptions::new(at("documents.db"))).await.unwrap();
        documents.declare(&Collection::new("c")).await.unwrap();
        for number in 0..500 {
            let change =
                DocumentChange::insert(number.to_string(), &json!({ "text": "x".repeat(200) })).unwrap();
            documents.write_one("c", DocumentWrite::new(format!("w{number}"), change)).await.unwrap();
        }
        documents.backup(at("copy.db")).await.unwrap();
        documents.close().await;
        let items = SqliteItems::open(SqliteOptions::new(at("items.db"))).await.unwrap();
        items.commit_one(pair(1)).await.unwrap();
        items.backup(at("items-copy.db")).await.unwrap();
        items.close().await;
        let mut torn = fs::read(at("copy.db")).unwrap();
        let middle = torn.len() / 2;
        torn[middle..middle + 8_192].fill(0xA5);
        fs::write(at("torn.db"), torn).unwrap();
        let whole = fs::read(at("copy.db")).unwrap();
        fs::write(at("short.db"), &whole[..whole.len() / 2]).unwrap();
        fs::write(at("empty.db"), []).unwrap();
        let mut newer = whole.clone();
        newer[60..64].copy_from_slice(&99_i32.to_be_bytes());
        fs::write(at("newer.db"), newer).unwrap();
        // As a restore that was killed leaves it.
        fs::write(at("documents.db.part-1"), &whole).unwrap();
        for (name, kind) in [
            ("items-copy.db", ErrorKind::Denied),
            ("empty.db", ErrorKind::Denied),
            ("absent.db", ErrorKind::NotFound),
            ("torn.db", ErrorKind::Rejected),
            ("short.db", ErrorKind::Rejected),
            ("newer.db", ErrorKind::Denied),
        ] {
            let refused = SqliteDocuments::restore(at(name), at("documents.db")).await.unwrap_err();
            assert_eq!((refused.kind(), refused.field()), (kind, Some("from")), "{name}: {refused:?}");
        }
        let documents = SqliteDocuments::open(SqliteOptions::new(at("documents.db"))).await.unwrap();
        assert!(documents.get("c", "499", NOW).await.unwrap().is_some());
        documents.close().await;
        SqliteDocuments::restore(at("copy.db"), at("documents.db")).await.unwrap();
        assert!(!at("documents.db.part-1").exists(), "what a killed restore left is removed");
    }
}
