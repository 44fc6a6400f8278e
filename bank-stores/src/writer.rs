//! The one task that writes a store, and commits what waits in groups.

use std::fmt;
use std::future::Future;

use tokio::sync::{mpsc, oneshot, watch};

use crate::{Error, ErrorKind, Result};

/// How many requests may wait; whoever comes later waits for a place.
const QUEUE: usize = 4_096;

/// How many bytes a group carries at most, unless a single command carries more.
const GROUP_BYTES: usize = 32 * 1_024 * 1_024;

/// What a store does with a group of commands. It has the connection that writes.
pub(crate) trait Group: Send + 'static {
    type Command: Send + Sync + 'static;
    type Outcome: Send + 'static;

    /// Executes commands in order in one database transaction; an error is every command's.
    fn commit(
        &mut self,
        commands: &[Self::Command],
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

    /// The position of the last event, of what is committed now.
    fn position(&self) -> u64;
}

struct Request<G: Group> {
    commands: Vec<G::Command>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Result<G::Outcome>>>,
}

/// The callers' end of the queue.
pub(crate) struct Writer<G: Group> {
    requests: mpsc::Sender<Request<G>>,
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
        let (requests, queue) = mpsc::channel(QUEUE);
        let (published, position) = watch::channel(group.position());
        let (closing, closed) = watch::channel(false);
        tokio::spawn(Task { group, published }.run(queue, closed, limit));
        Self { requests, group: limit, position, closing }
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
        let (reply, receiver) = oneshot::channel();
        match self.requests.send(Request { commands, bytes, reply }).await {
            Ok(()) => Ok(receiver),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the store is closed")),
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
        self.requests.closed().await;
        // The position's sender lives as long as the task: its end is the task's end.
        let mut position = self.position.clone();
        while position.changed().await.is_ok() {}
    }
}

struct Task<G: Group> {
    group: G,
    published: watch::Sender<u64>,
}

impl<G: Group> Task<G> {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Request<G>>,
        mut closing: watch::Receiver<bool>,
        limit: usize,
    ) {
        let mut next: Option<Request<G>> = None;
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
        self.group.finish().await;
    }

    /// Executes the requests as one group and answers each.
    async fn answer(&mut self, requests: Vec<Request<G>>) {
        let mut commands = Vec::with_capacity(requests.iter().map(|request| request.commands.len()).sum());
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push((request.reply, request.commands.len()));
            commands.extend(request.commands);
        }
        let mut outcomes = match self.group.commit(&commands).await {
            Ok(outcomes) => {
                let position = self.group.position();
                self.published
                    .send_if_modified(|published| std::mem::replace(published, position) != position);
                outcomes
            }
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        }
        .into_iter();
        for (reply, count) in replies {
            // A caller that is gone finds its outcome by its id.
            let _ = reply.send(outcomes.by_ref().take(count).collect());
        }
    }
}
