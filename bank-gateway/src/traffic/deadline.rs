//! How long may it take? Three times: until the head of the answer, between two pieces of its body, and in all.

use std::time::Duration;

use bank_sdk::http::BANK_TIMEOUT_MS;
use http::HeaderMap;

use crate::exchange::{Exchange, Facts, Sought};
use crate::step::{Answer, Flow, Refusal, Step};

/// A time that nobody waits for: longer ones could not be added to the clock.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The times of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// Until the head of the answer: 10 s by default.
    pub head: Duration,
    /// Between two pieces of the answer's body, while its reader waits: 30 s by default.
    pub idle: Duration,
    /// Until the end of the body, or of a connection that was upgraded. There is no such bound by default.
    pub whole: Option<Duration>,
    /// A connection that was upgraded, to a WebSocket say, ends when nothing has passed on it for so long, in neither direction:
    /// 5 minutes by default.
    pub upgraded_idle: Duration,
}

impl Times {
    /// So much time until the head of the answer; the others by default.
    #[must_use]
    pub fn head(head: Duration) -> Self {
        Self { head, ..Self::default() }
    }

    /// So much time between two pieces of the answer.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// So much time without a byte on a connection that was upgraded.
    #[must_use]
    pub const fn upgraded_idle(mut self, idle: Duration) -> Self {
        self.upgraded_idle = idle;
        self
    }

    /// So much time in all.
    #[must_use]
    pub const fn whole(mut self, whole: Duration) -> Self {
        self.whole = Some(whole);
        self
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: None,
            upgraded_idle: Duration::from_secs(300),
        }
    }
}

/// Answers with 504 what has no answer in time, and with 408 a caller who did not send its request in time. An answer that
/// keeps its reader waiting is broken off; a reader who takes its time is waited for. A caller may ask for less time in
/// `bank-timeout-ms`.
///
/// ```
/// use std::time::Duration;
/// use bank_gateway::{Deadline, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(Deadline::after(Duration::from_millis(10))))
///     .service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::convert::Infallible>>());
/// assert_eq!(service.oneshot(Request::new(Body::empty())).await.unwrap().status(), 504);
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Times);

impl Deadline {
    /// So much time until the head of each answer.
    #[must_use]
    pub fn after(head: Duration) -> Self {
        Self::of(Times::head(head))
    }

    /// These times.
    #[must_use]
    pub fn of(times: Times) -> Self {
        let (head, idle) = (times.head.min(FAR_AWAY), times.idle.min(FAR_AWAY));
        Self(Times { head, idle, ..times })
    }
}

impl Step for Deadline {
    type Held = ();
    const BOUNDS: bool = true;

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let lacks = exchange.facts.lacks(Sought::Timeout);
        let asked = if lacks { None } else { asked_time(exchange.headers()) };
        exchange.facts.limit_time(self.0.head, asked);
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), facts: &Facts, answer: &mut Answer) {
        let Ok(response) = answer else { return };
        // A stream ends when its server drains, or its reader's session ends.
        if facts.route().is_some_and(|route| route.stream) {
            return;
        }
        let whole = self.0.whole.and_then(|whole| facts.start().checked_add(whole));
        // The timer is set when somebody waits.
        response.body_mut().limit_time(facts.timer(facts.start()), self.0.idle, whole);
    }
}

/// The time that a caller gives, where it says.
pub(crate) fn asked_time(headers: &HeaderMap) -> Option<Duration> {
    headers.get(BANK_TIMEOUT_MS)?.to_str().ok()?.parse().ok().map(Duration::from_millis)
}
