//! What waits for the writer, and how it becomes groups.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{GROUP_BYTES, Group};
use crate::Result;

/// The commands of a call, or a part of them that goes into one group.
pub(super) struct Request<G: Group> {
    pub(super) commands: Vec<G::Command>,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Vec<Result<G::Outcome>>>,
    /// Its part of the bytes that may wait.
    pub(super) room: OwnedSemaphorePermit,
}

impl<G: Group> Request<G> {
    fn stands_apart(&self) -> bool {
        self.commands.iter().any(G::stands_apart)
    }

    /// How many of its commands go into a plain group.
    pub(super) fn plain(&self) -> usize {
        if self.stands_apart() { 0 } else { self.commands.len() }
    }
}

/// How many commands wait that do not stand apart; it wakes the task when they are half a group.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Below zero for a moment where one is taken before it is counted.
    commands: AtomicIsize,
    enough: isize,
    reached: Notify,
}

impl Crowd {
    /// Half a group is enough: what every group costs is little beside it.
    pub(super) fn new(limit: usize) -> Self {
        Self { commands: AtomicIsize::new(0), enough: (limit / 2).max(1) as isize, reached: Notify::new() }
    }

    pub(super) fn joined(&self, count: usize) {
        let before = self.commands.fetch_add(count as isize, Ordering::AcqRel);
        if before < self.enough && before + count as isize >= self.enough {
            self.reached.notify_one();
        }
    }

    fn left(&self, count: usize) {
        self.commands.fetch_sub(count as isize, Ordering::AcqRel);
    }

    async fn gathered(&self) {
        while self.commands.load(Ordering::Acquire) < self.enough {
            self.reached.notified().await;
        }
    }
}

/// Requests that are executed as one group.
pub(super) struct Batch<G: Group> {
    pub(super) commands: Vec<G::Command>,
    bytes: usize,
    pub(super) replies: Vec<Reply<G>>,
    /// With it, nothing is added any more.
    pub(super) ready: Option<G::Ready>,
}

/// Who asked for the next so many commands of a batch.
pub(super) struct Reply<G: Group> {
    pub(super) to: oneshot::Sender<Vec<Result<G::Outcome>>>,
    pub(super) count: usize,
    _room: OwnedSemaphorePermit,
}

impl<G: Group> Batch<G> {
    fn new() -> Self {
        Self { commands: Vec::new(), bytes: 0, replies: Vec::new(), ready: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    fn push(&mut self, request: Request<G>) {
        let count = request.commands.len();
        self.commands.extend(request.commands);
        self.bytes += request.bytes;
        self.replies.push(Reply { to: request.reply, count, _room: request.room });
    }
}

/// The task's end of the queue.
pub(super) struct Queue<G: Group> {
    requests: mpsc::Receiver<Request<G>>,
    crowd: Arc<Crowd>,
    limit: usize,
    /// What the next group is made of, and behind it what stands apart.
    plain: Batch<G>,
    apart: Batch<G>,
    /// The first for which they had no room.
    over: Option<Request<G>>,
}

impl<G: Group> Queue<G> {
    pub(super) fn new(requests: mpsc::Receiver<Request<G>>, crowd: Arc<Crowd>, limit: usize) -> Self {
        Self { requests, crowd, limit, plain: Batch::new(), apart: Batch::new(), over: None }
    }

    /// Waits for the next group and fills it; says whether there is one. When the store closes, no more are taken in; those
    /// that wait are still executed.
    pub(super) async fn wait(&mut self, closing: &mut watch::Receiver<bool>) -> bool {
        if self.is_ready() {
            return true;
        }
        if self.plain.is_empty() && self.apart.is_empty() && self.over.is_none() {
            let first = tokio::select! {
                biased;
                request = self.requests.recv() => request,
                _ = async { closing.wait_for(|closing| *closing).await.is_ok() } => {
                    self.requests.close();
                    self.requests.recv().await
                }
            };
            let Some(first) = first else { return false };
            self.push(first);
        }
        // Callers that the last group woke get their turn to send, so that they join this group: no time is waited.
        tokio::task::yield_now().await;
        self.fill();
        true
    }

    fn is_ready(&self) -> bool {
        self.plain.ready.is_some()
    }

    /// Takes in what is there, until the group is full or ready.
    fn fill(&mut self) {
        while !self.is_ready() && self.count() < self.limit {
            let Some(request) = self.over.take().or_else(|| self.requests.try_recv().ok()) else { return };
            let (count, bytes) = (self.count(), self.plain.bytes + self.apart.bytes);
            let fits = count + request.commands.len() <= self.limit && bytes + request.bytes <= GROUP_BYTES;
            if count > 0 && !fits {
                self.over = Some(request);
                return;
            }
            self.push(request);
        }
    }

    fn count(&self) -> usize {
        self.plain.commands.len() + self.apart.commands.len()
    }

    fn push(&mut self, request: Request<G>) {
        if request.stands_apart() { &mut self.apart } else { &mut self.plain }.push(request);
    }

    pub(super) fn take(&mut self) -> (Batch<G>, Batch<G>) {
        self.crowd.left(self.plain.commands.len());
        let take = |batch| std::mem::replace(batch, Batch::new());
        (take(&mut self.plain), take(&mut self.apart))
    }

    pub(super) fn next(&mut self, followed: bool) -> Next<'_, G> {
        Next(followed.then_some(self))
    }
}

/// What waits behind a group.
pub(crate) struct Next<'a, G: Group>(Option<&'a mut Queue<G>>);

impl<G: Group> Next<'_, G> {
    /// The commands of the next group, as soon as enough wait to make one of them; until then it does not end. It may be
    /// dropped before.
    pub(crate) async fn group(&mut self) -> &[G::Command] {
        let Some(queue) = &mut self.0 else { return pending().await };
        queue.crowd.gathered().await;
        queue.fill();
        if queue.plain.is_empty() {
            // What stands apart came first, and is as much as a group takes.
            return pending().await;
        }
        &queue.plain.commands
    }

    /// Takes what was made of what `group` gave. It is given to `commit` with those commands, and nothing is added to them.
    pub(crate) fn set_ready(&mut self, ready: G::Ready) {
        if let Some(queue) = &mut self.0 {
            queue.plain.ready = Some(ready);
        }
    }
}
