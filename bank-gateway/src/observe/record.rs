//! The end of a request, told once and to all who observe: when its answer has been read to the end, when it broke off, or
//! when nobody wanted it any longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::{End, Watch};
use http::StatusCode;
use tower::BoxError;

use crate::exchange::{Exchange, Facts};
use crate::outbound::{Abandoned, Outcome};
use crate::step::{Answer, Flow, Refusal, Step, finish_in_place};

/// Observes requests. [`Metrics`](crate::Metrics), [`AccessLog`](crate::AccessLog) and the audit are observers.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use bank_gateway::{Ended, Facts, Observe};
///
/// /// Counts the bytes that go out.
/// #[derive(Debug, Default)]
/// struct Bytes(AtomicU64);
///
/// impl Observe for Bytes {
///     fn ended(&self, _: &Facts, end: &Ended) {
///         self.0.fetch_add(end.bytes, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observe: std::fmt::Debug + Send + Sync + 'static {
    /// A request begins.
    fn began(&self) {}

    /// It has ended; each request that began does.
    fn ended(&self, facts: &Facts, end: &Ended);
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// The status of its answer; 499 where the caller hung up before there was one.
    pub status: StatusCode,
    /// What became of it.
    pub outcome: Outcome,
    /// How many bytes of the answer's body were passed on; where the connection was upgraded, those that went to the client.
    pub bytes: u64,
    /// From its beginning to the head of the answer.
    pub head: Duration,
    /// From its beginning to its end.
    pub whole: Duration,
}

/// The status under which a request is told whose caller hung up before it was answered.
const CLIENT_GONE: u16 = 499;

/// Tells observers how each request ends. It is the place where a refusal of a step behind it becomes an answer.
#[derive(Clone, Debug)]
pub struct Record(Arc<[Arc<dyn Observe>]>);

impl Record {
    /// Tells these, one after the other.
    pub fn to(observers: impl IntoIterator<Item = Arc<dyn Observe>>) -> Self {
        Self(observers.into_iter().collect())
    }
}

impl Step for Record {
    type Held = Option<Recording>;

    fn before(&self, exchange: &mut Exchange, held: &mut Self::Held) -> Result<Flow, Refusal> {
        self.0.iter().for_each(|observer| observer.began());
        *held = Some(Recording {
            observers: self.0.clone(),
            facts: exchange.facts.clone(),
            status: None,
            head: Duration::ZERO,
            bytes: 0,
            over: false,
        });
        Ok(Flow::Pass)
    }

    fn after(&self, held: Self::Held, facts: &Facts, answer: &mut Answer) {
        let Some(mut recording) = held else { return };
        let Some(response) = finish_in_place(answer, facts) else { return };
        recording.status = Some(response.status());
        recording.head = facts.start().elapsed();
        response.body_mut().watch(recording);
    }
}

/// A request that has not ended yet.
#[derive(Debug)]
pub struct Recording {
    observers: Arc<[Arc<dyn Observe>]>,
    facts: Facts,
    status: Option<StatusCode>,
    head: Duration,
    bytes: u64,
    over: bool,
}

impl Recording {
    fn tell(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let whole = self.facts.start().elapsed();
        let gone = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        let (status, head) = self.status.map_or((gone, whole), |status| (status, self.head));
        let end = Ended { status, outcome, bytes: self.bytes, head, whole };
        for observer in &*self.observers {
            // It may be told while a request is being dropped: its own panic must not end more than itself.
            let told = catch_unwind(AssertUnwindSafe(|| observer.ended(&self.facts, &end)));
            if told.is_err() {
                tracing::error!(?observer, "an observer panicked");
            }
        }
    }
}

impl Watch for Recording {
    fn passed(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.bytes += bytes as u64;
        Ok(())
    }

    fn ended(&mut self, end: End) {
        // The answer to a `HEAD` has a body that nobody sends.
        let whole = end == End::Whole || *self.facts.method() == http::Method::HEAD;
        let known = self.facts.outcome();
        let outcome = match known {
            Some(outcome) if whole || outcome != Outcome::Answered => outcome,
            None if whole => Outcome::Answered,
            _ if end == End::Broken => Outcome::Failed(crate::outbound::Why::BodyBroke),
            _ if end == End::TooLate => Outcome::Abandoned(Abandoned::TooLate),
            _ => Outcome::Abandoned(Abandoned::ByCaller),
        };
        self.tell(outcome);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Nobody waited for the answer.
        let outcome = self.facts.outcome().filter(|outcome| *outcome != Outcome::Answered);
        self.tell(outcome.unwrap_or(Outcome::Abandoned(Abandoned::ByCaller)));
    }
}
