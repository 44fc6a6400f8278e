//! Look-ups under way: one at a time for each key, however many wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Error, ErrorKind, Result};

type Outcome<V> = Result<Option<Arc<V>>>;

/// The look-ups under way.
pub(super) struct Flights<V>(Arc<Mutex<UnderWay<V>>>);

struct UnderWay<V> {
    begun: u64,
    flights: HashMap<String, (u64, Flight<V>)>,
}

/// A look-up to wait for.
pub(super) struct Flight<V>(watch::Receiver<Option<Outcome<V>>>);

/// A look-up that whoever got this has to make. Dropped without an outcome, it has failed.
pub(super) struct Begun<V> {
    pub(super) key: String,
    number: u64,
    outcome: watch::Sender<Option<Outcome<V>>>,
    under_way: Arc<Mutex<UnderWay<V>>>,
}

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(UnderWay { begun: 0, flights: HashMap::new() })))
    }
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Flights<V> {
    /// The look-up of `key`, and what to make of it where it begins now; then `begin` is called, with nobody beside.
    pub(super) fn join(&self, key: &str, begin: impl FnOnce()) -> (Flight<V>, Option<Begun<V>>) {
        let mut under_way = lock(&self.0);
        if let Some((_, flight)) = under_way.flights.get(key) {
            return (flight.clone(), None);
        }
        begin();
        let (outcome, receiver) = watch::channel(None);
        let flight = Flight(receiver);
        under_way.begun += 1;
        let number = under_way.begun;
        under_way.flights.insert(key.to_owned(), (number, flight.clone()));
        let begun = Begun { key: key.to_owned(), number, outcome, under_way: Arc::clone(&self.0) };
        (flight, Some(begun))
    }

    /// Tells those who wait. `keep` is called, with nobody beside, unless the look-up was detached.
    pub(super) fn land(&self, begun: Begun<V>, outcome: Outcome<V>, keep: impl FnOnce(&str)) {
        let mut under_way = lock(&self.0);
        if under_way.is_under_way(&begun) {
            keep(&begun.key);
            under_way.flights.remove(&begun.key);
        }
        drop(under_way);
        begun.outcome.send_replace(Some(outcome));
    }

    /// Where `is_over` says so, what is being looked up for `key` is for those who wait already, and for nobody else.
    pub(super) fn detach(&self, key: &str, is_over: impl FnOnce() -> bool) {
        let mut under_way = lock(&self.0);
        if is_over() {
            under_way.flights.remove(key);
        }
    }

    pub(super) fn detach_all(&self, and: impl FnOnce()) {
        let mut under_way = lock(&self.0);
        under_way.flights.clear();
        and();
    }
}

impl<V> UnderWay<V> {
    fn is_under_way(&self, begun: &Begun<V>) -> bool {
        self.flights.get(&begun.key).is_some_and(|(number, _)| *number == begun.number)
    }
}

fn lock<V>(under_way: &Mutex<UnderWay<V>>) -> MutexGuard<'_, UnderWay<V>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Drop for Begun<V> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if under_way.is_under_way(self) {
            under_way.flights.remove(&self.key);
        }
    }
}

impl<V: Send + Sync> Flight<V> {
    pub(super) async fn outcome(mut self) -> Outcome<V> {
        let outcome = self.0.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        let ended = || Err(Error::new(ErrorKind::Unavailable, "the loader ended without an answer"));
        outcome.unwrap_or_else(ended)
    }
}
