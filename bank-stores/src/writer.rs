//! The one task that writes a store, and commits what waits in groups.
//!
//! What waits is bounded, in number and in bytes. Whoever comes when there is no room waits for it, in the order of coming: the
//! future of the call is the backpressure, and dropping it then leaves nothing behind.

#[cfg_attr(not(feature = "aurora"), allow(dead_code, reason = "only the ledger on PostgreSQL looks ahead"))]
mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub(crate) use queue::Next;
use queue::{Batch, Crowd, Queue, Request};

use crate::{Error, ErrorKind, Result};

/// How many requests may wait; whoever comes later waits for a place.
const QUEUE: usize = 4_096;

/// How many bytes may wait, unless a single command carries more.
const QUEUE_BYTES: usize = 256 * 1_024 * 1_024;

/// How many bytes a group carries at most, unless a single command carries more.
const GROUP_BYTES: usize = 32 * 1_024 * 1_024;

/// What a store does with a group of commands. It has the connection that writes.
pub(crate) trait Group: Sized + Send + 'static {
    type Command: Send + Sync + 'static;
    type Outcome: Send + 'static;
    /// What is made of the next group's commands while a group is being committed.
    type Ready: Send;

    /// Executes commands in order in one database transaction; an error is every command's. `ready` is what was made of them
    /// while the group before was being committed, and `next` are those that wait behind them.
    fn commit(
        &mut self,
        commands: &[Self::Command],
        ready: Option<Self::Ready>,
        next: Next<'_, Self>,
    ) -> impl Future<Output = Result<Vec<Result<Self::Outcome>>>> + Send;

    /// The last thing that is asked of it.
    fn finish(self) -> impl Future<Output = ()> + Send;

    /// About how many bytes a command carries; what is small beside the bound on a group need not be counted.
    fn size(_command: &Self::Command) -> usize {
        0
    }

    /// Whether a command is only to be executed together with the next one of its call.
    fn joins_next(_command: &Self::Command) -> bool {
        false
    }

    /// Whether a command is executed in a second group, behind the others that came with it.
    fn stands_apart(_command: &Self::Command) -> bool {
        false
    }

    /// Whether one that stands apart may change what the next group is made ready by.
    fn changes_the_next(_command: &Self::Command) -> bool {
        true
    }

    /// The position of the last event, of what is committed now.
    fn position(&self) -> u64;
}

/// The callers' end of the queue.
pub(crate) struct Writer<G: Group> {
    requests: mpsc::Sender<Request<G>>,
    crowd: Arc<Crowd>,
    room: Arc<Semaphore>,
    group: usize,
    position: watch::Receiver<u64>,
    /// Becomes true when the writer has to end.
    closing: watch::Sender<bool>,
}

impl<G: Group> fmt::Debug for Writer<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("group", &self.group).finish_non_exhaustive()
    }
}

impl<G: Group> Writer<G> {
    /// Starts the task, which commits at most `limit` commands at once.
    pub(crate) fn start(group: G, limit: usize) -> Self {
        let (requests, waiting) = mpsc::channel(QUEUE);
        let (published, position) = watch::channel(group.position());
        let (closing, closed) = watch::channel(false);
        let crowd = Arc::new(Crowd::new(limit));
        let queue = Queue::new(waiting, crowd.clone(), limit);
        tokio::spawn(Task { group, published, queue }.run(closed));
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { requests, crowd, room, group: limit, position, closing }
    }

    /// Hands commands over and waits for their outcomes.
    pub(crate) async fn execute(&self, commands: Vec<G::Command>) -> Vec<Result<G::Outcome>> {
        let mut waiting = Vec::new();
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let (mut bytes, mut joined) = (0, false);
            let mut group = Vec::new();
            while let Some(command) = commands.next_if(|command| {
                bytes += G::size(command);
                group.is_empty() || joined || (group.len() < self.group && bytes <= GROUP_BYTES)
            }) {
                joined = G::joins_next(&command);
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
        commands: Vec<G::Command>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Vec<Result<G::Outcome>>>> {
        let closed = || Error::new(ErrorKind::Unavailable, "the store is closed");
        let wanted = bytes.min(QUEUE_BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(wanted).await.map_err(|_| closed())?;
        let (reply, receiver) = oneshot::channel();
        let request = Request { commands, bytes, reply, room };
        let plain = request.plain();
        match self.requests.send(request).await {
            Ok(()) => {
                self.crowd.joined(plain);
                Ok(receiver)
            }
            Err(_) => Err(closed()),
        }
    }

    async fn outcomes(
        reply: Result<oneshot::Receiver<Vec<Result<G::Outcome>>>>,
        count: usize,
    ) -> Vec<Result<G::Outcome>> {
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
    pub(crate) fn position(&self) -> watch::Receiver<u64> {
        self.position.clone()
    }

    /// Executes what is waiting, refuses what comes later, and waits for the end.
    pub(crate) async fn close(&self) {
        // The task may have ended already.
        let _ = self.closing.send(true);
        // Who waits for room would wait in vain.
        self.room.close();
        self.requests.closed().await;
        // The position's sender lives as long as the task: its end is the task's end.
        let mut position = self.position.clone();
        while position.changed().await.is_ok() {}
    }
}

struct Task<G: Group> {
    group: G,
    published: watch::Sender<u64>,
    queue: Queue<G>,
}

impl<G: Group> Task<G> {
    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        while self.queue.wait(&mut closing).await {
            let (plain, apart) = self.queue.take();
            if !plain.is_empty() {
                let followed = !apart.commands.iter().any(G::changes_the_next);
                self.answer(plain, followed).await;
            }
            if !apart.is_empty() {
                self.answer(apart, false).await;
            }
        }
        self.group.finish().await;
    }

    /// Executes a group and answers each of its requests; `followed` says whether what waits in the queue comes next.
    async fn answer(&mut self, batch: Batch<G>, followed: bool) {
        let Batch { commands, replies, ready, .. } = batch;
        let next = self.queue.next(followed);
        let mut outcomes = match self.group.commit(&commands, ready, next).await {
            Ok(outcomes) => {
                let position = self.group.position();
                self.published
                    .send_if_modified(|published| std::mem::replace(published, position) != position);
                outcomes
            }
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        }
        .into_iter();
        for reply in replies {
            // A caller that is gone finds its outcome by its id.
            let _ = reply.to.send(outcomes.by_ref().take(reply.count).collect());
        }
    }
}
