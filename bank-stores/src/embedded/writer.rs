//! The one task that writes a store, and commits what waits in groups.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::database::Database;
use super::error::{commit_had_no_effect, from_sqlx};
use crate::{Error, ErrorKind, Result};

/// How many requests may wait; whoever comes later waits for a place.
const QUEUE: usize = 4_096;

/// How many bytes a group carries at most, unless a single command carries more.
const GROUP_BYTES: usize = 32 * 1_024 * 1_024;

/// What a kind of store does with a group of commands.
pub(super) trait Engine: Send + 'static {
    type Command: Send + Sync + 'static;
    type Outcome: Send + 'static;

    /// Reads what the engine keeps in memory, at the start and after a failure.
    fn load(&mut self, connection: &mut SqliteConnection) -> impl Future<Output = Result<()>> + Send;

    /// Executes commands in order within an open transaction; an error undoes them all.
    fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<Vec<Result<Self::Outcome>>>> + Send;

    /// About how many bytes a command carries; what is small beside the bound on a group need not be counted.
    fn size(_command: &Self::Command) -> usize {
        0
    }

    /// Whether a command is only to be executed together with the next one of its call.
    fn joins_next(_command: &Self::Command) -> bool {
        false
    }

    /// The position of the last event, of what is committed now.
    fn position(&self) -> u64;
}

struct Request<E: Engine> {
    commands: Vec<E::Command>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Result<E::Outcome>>>,
}

/// The callers' end of the queue.
pub(super) struct Writer<E: Engine> {
    requests: mpsc::Sender<Request<E>>,
    group: usize,
    position: watch::Receiver<u64>,
    /// Becomes true when the writer has to end.
    closing: watch::Sender<bool>,
}

impl<E: Engine> fmt::Debug for Writer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("group", &self.group).finish_non_exhaustive()
    }
}

impl<E: Engine> Writer<E> {
    /// Starts the task.
    pub(super) async fn start(database: Arc<Database>, mut engine: E) -> Result<Self> {
        let mut connection = database.connect_writer().await?;
        engine.load(&mut connection).await?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let (published, position) = watch::channel(engine.position());
        let (closing, closed) = watch::channel(false);
        let group = database.options().group;
        let task = Task { database, engine, connection: Some(connection), published };
        tokio::spawn(task.run(queue, closed, group));
        Ok(Self { requests, group, position, closing })
    }

    /// Hands commands over and waits for their outcomes.
    pub(super) async fn execute(&self, commands: Vec<E::Command>) -> Vec<Result<E::Outcome>> {
        let mut waiting = Vec::new();
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let (mut bytes, mut joined) = (0, false);
            let mut group = Vec::new();
            while let Some(command) = commands.next_if(|command| {
                bytes += E::size(command);
                group.is_empty() || joined || (group.len() < self.group && bytes <= GROUP_BYTES)
            }) {
                joined = E::joins_next(&command);
                group.push(command);
            }
            let count = group.len();
            waiting.push((self.submit(group, bytes).await, count));
        }
        let mut outcomes = Vec::new();
        for (reply, count) in waiting {
            outcomes.extend(Self::outcomes(reply, count).await);
        }
        outcomes
    }

    async fn submit(
        &self,
        commands: Vec<E::Command>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Vec<Result<E::Outcome>>>> {
        let (reply, receiver) = oneshot::channel();
        match self.requests.send(Request { commands, bytes, reply }).await {
            Ok(()) => Ok(receiver),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the store is closed")),
        }
    }

    async fn outcomes(
        reply: Result<oneshot::Receiver<Vec<Result<E::Outcome>>>>,
        count: usize,
    ) -> Vec<Result<E::Outcome>> {
        let failure = match reply {
            Err(error) => error,
            Ok(reply) => match reply.await {
                Ok(outcomes) => return outcomes,
                // Handed over, never answered: nobody here knows how far it came.
                Err(_) => Error::new(ErrorKind::Indeterminate, "the store ended before it answered"),
            },
        };
        (0..count).map(|_| Err(failure.clone())).collect()
    }

    /// Tells the position of the last event, as it changes.
    pub(super) fn position(&self) -> watch::Receiver<u64> {
        self.position.clone()
    }

    /// Executes what is waiting, refuses what comes later, and waits for the end.
    pub(super) async fn close(&self) {
        // The task may have ended already.
        let _ = self.closing.send(true);
        self.requests.closed().await;
        // The position's sender lives as long as the task: its end is the task's end.
        let mut position = self.position.clone();
        while position.changed().await.is_ok() {}
    }
}

struct Task<E: Engine> {
    database: Arc<Database>,
    engine: E,
    /// None after a failure, until the file could be opened again.
    connection: Option<SqliteConnection>,
    published: watch::Sender<u64>,
}

impl<E: Engine> Task<E> {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Request<E>>,
        mut closing: watch::Receiver<bool>,
        limit: usize,
    ) {
        let mut next: Option<Request<E>> = None;
        loop {
            let first = match next.take() {
                Some(request) => request,
                None => tokio::select! {
                    biased;
                    request = queue.recv() => match request {
                        Some(request) => request,
                        None => break,
                    },
                    _ = async { closing.wait_for(|closing| *closing).await.is_ok() } => {
                        // No more are taken in; those that wait are still executed, and then `recv` gives none.
                        queue.close();
                        match queue.recv().await {
                            Some(request) => request,
                            None => break,
                        }
                    }
                },
            };
            // Callers that the last group woke get their turn to send, so that they join this group: no time is waited.
            tokio::task::yield_now().await;
            let (mut count, mut bytes) = (first.commands.len(), first.bytes);
            let mut requests = vec![first];
            while count < limit {
                match queue.try_recv() {
                    Ok(request)
                        if count + request.commands.len() <= limit
                            && bytes + request.bytes <= GROUP_BYTES =>
                    {
                        count += request.commands.len();
                        bytes += request.bytes;
                        requests.push(request);
                    }
                    Ok(request) => {
                        next = Some(request);
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.answer(requests).await;
        }
        self.finish().await;
    }

    /// Executes the requests as one group and answers each.
    async fn answer(&mut self, requests: Vec<Request<E>>) {
        let mut commands = Vec::with_capacity(requests.iter().map(|request| request.commands.len()).sum());
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push((request.reply, request.commands.len()));
            commands.extend(request.commands);
        }
        let mut outcomes = match self.commit(&commands).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(store = self.database.name(), error = ?error, "a group of writes failed");
                self.connection = None;
                commands.iter().map(|_| Err(error.clone())).collect()
            }
        }
        .into_iter();
        for (reply, count) in replies {
            // A caller that is gone finds its outcome by its id.
            let _ = reply.send(outcomes.by_ref().take(count).collect());
        }
    }

    async fn commit(&mut self, commands: &[E::Command]) -> Result<Vec<Result<E::Outcome>>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let mut connection = self.database.connect_writer().await?;
                self.engine.load(&mut connection).await?;
                self.connection.insert(connection)
            }
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(from_sqlx)?;
        // On an error the connection is dropped, which rolls the transaction back.
        let outcomes = self.engine.apply(connection, commands).await?;
        if let Err(error) = sqlx::query("COMMIT").execute(&mut *connection).await {
            if commit_had_no_effect(&error) {
                return Err(from_sqlx(error));
            }
            let message = "the commit failed half way: look the outcome up";
            return Err(Error::new(ErrorKind::Indeterminate, message).with_source(error));
        }
        let position = self.engine.position();
        self.published.send_if_modified(|published| std::mem::replace(published, position) != position);
        Ok(outcomes)
    }

    /// Moves the log into the database file, so that a closed store is one file.
    async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            checkpoint(connection, self.database.name()).await;
        }
        self.database.readers().close().await;
        self.database.release();
    }
}

/// Closes the connection with an empty log; where that fails, the log stays and is read at the next opening.
async fn checkpoint(mut connection: SqliteConnection, store: &'static str) {
    let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
    let closed = connection.close().await;
    if let Err(error) = checkpoint.map(drop).and(closed) {
        tracing::warn!(store, error = ?error, "the log stays beside the store's file");
    }
}
