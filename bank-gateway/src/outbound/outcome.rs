//! What became of a request that was sent on, and whose fault it was. Breaker, load estimate, retry, metrics, access log and
//! audit all read this one answer.

use std::fmt;

use bank_sdk::Problem;
use http::StatusCode;
use tower::BoxError;

use crate::problem::{incomplete_body, lost_answer};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The service answered, whatever it said.
    Answered,
    /// The service failed.
    Failed(Why),
    /// Nothing was sent, or nothing was done with it: it had no effect.
    Unsent(Unsent),
    /// The answer was no longer wanted before it came.
    Abandoned(Abandoned),
    /// The caller's own body broke off.
    CallerBroke,
}

/// How a service failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The connection was lost before the answer came: the request may have had its effect.
    Lost,
    /// A connection that had served others before ended without a byte of the answer (RFC 9112 §9.3.1).
    Stale,
    /// The route's own time was over, of which the service had had at least half for itself, with the request wholly sent.
    TimedOut,
    /// What came is no answer that can be passed on.
    BadAnswer,
    /// The body of the answer broke off.
    BodyBroke,
}

/// Why nothing was sent, or nothing was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsent {
    /// No connection could be made.
    Unreachable,
    /// The service says that it did nothing with the request (RFC 9113 §8.7), as one does that is about to end.
    Refused,
    /// There is no endpoint at all.
    NoEndpoint,
    /// Every endpoint's breaker is open.
    BreakerOpen,
    /// Too many requests are in flight, and too many wait.
    Busy,
}

/// Who no longer wanted the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Abandoned {
    /// The caller hung up.
    ByCaller,
    /// The caller's own, shorter time was over.
    ByItsDeadline,
    /// The route's time was over while the caller was still sending.
    SlowUpload,
    /// The time was over by nobody's fault, or by several: before the service had had its share of it, or with the answer on its
    /// way to a slow reader.
    TooLate,
    /// The caller left so much of the answer unread for so long that the service gave up.
    SlowReader,
}

impl Outcome {
    /// A word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(Why::Lost | Why::Stale) => "lost",
            Self::Failed(Why::TimedOut) => "timed_out",
            Self::Failed(Why::BadAnswer) => "bad_answer",
            Self::Failed(Why::BodyBroke) => "body_broke",
            Self::Unsent(Unsent::Unreachable) => "unreachable",
            Self::Unsent(Unsent::Refused) => "turned_away",
            Self::Unsent(Unsent::NoEndpoint) => "no_endpoint",
            Self::Unsent(Unsent::BreakerOpen) => "breaker_open",
            Self::Unsent(Unsent::Busy) => "busy",
            Self::Abandoned(Abandoned::ByCaller) => "client_gone",
            Self::Abandoned(Abandoned::ByItsDeadline) => "client_deadline",
            Self::Abandoned(Abandoned::SlowUpload) => "slow_upload",
            Self::Abandoned(Abandoned::TooLate) => "too_late",
            Self::Abandoned(Abandoned::SlowReader) => "slow_reader",
            Self::CallerBroke => "caller_broke",
        }
    }

    /// Whether the endpoint is to blame. It is not where a kept connection was found closed, which happens to healthy ones.
    #[must_use]
    pub const fn is_endpoints_failure(self) -> bool {
        match self {
            Self::Failed(why) => !matches!(why, Why::Stale),
            outcome => matches!(outcome, Self::Unsent(Unsent::Unreachable)),
        }
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Failure {
    outcome: Outcome,
    source: Option<BoxError>,
}

impl Failure {
    /// A failure without a cause of its own.
    #[must_use]
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome, source: None }
    }

    /// A failure with what the network or the service said.
    pub fn caused(outcome: Outcome, source: impl Into<BoxError>) -> Self {
        Self { outcome, source: Some(source.into()) }
    }

    /// What became of the request.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What the caller is told, without a word of what is inside.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self.outcome {
            Outcome::Unsent(Unsent::Busy) => Problem::unavailable().with_code("overloaded"),
            Outcome::Unsent(_) => Problem::unavailable(),
            Outcome::CallerBroke => incomplete_body(),
            Outcome::Failed(Why::BadAnswer) => Problem::new(
                StatusCode::BAD_GATEWAY,
                "the service's answer is not valid HTTP; repeat the request with the same key to learn its outcome",
            )
            .with_code("invalid_answer"),
            Outcome::Failed(Why::TimedOut)
            | Outcome::Abandoned(Abandoned::ByItsDeadline | Abandoned::TooLate) => Problem::deadline_exceeded(),
            _ => lost_answer(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer: ")?;
        f.write_str(self.outcome.as_str())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
