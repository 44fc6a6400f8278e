//! The one task that writes a store, and commits what waits in groups.
//!
//! What waits is bounded, in number and in bytes. Whoever comes when there is no room waits for it, in the order of coming: the
//! future of the call is the backpressure, and dropping it then leaves nothing behind.

#[cfg_attr(not(feature = "aurora"), allow(dead_code, reason = "only the ledger on PostgreSQL looks ahead"))]
mod queue;

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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Of a group with it nothing is made.
    const UNFIT: usize = 30;

    /// Commits when it is let, and counts what it has done. Its commands are their bytes; those with an odd number stand apart.
    struct Gated {
        /// So many groups may be committed.
        open: watch::Receiver<u64>,
        groups: u64,
        done: u64,
        /// Whether it makes something of the next group, which is its commands once more.
        looks_ahead: bool,
        log: mpsc::UnboundedSender<(Vec<usize>, bool)>,
    }

    impl Group for Gated {
        type Command = usize;
        type Outcome = ();
        type Ready = Vec<usize>;

        async fn commit(
            &mut self,
            commands: &[usize],
            ready: Option<Vec<usize>>,
            mut next: Next<'_, Self>,
        ) -> Result<Vec<Result<()>>> {
            assert!(ready.as_ref().is_none_or(|ready| ready == commands), "{ready:?} of {commands:?}");
            let (groups, looks_ahead) = (self.groups, self.looks_ahead);
            let opened = async { drop(self.open.wait_for(|open| *open > groups).await.unwrap()) };
            let mut opened = pin!(opened);
            tokio::select! {
                biased;
                () = &mut opened => {}
                behind = next.group(), if looks_ahead => {
                    let behind = behind.to_vec();
                    opened.await;
                    if !behind.contains(&UNFIT) {
                        next.is_ready(behind);
                    }
                }
            }
            self.groups += 1;
            self.done += commands.len() as u64;
            // Only some tests look at it.
            let _ = self.log.send((commands.to_vec(), ready.is_some()));
            Ok(commands.iter().map(|_| Ok(())).collect())
        }

        async fn finish(self) {}

        fn size(command: &usize) -> usize {
            *command
        }

        fn stands_apart(command: &usize) -> bool {
            command % 2 == 1
        }

        fn changes_the_next(command: &usize) -> bool {
            *command < 100
        }

        fn position(&self) -> u64 {
            self.done
        }
    }

    fn gated() -> (Arc<Writer<Gated>>, watch::Sender<u64>) {
        let (writer, gate, _) = grouped(1, false);
        (writer, gate)
    }

    type Log = mpsc::UnboundedReceiver<(Vec<usize>, bool)>;

    fn grouped(limit: usize, looks_ahead: bool) -> (Arc<Writer<Gated>>, watch::Sender<u64>, Log) {
        let (gate, open) = watch::channel(0);
        let (log, logged) = mpsc::unbounded_channel();
        let group = Gated { open, groups: 0, done: 0, looks_ahead, log };
        (Arc::new(Writer::start(group, limit)), gate, logged)
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
        for _ in 0..count + 20 {
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
        gate.send_replace(u64::MAX);
        for call in calls.into_iter().take(QUEUE + 9) {
            call.await.unwrap();
        }
        assert_eq!(*writer.position().borrow(), (QUEUE + 9) as u64);
    }

    #[tokio::test]
    async fn what_stands_apart_is_a_group_of_its_own_behind_what_came_with_it() {
        let (writer, gate, mut log) = grouped(10, false);
        let mut calls = Vec::new();
        for command in [2, 4, 5, 6, 7] {
            calls.extend(send(&writer, 1, command).await);
        }
        gate.send_replace(u64::MAX);
        for call in calls {
            call.await.unwrap();
        }
        for group in [vec![2], vec![4, 6], vec![5, 7]] {
            assert_eq!(log.recv().await.unwrap().0, group);
        }
    }

    #[tokio::test]
    async fn what_waits_is_made_ready_when_it_is_half_a_group_and_nothing_joins_or_overtakes_it() {
        let (writer, gate, mut log) = grouped(4, true);
        let mut calls = Vec::new();
        // So many groups are committed, the next one is with the store, and then these are sent.
        for (groups, commands) in [
            (0, &[2][..]),
            // Enough; what comes then waits for another group.
            (0, &[4, 6]),
            (0, &[8]),
            // Too few.
            (2, &[10]),
            // Enough, and one that stands apart.
            (3, &[13, 12, 14]),
            // Behind 12 and 14 comes 13, which changes what they would be made ready by.
            (4, &[16, 18]),
            (6, &[101, 20, 22]),
            // Behind 20 and 22 comes 101, which changes nothing.
            (7, &[24, 26]),
            // Nothing was made of the first two: the third joins them.
            (9, &[UNFIT, 28]),
            (9, &[32]),
        ] {
            gate.send_replace(groups);
            let none = send(&writer, 0, 0).await;
            assert!(none.is_empty(), "it only lets the groups be committed");
            for command in commands {
                calls.extend(send(&writer, 1, *command).await);
            }
        }
        gate.send_replace(u64::MAX);
        for call in calls {
            call.await.unwrap();
        }
        let mut groups = Vec::new();
        while let Ok(group) = log.try_recv() {
            groups.push(group);
        }
        let expected = [
            (&[2][..], false),
            (&[4, 6], true),
            (&[8], false),
            (&[10], false),
            (&[12, 14], true),
            (&[13], false),
            (&[16, 18], false),
            (&[20, 22], true),
            (&[101], false),
            (&[24, 26], true),
            (&[UNFIT, 28, 32], false),
        ];
        assert_eq!(groups, expected.map(|(group, ready)| (group.to_vec(), ready)));
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes() {
        let (writer, gate) = gated();
        let calls = send(&writer, 10, QUEUE_BYTES / 4).await;
        assert_eq!((writer.room.available_permits(), QUEUE - writer.requests.capacity()), (0, 3));
        gate.send_replace(u64::MAX);
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
        gate.send_replace(u64::MAX);
        let mut done = 0;
        for call in calls {
            done += u64::from(call.await.is_ok());
        }
        closing.await.unwrap();
        assert_eq!((done, *writer.position().borrow()), (2, 2));
    }
}
