//! The one task that writes a store, and commits what waits in groups.
//!
//! What waits is bounded, in number and in bytes. Whoever comes when there is no room waits for it, in the order of coming: the
//! future of the call is the backpressure, and dropping it then leaves nothing behind.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::{Error, ErrorKind, Result};

/// How many requests may wait; whoever comes later waits for a place.
const QUEUE: usize = 4_096;

/// How many bytes may wait, unless a single command carries more.
const QUEUE_BYTES: usize = 256 * 1_024 * 1_024;

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

    /// Whether a command is executed in a second group, behind the others that came with it.
    fn stands_apart(_command: &Self::Command) -> bool {
        false
    }

    /// The position of the last event, of what is committed now.
    fn position(&self) -> u64;
}

struct Request<G: Group> {
    commands: Vec<G::Command>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Result<G::Outcome>>>,
    /// Its part of the bytes that may wait.
    room: OwnedSemaphorePermit,
}

/// The callers' end of the queue.
pub(crate) struct Writer<G: Group> {
    requests: mpsc::Sender<Request<G>>,
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
        let (requests, queue) = mpsc::channel(QUEUE);
        let (published, position) = watch::channel(group.position());
        let (closing, closed) = watch::channel(false);
        tokio::spawn(Task { group, published }.run(queue, closed, limit));
        Self { requests, room: Arc::new(Semaphore::new(QUEUE_BYTES)), group: limit, position, closing }
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
        match self.requests.send(Request { commands, bytes, reply, room }).await {
            Ok(()) => Ok(receiver),
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
            let stand_apart = |request: &Request<G>| request.commands.iter().any(G::stands_apart);
            let (apart, plain): (Vec<_>, Vec<_>) = requests.into_iter().partition(stand_apart);
            for requests in [plain, apart] {
                if !requests.is_empty() {
                    self.answer(requests).await;
                }
            }
        }
        self.group.finish().await;
    }

    /// Executes the requests as one group and answers each.
    async fn answer(&mut self, requests: Vec<Request<G>>) {
        let mut commands = Vec::with_capacity(requests.iter().map(|request| request.commands.len()).sum());
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push((request.reply, request.commands.len(), request.room));
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
        for (reply, count, _room) in replies {
            // A caller that is gone finds its outcome by its id.
            let _ = reply.send(outcomes.by_ref().take(count).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits when it is let, and counts what it has done.
    struct Gated {
        open: watch::Receiver<bool>,
        done: u64,
        groups: mpsc::UnboundedSender<Vec<usize>>,
    }

    impl Group for Gated {
        /// How many bytes it carries; those with an odd number stand apart.
        type Command = usize;
        type Outcome = ();

        async fn commit(&mut self, commands: &[usize]) -> Result<Vec<Result<()>>> {
            self.open.wait_for(|open| *open).await.unwrap();
            self.done += commands.len() as u64;
            // Only some tests look at them.
            let _ = self.groups.send(commands.to_vec());
            Ok(commands.iter().map(|_| Ok(())).collect())
        }

        async fn finish(self) {}

        fn size(command: &usize) -> usize {
            *command
        }

        fn stands_apart(command: &usize) -> bool {
            command % 2 == 1
        }

        fn position(&self) -> u64 {
            self.done
        }
    }

    fn gated() -> (Arc<Writer<Gated>>, watch::Sender<bool>) {
        let (writer, gate, _) = grouped(1);
        (writer, gate)
    }

    type Groups = mpsc::UnboundedReceiver<Vec<usize>>;

    fn grouped(limit: usize) -> (Arc<Writer<Gated>>, watch::Sender<bool>, Groups) {
        let (gate, open) = watch::channel(false);
        let (groups, done) = mpsc::unbounded_channel();
        (Arc::new(Writer::start(Gated { open, done: 0, groups }, limit)), gate, done)
    }

    /// Sends so many commands of this size, and waits until all that can be taken in are.
    async fn send(
        writer: &Arc<Writer<Gated>>,
        count: usize,
        bytes: usize,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let calls = (0..count).map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.execute(vec![bytes]).await.pop().unwrap().unwrap() })
        });
        let calls = calls.collect();
        // On one thread, each has had its turn by then.
        for _ in 0..count + 4 {
            tokio::task::yield_now().await;
        }
        calls
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_number_and_whoever_comes_later_waits_for_room() {
        let (writer, gate) = gated();
        let calls = send(&writer, QUEUE + 10, 0).await;
        // One is with the group, the queue is full, and the others have not been taken in.
        assert_eq!(writer.requests.capacity(), 0);
        // Who gives up while it waits for room leaves nothing behind.
        calls[QUEUE + 9].abort();
        gate.send_replace(true);
        for call in calls.into_iter().take(QUEUE + 9) {
            call.await.unwrap();
        }
        assert_eq!(*writer.position().borrow(), (QUEUE + 9) as u64);
    }

    #[tokio::test]
    async fn what_stands_apart_is_a_group_of_its_own_behind_what_came_with_it() {
        let (writer, gate, mut groups) = grouped(10);
        let mut calls = Vec::new();
        for command in [2, 4, 5, 6, 7] {
            calls.extend(send(&writer, 1, command).await);
        }
        gate.send_replace(true);
        for call in calls {
            call.await.unwrap();
        }
        for group in [vec![2], vec![4, 6], vec![5, 7]] {
            assert_eq!(groups.recv().await.unwrap(), group);
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes() {
        let (writer, gate) = gated();
        let calls = send(&writer, 10, QUEUE_BYTES / 4).await;
        assert_eq!((writer.room.available_permits(), QUEUE - writer.requests.capacity()), (0, 3));
        gate.send_replace(true);
        for call in calls {
            call.await.unwrap();
        }
        // One that is larger than all the room there is has it alone.
        writer.execute(vec![2 * QUEUE_BYTES]).await.pop().unwrap().unwrap();
        assert_eq!((*writer.position().borrow(), writer.room.available_permits()), (11, QUEUE_BYTES));
    }

    #[tokio::test]
    async fn what_was_taken_in_is_done_when_the_store_closes_and_the_rest_is_refused() {
        let (writer, gate) = gated();
        let calls = send(&writer, 5, QUEUE_BYTES / 2).await;
        let closing = tokio::spawn({
            let writer = writer.clone();
            async move { writer.close().await }
        });
        tokio::task::yield_now().await;
        gate.send_replace(true);
        let mut done = 0;
        for call in calls {
            done += u64::from(call.await.is_ok());
        }
        closing.await.unwrap();
        assert_eq!((done, *writer.position().borrow()), (2, 2));
    }
}
