//! The connection to MongoDB, its calls, and what is known of collections.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::mongodb::bson::{Document as Bsons, doc};
use ::mongodb::error::{Error as DriverError, Result as DriverResult};
use ::mongodb::options::{ReadConcern, WriteConcern};
use ::mongodb::{Client, Collection, Cursor, Database};
use tokio::time::Instant;

use super::MongoOptions;
use super::definition::{Declared, Definition};
use super::error::{Effect, Heard, from_driver, heard};
use super::row::whole;
use crate::breaker::Breaker;
use crate::clock::Believed;
use crate::documents::collection::check_name;
use crate::error::damaged;
use crate::{Error, ErrorKind, Result, Timestamp};

/// For how long a definition is used without being read again.
pub(super) const FRESH: Duration = Duration::from_millis(500);

/// A server that is there answers in less.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) type Rows = Collection<Bsons>;

pub(super) struct Store {
    database: Database,
    /// How long a call may take: the driver itself waits for an answer without an end.
    deadline: Duration,
    write_concern: WriteConcern,
    breaker: Breaker,
    clock: Believed,
    known: Mutex<HashMap<String, (Instant, Arc<Definition>)>>,
}

impl Store {
    pub(super) async fn open(options: &MongoOptions) -> Result<Self> {
        let client = Client::with_options(options.to_driver().await?);
        let client = client.map_err(|error| from_driver(error, Effect::None))?;
        Ok(Self {
            database: client.database(&options.database),
            deadline: options.deadline(),
            write_concern: options.write_concern(),
            breaker: Breaker::new("MongoDB", options.pause, PATIENCE),
            clock: Believed::new(options.clock.clone()),
            known: Mutex::default(),
        })
    }

    pub(super) async fn close(&self) {
        self.database.client().clone().shutdown().await;
    }

    pub(super) async fn ping(&self) -> Result<()> {
        self.read(self.database.run_command(doc! { "ping": 1 })).await.map(drop)
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn write_concern(&self) -> WriteConcern {
        self.write_concern.clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock's time as far as it may be believed: what a clock that jumps makes look expired still holds its id and keys.
    pub(super) fn believed(&self) -> Timestamp {
        self.clock.believed()
    }

    /// The documents of a collection. Names hold no point, so that no collection is that of the definitions.
    pub(super) fn rows(&self, collection: &str) -> Rows {
        self.database.collection(&format!("documents.{collection}"))
    }

    pub(super) fn definitions(&self) -> Rows {
        self.database.collection("collections")
    }

    /// A call that only reads.
    pub(super) async fn read<T>(
        &self,
        call: impl IntoFuture<Output = DriverResult<T>, IntoFuture: Send> + Send,
    ) -> Result<T> {
        self.call(call).await.map_err(|error| from_driver(error, Effect::None))
    }

    /// A call that may have an effect. Where the time is over, the driver closes the connection, so that no late answer is taken for
    /// another's.
    pub(super) async fn call<T>(
        &self,
        call: impl IntoFuture<Output = DriverResult<T>, IntoFuture: Send> + Send,
    ) -> DriverResult<T> {
        let mut attempt = self.breaker.enter().map_err(DriverError::custom)?;
        let waited = tokio::time::timeout(self.deadline, call.into_future()).await;
        let outcome = waited.unwrap_or_else(|_| Err(DriverError::from(std::io::ErrorKind::TimedOut)));
        match heard(&outcome) {
            Heard::Answer => attempt.answered(),
            Heard::Silence(error) => {
                attempt.failed(error);
            }
            Heard::Nothing => attempt.ended(),
        }
        outcome
    }

    /// The cursor's next document.
    pub(super) async fn next(&self, cursor: &mut Cursor<Bsons>) -> Result<Option<Bsons>> {
        if !self.read(cursor.advance()).await? {
            return Ok(None);
        }
        cursor.deserialize_current().map(Some).map_err(|error| from_driver(error, Effect::None))
    }

    /// The collection's definition, at most [`FRESH`] old; `NotFound` where it was never declared.
    pub(super) async fn definition(&self, collection: &str) -> Result<Arc<Definition>> {
        check_name("collection", collection)?;
        if let Some((read, definition)) = self.known().get(collection)
            && read.elapsed() < FRESH
        {
            return Ok(definition.clone());
        }
        let read = Instant::now();
        let Some(definition) = self.read_definition(collection).await? else {
            let message = format!("the collection {collection} was never declared");
            return Err(Error::new(ErrorKind::NotFound, message).with_field("collection"));
        };
        let definition = Arc::new(definition);
        let mut known = self.known();
        // An older answer that comes later does not hide a newer one.
        let newer = known.get(collection).filter(|(_, known)| known.revision > definition.revision);
        if newer.is_none() {
            known.insert(collection.to_owned(), (read, definition.clone()));
        }
        Ok(definition)
    }

    pub(super) fn forget_definition(&self, collection: &str) {
        self.known().remove(collection);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<Definition>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The definition as it is stored now.
    pub(super) async fn read_definition(&self, collection: &str) -> Result<Option<Definition>> {
        let definitions = self.definitions();
        let call = definitions
            .find_one(doc! { "_id": collection })
            .read_concern(ReadConcern::linearizable())
            .max_time(self.deadline);
        let Some(row) = self.read(call).await? else { return Ok(None) };
        Ok(Some(Definition {
            name: collection.to_owned(),
            revision: whole(&row, "r")?,
            declared: declared(&row, "declared")?,
            coming: declared(&row, "coming")?,
        }))
    }
}

fn declared(row: &Bsons, field: &'static str) -> Result<Declared> {
    let wrong = |error: Error| damaged(error);
    let text =
        row.get_str(field).map_err(|source| wrong(Error::invalid(field, "missing").with_source(source)))?;
    serde_json::from_str(text).map_err(|source| wrong(Error::invalid(field, "not JSON").with_source(source)))
}
