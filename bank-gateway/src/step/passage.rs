//! A request's way through steps to what is behind them, and the answer's way back: one future, for a step alone as for the
//! whole gateway.

use std::future::Future;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bank_sdk::Problem;
use bank_sdk::http::Timer;
use http::StatusCode;
use pin_project_lite::pin_project;

use super::{Answer, Flow, Refusal, Step};
use crate::exchange::{Exchange, Facts};
use crate::outbound::{Abandoned, Outcome};
use crate::problem::incomplete_body;

/// What is behind the steps.
pub(crate) trait Next {
    type Error;
    type Output;
    type Future: Future<Output = Self::Output>;

    /// The exchange is taken out of its place: to hand on such a large value costs more.
    fn call(self, exchange: &mut Option<Exchange>) -> Self::Future;

    fn answer(output: Self::Output) -> Result<Answer, Self::Error>;
}

/// What is behind the steps, before it is known whether the request has to wait.
pub(crate) trait Start {
    type Next: Next;

    /// The request need not wait.
    fn call(self, exchange: &mut Option<Exchange>) -> <Self::Next as Next>::Future;

    /// It has to: what will be called then.
    fn keep(self) -> Self::Next;
}

pin_project! {
    /// A request on its way. `H` holds the steps, `N` is what is behind them.
    pub(crate) struct Passage<H: Deref, N: Next> where H::Target: Step {
        steps: H,
        facts: Facts,
        held: <H::Target as Step>::Held,
        timer: Option<Timer>,
        #[pin]
        stage: Stage<N, N::Future>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<N, F> {
        // Boxed: it is large, and most requests never wait.
        Waiting { exchange: Box<Option<Exchange>>, next: Option<N> },
        Behind { #[pin] future: F },
        Refused { refusal: Option<Refusal> },
        Over,
    }
}

impl<H: Deref, N: Next> Passage<H, N>
where
    H::Target: Step,
{
    /// Sends a request through the steps, as far as it gets without waiting.
    #[inline]
    pub(crate) fn begin<S: Start<Next = N>>(
        steps: H,
        facts: Facts,
        exchange: &mut Option<Exchange>,
        start: S,
    ) -> Self {
        let mut held = Default::default();
        let begun = guarded::<H::Target, _>(&facts, || {
            let Some(own) = exchange else { return Err(Problem::internal().into()) };
            Ok(match steps.before(own, &mut held)? {
                Flow::Pass => Stage::Behind { future: start.call(exchange) },
                Flow::Wait => {
                    Stage::Waiting { exchange: Box::new(exchange.take()), next: Some(start.keep()) }
                }
            })
        });
        let stage = begun.unwrap_or_else(|refusal| Stage::Refused { refusal: Some(refusal) });
        Self { steps, facts, held, timer: None, stage }
    }
}

impl<H: Deref, N: Next> Passage<H, N>
where
    H::Target: Step,
{
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl<H: Deref, N: Next> Future for Passage<H, N>
where
    H::Target: Step,
{
    type Output = Result<Answer, N::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let output = loop {
            let polled = match this.stage.as_mut().project() {
                StageProjection::Waiting { exchange, next } => {
                    let (steps, held) = (&**this.steps, &mut *this.held);
                    let polled = guarded::<H::Target, _>(this.facts, || {
                        let Some(own) = &mut **exchange else { return Ok(Poll::Pending) };
                        match steps.poll_wait(cx, own, held) {
                            Poll::Pending => Ok(Poll::Pending),
                            Poll::Ready(passed) => {
                                passed?;
                                Ok(Poll::Ready(next.take().map(|next| next.call(exchange))))
                            }
                        }
                    });
                    match polled {
                        Ok(Poll::Ready(Some(future))) => {
                            this.stage.set(Stage::Behind { future });
                            continue;
                        }
                        Ok(_) => Poll::Pending,
                        Err(refusal) => Poll::Ready(Ok(refusal.into())),
                    }
                }
                StageProjection::Behind { future } => {
                    match guarded::<H::Target, _>(this.facts, || Ok(future.poll(cx))) {
                        Ok(polled) => polled.map(N::answer),
                        Err(refusal) => Poll::Ready(Ok(refusal.into())),
                    }
                }
                StageProjection::Refused { refusal } => match refusal.take() {
                    Some(refusal) => Poll::Ready(Ok(refusal.into())),
                    None => Poll::Pending,
                },
                // A future that is done is not polled again.
                StageProjection::Over => return Poll::Pending,
            };
            match polled {
                Poll::Ready(output) => break output,
                Poll::Pending if H::Target::BOUNDS => {
                    let Some(deadline) = this.facts.deadline() else { return Poll::Pending };
                    let timer = this.timer.get_or_insert_with(|| this.facts.timer(deadline));
                    ready!(timer.poll_over(cx));
                    break Ok(Err(too_late(this.facts)));
                }
                Poll::Pending => return Poll::Pending,
            }
        };
        *this.timer = None;
        let passed = H::Target::IS_LIST || matches!(*this.stage, Stage::Behind { .. });
        // What a panic left half done is dropped here, and may panic once more.
        let stage = this.stage.as_mut();
        let _ = guarded::<H::Target, _>(this.facts, || {
            let mut stage = stage;
            stage.set(Stage::Over);
            Ok(())
        });
        let held = std::mem::take(this.held);
        if !passed {
            return Poll::Ready(output);
        }
        let mut output = output;
        let mut failed = None;
        let answer = match &mut output {
            Ok(answer) => answer,
            Err(_) => failed.insert(Err(Problem::internal())),
        };
        if guarded::<H::Target, _>(this.facts, || {
            this.steps.after(held, this.facts, answer);
            Ok(())
        })
        .is_err()
        {
            *answer = Err(Problem::internal());
        }
        Poll::Ready(output)
    }
}

/// The refusal of a request whose time is over, by whose fault that is.
fn too_late(facts: &Facts) -> Problem {
    let outcome = facts.why_too_late(None);
    // Whoever has the request now knows better, and says so when it is dropped.
    facts.set_outcome(outcome);
    match outcome {
        Outcome::Abandoned(Abandoned::SlowUpload) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
                .with_code("timeout")
        }
        Outcome::CallerBroke => incomplete_body(),
        _ => Problem::deadline_exceeded(),
    }
}

/// What the closure gives. Where the steps guard, a panic in it is a refusal of this one request.
fn guarded<T: Step + ?Sized, R>(
    facts: &Facts,
    act: impl FnOnce() -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    if !T::GUARDS {
        return act();
    }
    // What it left half done is not touched again but to drop it.
    std::panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        facts.set_panicked();
        tracing::error!(request = facts.id_text(), "a request ended in a panic");
        Err(Problem::internal().into())
    })
}
