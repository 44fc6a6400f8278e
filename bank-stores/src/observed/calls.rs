//! One call from its beginning to its end: its time, its span, and whom it is told to.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::{Called, Observer, Outcome, Outcomes};
use crate::Result;

/// The calls of one store.
#[derive(Clone)]
pub(super) struct Calls {
    store: &'static str,
    observer: Arc<dyn Observer>,
}

impl Calls {
    pub(super) fn new(store: &'static str, observer: Arc<dyn Observer>) -> Self {
        Self { store, observer }
    }

    pub(super) fn store(&self) -> &'static str {
        self.store
    }

    /// A call with one outcome.
    pub(super) async fn one<T: Send>(
        &self,
        role: &'static str,
        call: &'static str,
        future: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let mut running = self.begin(role, call, 1);
        let result = future.instrument(running.span.clone()).await;
        running.outcomes = Outcomes::of([&result]);
        result
    }

    /// A call with an outcome for each of its writes.
    pub(super) async fn many<T: Send>(
        &self,
        role: &'static str,
        call: &'static str,
        writes: usize,
        future: impl Future<Output = Vec<Result<T>>> + Send,
    ) -> Vec<Result<T>> {
        let mut running = self.begin(role, call, writes);
        let results = future.instrument(running.span.clone()).await;
        running.outcomes = Outcomes::of(&results);
        results
    }

    fn begin(&self, role: &'static str, call: &'static str, writes: usize) -> RunningCall<'_> {
        let span = tracing::debug_span!(
            "store_call",
            store = self.store,
            role,
            call,
            outcome = tracing::field::Empty
        );
        let outcomes = Outcomes::repeated(Outcome::Cancelled, writes);
        RunningCall { calls: self, role, call, span, outcomes, start: Instant::now() }
    }
}

/// A call that runs. It is told when it is dropped: cancelled, unless it was given its outcomes before.
struct RunningCall<'a> {
    calls: &'a Calls,
    role: &'static str,
    call: &'static str,
    span: Span,
    outcomes: Outcomes,
    start: Instant,
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        self.span.record("outcome", tracing::field::display(&self.outcomes));
        let Self { calls, role, call, outcomes, .. } = *self;
        calls.observer.called(&Called { store: calls.store, role, call, outcomes, took });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::{Error, ErrorKind};

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn called(&self, call: &Called) {
            let Called { store, role, call, outcomes, took } = call;
            let text = format!("{store} {role} {call}: {outcomes} after {} ms", took.as_millis());
            self.0.lock().unwrap().push(text);
        }
    }

    fn calls() -> (Calls, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        (Calls::new("books", heard.clone()), heard)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_told_once_with_its_outcome_and_its_time() {
        let (calls, heard) = calls();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(7)
        };
        assert_eq!(calls.one("ledger", "account", slow).await.unwrap(), 7);
        let failed = async { Err::<(), _>(Error::new(ErrorKind::NotFound, "no such account")) };
        assert!(calls.one("ledger", "account", failed).await.is_err());
        let told = ["books ledger account: ok after 20 ms", "books ledger account: not found after 0 ms"];
        assert_eq!(*heard.0.lock().unwrap(), told);
    }

    #[tokio::test(start_paused = true)]
    async fn each_write_has_its_outcome_and_the_call_its_time() {
        let (calls, heard) = calls();
        let batch = async { vec![Ok(()), Err(Error::new(ErrorKind::Conflict, "x")), Ok(())] };
        assert_eq!(calls.many("items", "commit", 3, batch).await.len(), 3);
        assert_eq!(*heard.0.lock().unwrap(), ["books items commit: 2 ok, 1 conflict after 0 ms"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_is_told_too() {
        let (calls, heard) = calls();
        let endless = calls.many::<()>("items", "commit", 2, std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(5), endless).await.is_err());
        let told = heard.0.lock().unwrap();
        assert!(told.len() == 1 && told[0].starts_with("books items commit: 2 cancelled after "), "{told:?}");
    }
}
