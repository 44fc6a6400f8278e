//! One write: a single call to the server, and more only where it is refused or its reply is lost.

use std::time::Duration;

use ::mongodb::bson::{Document as Bsons, doc};
use ::mongodb::options::ReadConcern;
use serde_json::Value;

use super::definition::{Definition, conflict};
use super::error::{Effect, from_driver, is_duplicate};
use super::keys::unique_key;
use super::row::{Head, fingerprint, has_expired, is_alive, written};
use super::store::{Rows, Store};
use crate::documents::{DocumentChange, DocumentWrite, Written};
use crate::{Error, ErrorKind, Random as _, Result, SystemRandom, Timestamp, random};

/// How often a write is tried: where it is in others' way, and where its reply was lost.
const TRIES: u32 = 6;
const LOST_TRIES: u32 = 3;

/// What one try has led to.
enum Step {
    Done(Written),
    Refused(Error),
    /// What was in the way is gone.
    Again,
}

/// Executes a write, which has been validated.
pub(super) async fn write(store: &Store, collection: &str, write: &DocumentWrite) -> Result<Written> {
    let mut writing = Writing { store, rows: store.rows(collection), write, drawn: Vec::new() };
    let mut lost: Option<Error> = None;
    let mut losses = 0;
    for round in 0..TRIES {
        if round > 0 {
            pause(round).await;
        }
        let step = match store.definition(collection).await {
            Ok(definition) => writing.step(&definition).await,
            Err(error) => Err(error),
        };
        match step {
            Ok(Step::Done(written)) => return Ok(written),
            Ok(Step::Again) => {}
            Err(error) if error.kind() == ErrorKind::Indeterminate => {
                losses += 1;
                lost = Some(error);
                if losses == LOST_TRIES {
                    break;
                }
            }
            // After a lost reply, a refusal may be for what the write itself did, or for what came after it.
            Ok(Step::Refused(error)) | Err(error) => return Err(lost.unwrap_or(error)),
        }
    }
    let busy = || Error::new(ErrorKind::Unavailable, "others write the same at the same time");
    Err(lost.unwrap_or_else(busy))
}

/// Waits longer after each try, by chance, so that racers do not meet again.
async fn pause(round: u32) {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte);
    tokio::time::sleep(Duration::from_millis(u64::from(round) * (5 + u64::from(byte[0]) / 8))).await;
}

/// A write that is being done.
struct Writing<'a> {
    store: &'a Store,
    rows: Rows,
    write: &'a DocumentWrite,
    /// The versions that were drawn for it: a document of one of them is of this call, also where its reply was lost.
    drawn: Vec<u64>,
}

impl Writing<'_> {
    async fn step(&mut self, definition: &Definition) -> Result<Step> {
        let now = self.store.believed();
        let write = self.write;
        match &write.change {
            DocumentChange::Insert { body, expires_at, .. } => {
                definition.collection().check(body)?;
                self.insert(definition, body, *expires_at, now).await
            }
            DocumentChange::Replace { version, body, expires_at, .. } => {
                definition.collection().check(body)?;
                self.replace(definition, *version, body, *expires_at, now).await
            }
            DocumentChange::Delete { version, .. } => self.delete(*version, now).await,
        }
    }

    fn id(&self) -> &str {
        self.write.change.id()
    }

    fn draw(&mut self) -> u64 {
        let version = random::version();
        self.drawn.push(version);
        version
    }

    async fn insert(
        &mut self,
        definition: &Definition,
        body: &Value,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Step> {
        let version = self.draw();
        let mut row = written(definition, self.write, version, body, expires_at);
        row.insert("_id", self.id());
        row.insert("c", self.store.now().micros());
        let call = self.rows.insert_one(row).write_concern(self.store.write_concern());
        match self.store.call(call).await {
            Ok(_) => Ok(Step::Done(Written::new(self.id(), version))),
            Err(error) if is_duplicate(&error) => self.in_the_way_of_insert(definition, body, now).await,
            Err(error) => Err(from_driver(error, Effect::Some)),
        }
    }

    /// What holds the id or a key: the write itself, done before; what has expired; or somebody else's document.
    async fn in_the_way_of_insert(
        &self,
        definition: &Definition,
        body: &Value,
        now: Timestamp,
    ) -> Result<Step> {
        let held = self.held().await?;
        if let Some(held) = &held {
            if held.has_expired(now) {
                self.remove_expired(&held.id, now).await?;
                return Ok(Step::Again);
            }
            if let Some(step) = self.repeated(held) {
                return Ok(step);
            }
        }
        match self.in_the_way_of_keys(definition, body, now).await? {
            Step::Again if held.is_some() => Ok(Step::Refused(taken("id"))),
            step => Ok(step),
        }
    }

    async fn replace(
        &mut self,
        definition: &Definition,
        expected: u64,
        body: &Value,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Step> {
        let version = self.draw();
        let mut update = doc! { "$set": written(definition, self.write, version, body, expires_at) };
        if expires_at.is_none() {
            update.insert("$unset", doc! { "x": "", "ttl": "" });
        }
        let call = self
            .rows
            .find_one_and_update(self.expected(expected, now), update)
            .projection(doc! { "_id": 1 })
            .write_concern(self.store.write_concern());
        match self.store.call(call).await {
            Ok(Some(_)) => Ok(Step::Done(Written::new(self.id(), version))),
            Ok(None) => self.missed(expected, now).await,
            Err(error) if is_duplicate(&error) => self.in_the_way_of_keys(definition, body, now).await,
            Err(error) => Err(from_driver(error, Effect::Some)),
        }
    }

    async fn delete(&self, expected: u64, now: Timestamp) -> Result<Step> {
        let call = self
            .rows
            .find_one_and_delete(self.expected(expected, now))
            .projection(doc! { "_id": 1 })
            .write_concern(self.store.write_concern());
        match self.store.call(call).await {
            Ok(Some(_)) => Ok(Step::Done(Written::new(self.id(), 0))),
            Ok(None) => self.missed(expected, now).await,
            Err(error) => Err(from_driver(error, Effect::Some)),
        }
    }

    /// The living document of this version, unless it is as this very write has left it.
    fn expected(&self, version: u64, now: Timestamp) -> Bsons {
        let mut filter = is_alive(now);
        filter.insert("_id", self.id());
        filter.insert("v", i64::try_from(version).unwrap_or(-1));
        filter.insert("w", doc! { "$ne": self.write.write.as_str() });
        filter
    }

    /// Why nothing was there to be replaced or deleted.
    async fn missed(&self, expected: u64, now: Timestamp) -> Result<Step> {
        let Some(held) = self.held().await?.filter(|held| !held.has_expired(now)) else {
            let error = Error::new(ErrorKind::NotFound, "there is no such document");
            return Ok(Step::Refused(error.with_field("id")));
        };
        if let Some(step) = self.repeated(&held) {
            return Ok(step);
        }
        if held.version != expected {
            return Ok(Step::Refused(conflict("version", "the document has another version")));
        }
        Ok(Step::Again)
    }

    /// The outcome of a write that the document remembers, if this is one.
    fn repeated(&self, held: &Head) -> Option<Step> {
        if held.write != self.write.write.as_str() {
            return None;
        }
        if held.content != fingerprint(self.write) {
            return Some(Step::Refused(conflict("write", "the same id was used for other content")));
        }
        let written = Written::new(self.id(), held.version);
        let is_own = self.drawn.contains(&held.version);
        Some(Step::Done(if is_own { written } else { written.replay() }))
    }

    /// The document of this id. A linearizable read: what it gives, a majority of the servers has.
    async fn held(&self) -> Result<Option<Head>> {
        let call = self
            .rows
            .find_one(doc! { "_id": self.id() })
            .projection(Head::projection())
            .read_concern(ReadConcern::linearizable())
            .max_time(self.store.deadline());
        self.store.read(call).await?.as_ref().map(Head::read).transpose()
    }

    /// Looks for each of the body's keys in other documents, since the server's code does not say which was taken. What has expired
    /// is removed.
    async fn in_the_way_of_keys(
        &self,
        definition: &Definition,
        body: &Value,
        now: Timestamp,
    ) -> Result<Step> {
        let mut living = None;
        for (name, fields) in definition.uniques() {
            let Some(key) = unique_key(fields, body) else { continue };
            let path = format!("k.{name}");
            // What is not on a majority yet is in the way too.
            let call = self
                .rows
                .find_one(doc! { path: key, "_id": { "$ne": self.id() } })
                .projection(Head::projection())
                .read_concern(ReadConcern::local());
            let Some(row) = self.store.read(call).await? else { continue };
            let holder = Head::read(&row)?;
            if holder.has_expired(now) {
                self.remove_expired(&holder.id, now).await?;
            } else {
                living.get_or_insert(name);
            }
        }
        Ok(living.map_or(Step::Again, |name| Step::Refused(taken(name.clone()))))
    }

    async fn remove_expired(&self, id: &str, now: Timestamp) -> Result<()> {
        let mut filter = has_expired(now);
        filter.insert("_id", id);
        let call = self.rows.delete_one(filter).write_concern(self.store.write_concern());
        // Nothing that anybody could miss is lost where the reply is.
        self.store.read(call).await.map(drop)
    }
}

fn taken(field: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::AlreadyExists, "another document has this key").with_field(field)
}
