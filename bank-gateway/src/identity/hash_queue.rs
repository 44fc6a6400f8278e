//! Who may have a password hashed next: a bounded number at once, fair among networks.
//!
//! Networks take turns, so that hundreds of guesses from one address delay a login from elsewhere by one of them. Networks
//! from which the user has signed in before, and devices that are known, go first: three of four places are theirs while
//! they want them. One network may have so many waiting; those beyond are refused at once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::failure_budget::Network;

/// One place of so many is for networks that are not known, also while known ones wait.
const UNKNOWN_TURN: u8 = 4;

/// The queue. Clones share it.
#[derive(Clone)]
pub(crate) struct HashQueue {
    state: Arc<Mutex<State>>,
}

struct State {
    free: usize,
    /// How many of one network may wait.
    waiting: usize,
    turn: u8,
    known: Lane,
    unknown: Lane,
}

/// Networks in the order of their turns, and who waits in each.
#[derive(Default)]
struct Lane {
    order: VecDeque<Network>,
    waiting: HashMap<Network, VecDeque<oneshot::Sender<Permit>>>,
}

/// The right to compute one hash. It goes on to the next when it is dropped.
pub(crate) struct Permit {
    state: Option<Arc<Mutex<State>>>,
}

/// The network has as many waiting as it may.
#[derive(Debug)]
pub(crate) struct TooMany;

impl HashQueue {
    /// So many hashes at once, and so many that wait for each network.
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        let (known, unknown) = (Lane::default(), Lane::default());
        let state = State { free: at_once.max(1), waiting: waiting.max(1), turn: 0, known, unknown };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for its turn. Whoever stops waiting gives the place back.
    pub(crate) async fn enter(&self, network: Network, is_known: bool) -> Result<Permit, TooMany> {
        let waiting = {
            let mut state = lock(&self.state);
            if state.free > 0 {
                state.free -= 1;
                return Ok(Permit { state: Some(self.state.clone()) });
            }
            let limit = state.waiting;
            let lane = if is_known { &mut state.known } else { &mut state.unknown };
            lane.push(network, limit)?
        };
        // The sender is dropped by nobody but one who gives the permit.
        waiting.await.map_err(|_| TooMany)
    }
}

impl Lane {
    fn push(&mut self, network: Network, limit: usize) -> Result<oneshot::Receiver<Permit>, TooMany> {
        let is_new = !self.waiting.contains_key(&network);
        let queue = self.waiting.entry(network).or_default();
        if queue.len() >= limit {
            queue.retain(|waiting| !waiting.is_closed());
            if queue.len() >= limit {
                return Err(TooMany);
            }
        }
        // A network with an entry has its turn already, even where all who waited have gone away.
        if is_new {
            self.order.push_back(network);
        }
        let (sender, receiver) = oneshot::channel();
        queue.push_back(sender);
        Ok(receiver)
    }

    /// The next of the network whose turn it is, who has not gone away.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while let Some(network) = self.order.pop_front() {
            let Some(queue) = self.waiting.get_mut(&network) else { continue };
            let mut next = queue.pop_front();
            while next.as_ref().is_some_and(oneshot::Sender::is_closed) {
                next = queue.pop_front();
            }
            if queue.is_empty() {
                self.waiting.remove(&network);
            } else {
                self.order.push_back(network);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        self.turn = (self.turn + 1) % UNKNOWN_TURN;
        if self.turn == 0 {
            self.unknown.next().or_else(|| self.known.next())
        } else {
            self.known.next().or_else(|| self.unknown.next())
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(shared) = self.state.take() else { return };
        loop {
            let next = {
                let mut state = lock(&shared);
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Self { state: Some(shared.clone()) }) {
                Ok(()) => return,
                // Gone away meanwhile: this permit is ours to give on, and must not do so by itself.
                Err(mut unsent) => drop(unsent.state.take()),
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for HashQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashQueue").field("free", &lock(&self.state).free).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spawned(queue: &HashQueue, network: u32, is_known: bool, done: &Arc<Mutex<Vec<u32>>>) {
        let (queue, done) = (queue.clone(), done.clone());
        tokio::spawn(async move {
            if let Ok(permit) = queue.enter(Network::test(network), is_known).await {
                done.lock().unwrap().push(network);
                drop(permit);
            }
        });
        tokio::task::yield_now().await;
    }

    async fn order_of(done: &Arc<Mutex<Vec<u32>>>, count: usize) -> Vec<u32> {
        while done.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
        done.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn s33_a_login_from_elsewhere_waits_for_one_of_another_network_s_guesses() {
        let (queue, done) = (HashQueue::new(1, 64), Arc::default());
        let first = queue.enter(Network::test(9), false).await.unwrap();
        for _ in 0..300 {
            spawned(&queue, 1, false, &done).await;
        }
        spawned(&queue, 2, false, &done).await;
        spawned(&queue, 3, true, &done).await;
        drop(first);
        let order = order_of(&done, 66).await;
        assert_eq!(order[..3], [3, 1, 2], "known first, then in turns");
        assert_eq!(order.len(), 66, "one network has 64 waiting, the others are refused");
    }

    #[tokio::test]
    async fn known_networks_do_not_starve_the_others() {
        let (queue, done) = (HashQueue::new(1, 64), Arc::default());
        let first = queue.enter(Network::test(9), false).await.unwrap();
        for _ in 0..20 {
            spawned(&queue, 1, true, &done).await;
        }
        spawned(&queue, 2, false, &done).await;
        drop(first);
        let order = order_of(&done, 21).await;
        assert!(order[..4].contains(&2), "{order:?}");
    }

    #[tokio::test]
    async fn whoever_goes_away_gives_the_place_to_the_next() {
        let queue = HashQueue::new(1, 2);
        let first = queue.enter(Network::test(1), false).await.unwrap();
        for _ in 0..10 {
            let waiting = queue.enter(Network::test(1), false);
            let gave_up = tokio::time::timeout(std::time::Duration::from_millis(1), waiting).await;
            assert!(gave_up.is_err(), "it waits, and is not refused");
        }
        drop(first);
        drop(queue.enter(Network::test(1), false).await.unwrap());
        assert_eq!(lock(&queue.state).free, 1);
    }
}
