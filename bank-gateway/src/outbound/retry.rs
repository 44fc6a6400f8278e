//! Go again, or not. Outside the balancer, so that another endpoint may serve; budgeted, so that a failure is not
//! multiplied; and never for a request that may have had an effect, unless its endpoint declared that repeating is harmless
//! (S21).

use std::fmt;
use std::time::Duration;

use bank_sdk::declaration::Idempotency;
use bank_sdk::http::{Body, IDEMPOTENCY_KEY};
use http::Response;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::endpoint::is_worth_another;
use super::replay::Replay;
use super::{Failure, Outcome, Sending, Transport, Unsent, Why};
use crate::inbound::stamp;

/// How often, and how much of, what failed is sent again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryOptions {
    /// The most tries of one request, the first among them: 3 by default, at most 8.
    pub tries: usize,
    /// The share of live traffic that may be sent again: a fifth by default.
    pub share: f32,
    /// So many a second besides, for services with little traffic: 10 by default.
    pub per_second: u32,
    /// The largest body that is kept for another try, in bytes: 64 KiB by default.
    pub body: usize,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { tries: 3, share: 0.2, per_second: 10, body: 64 * 1024 }
    }
}

/// Sends again what failed and may be repeated, within a budget. What was never sent may go anywhere; what was sent goes again
/// only where the route's declaration, or [`of`](Self::of), says that repeating is harmless. A read whose connection turned
/// out to be stale is sent once more to the same endpoint, over a new one.
pub struct Retry<T> {
    inner: T,
    options: RetryOptions,
    class: Idempotency,
    budget: TpsBudget,
}

impl<T: Transport> Retry<T> {
    /// Around this transport, with the default options.
    #[must_use]
    pub fn around(inner: T) -> Self {
        Self::with(inner, RetryOptions::default())
    }

    /// With these options.
    #[must_use]
    pub fn with(inner: T, options: RetryOptions) -> Self {
        let budget = TpsBudget::new(Duration::from_secs(10), options.per_second, options.share);
        Self { inner, options, class: Idempotency::None, budget }
    }

    /// What requests are that no route declares anything about.
    #[must_use]
    pub const fn of(mut self, class: Idempotency) -> Self {
        self.class = class;
        self
    }

    /// What stands behind it.
    pub(crate) const fn inner(&self) -> &T {
        &self.inner
    }

    /// Whether repeating this request is harmless.
    fn may_repeat(&self, sending: &Sending) -> bool {
        let class = sending.idempotency().unwrap_or(self.class);
        match class {
            Idempotency::Safe => sending.request.method().is_safe(),
            class if class.has_key() => sending.request.headers().contains_key(IDEMPOTENCY_KEY),
            class => class.may_repeat(),
        }
    }
}

impl<T: Transport> Transport for Retry<T> {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let replay = self.may_repeat(sending).then(|| Replay::keep(&mut sending.request, self.options.body));
        let safe = sending.request.method().is_safe();
        self.budget.deposit();
        let mut last = None;
        for tries in 1..=self.options.tries.max(1) {
            stamp(&mut sending.request, &sending.facts);
            let sent = self.inner.send(sending).await;
            if matches!(&sent, Ok(response) if !is_worth_another(response.status())) {
                return sent;
            }
            let sent = match (sent, last.take()) {
                (Err(failure), Some(last)) if failure.outcome() == Outcome::Unsent(Unsent::NoEndpoint) => {
                    // Nobody is left to ask: what the last one said stands.
                    return last;
                }
                // What an earlier try may have done stays unknown, whatever became of the later ones. One that reads does nothing.
                (Err(failure), Some(Err(last))) if !safe && is_unsent(&failure) && !is_unsent(&last) => {
                    Err(last)
                }
                (sent, _) => sent,
            };
            if tries >= self.options.tries || !self.goes_again(&sent, sending, replay.as_ref()) {
                return sent;
            }
            last = Some(sent);
            sending.counted = false;
        }
        last.unwrap_or_else(|| Err(Failure::new(Outcome::Unsent(Unsent::NoEndpoint))))
    }
}

impl<T> Retry<T> {
    /// Whether the request is sent again. It stands in its place then.
    fn goes_again(
        &self,
        sent: &Result<Response<Body>, Failure>,
        sending: &mut Sending,
        replay: Option<&Replay>,
    ) -> bool {
        match sent {
            // It came back whole.
            Err(failure) if failure.outcome() == Outcome::Unsent(Unsent::Unreachable) => {
                return self.budget.withdraw();
            }
            Err(failure)
                if !matches!(failure.outcome(), Outcome::Failed(_) | Outcome::Unsent(Unsent::Refused)) =>
            {
                return false;
            }
            _ => {}
        }
        let Some(again) = replay.and_then(Replay::again) else { return false };
        let stale = matches!(sent, Err(failure) if failure.outcome() == Outcome::Failed(Why::Stale));
        if stale && !sending.anew {
            // The server closed what it had kept: it did nothing wrong, and is asked once more.
            sending.tried.pop();
        } else if !self.budget.withdraw() {
            return false;
        }
        sending.anew = stale;
        sending.request = again;
        true
    }
}

fn is_unsent(failure: &Failure) -> bool {
    matches!(failure.outcome(), Outcome::Unsent(_))
}

impl<T: fmt::Debug> fmt::Debug for Retry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
