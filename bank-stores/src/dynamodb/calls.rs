//! One call of the service: sent again while it may be, until its deadline.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use super::error::{Met, given_up, met};
use super::sent::watched;
use crate::breaker::{Attempt, Away, Breaker};
use crate::{Error, ErrorKind, Random as _, Result, SystemRandom};

/// How long the first pause is at most, and the last.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_millis(400);

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads.
    None,
    /// Something; to send it twice does no more than once.
    Some,
}

/// The tries of a call.
pub(super) struct Tries {
    deadline: Instant,
    pause: Duration,
    /// Whether one of them may have had an effect.
    pub(super) lost: bool,
}

impl Tries {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, pause: FIRST, lost: false }
    }

    /// Waits a while, unless the time is over; then it is false.
    pub(super) async fn again(&mut self) -> bool {
        let mut byte = [0];
        SystemRandom::new().fill(&mut byte);
        let next = Instant::now() + self.pause * (u32::from(byte[0]) + 1) / 256;
        if next >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(next).await;
        self.pause = (self.pause * 2).min(LAST);
        true
    }

    /// The error where the time is over without one of the service.
    pub(super) fn over(&self) -> Error {
        match self.lost {
            true => Error::new(
                ErrorKind::Indeterminate,
                "no answer came in time: what was asked for may have happened",
            ),
            false => {
                Error::new(ErrorKind::Unavailable, "DynamoDB was too busy for too long; nothing happened")
            }
        }
    }
}

/// Sends what `send` makes until it is answered, refused, or given up at the deadline.
///
/// The outer error is what the call ends with; the inner one is a refusal, for a caller that knows what it means.
pub(super) async fn call<T, E, F>(
    breaker: &Breaker,
    name: &'static str,
    effect: Effect,
    deadline: Instant,
    mut send: impl FnMut() -> F,
) -> Result<Result<T, SdkError<E>>>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut attempt = breaker.enter().map_err(Away::into_error)?;
    let mut tries = Tries::until(deadline);
    let start = Instant::now();
    let mut sent = 0_u32;
    loop {
        sent += 1;
        let (outcome, was_sent) = watched(send()).await;
        let error = match outcome {
            Ok(answer) => {
                attempt.answered();
                tracing::trace!(
                    operation = name,
                    tries = sent,
                    micros = start.elapsed().as_micros() as u64,
                    "DynamoDB answered"
                );
                return Ok(Ok(answer));
            }
            Err(error) => error,
        };
        heard(&mut attempt, &error);
        let met = met(&error, was_sent);
        tracing::debug!(operation = name, tries = sent, met = ?met, "DynamoDB did not do it");
        match met {
            Met::Refused => return Ok(Err(error)),
            Met::Lost => tries.lost |= effect == Effect::Some,
            Met::NotNow => {}
        }
        if !tries.again().await {
            unheard(&mut attempt, &error);
            return Err(given_up(error, tries.lost));
        }
    }
}

/// Notes what the error of a try says of the service.
pub(super) fn heard<E>(attempt: &mut Attempt<'_>, error: &SdkError<E>) {
    match error {
        SdkError::ServiceError(_) => attempt.answered(),
        // It was never asked.
        SdkError::ConstructionFailure(_) => attempt.ended(),
        _ => {}
    }
}

/// Notes that a call is given up with this error, which the service has not answered unless it is an answer.
pub(super) fn unheard<E: StdError + 'static>(attempt: &mut Attempt<'_>, error: &SdkError<E>) {
    if !matches!(error, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_)) {
        attempt.failed(&DisplayErrorContext(error));
    }
}

/// A call whose refusal means nothing in particular.
pub(super) async fn plain<T, E, F>(
    breaker: &Breaker,
    name: &'static str,
    effect: Effect,
    deadline: Instant,
    send: impl FnMut() -> F,
) -> Result<T>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    call(breaker, name, effect, deadline, send).await?.map_err(|error| given_up(error, false))
}
