//! Steps of the team's own, of any type, inside a gateway.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{Answer, Flow, Refusal, Step};
use crate::exchange::{Exchange, Facts};

/// A step of any type.
pub(crate) trait AnyStep: Send + Sync + 'static {
    /// Begins with a request.
    fn begin(&self, exchange: &mut Exchange) -> Result<(Flow, Box<dyn Running>), Refusal>;
}

/// A step that has begun with a request.
pub(crate) trait Running: Send {
    fn poll_wait(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<Result<(), Refusal>>;

    fn after(self: Box<Self>, facts: &Facts, answer: &mut Answer);
}

struct Begun<T: Step> {
    step: Arc<T>,
    held: T::Held,
}

impl<T: Step> AnyStep for Arc<T> {
    fn begin(&self, exchange: &mut Exchange) -> Result<(Flow, Box<dyn Running>), Refusal> {
        let mut begun = Begun { step: self.clone(), held: T::Held::default() };
        let flow = begun.step.before(exchange, &mut begun.held)?;
        Ok((flow, Box::new(begun)))
    }
}

impl<T: Step> Running for Begun<T> {
    fn poll_wait(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<Result<(), Refusal>> {
        self.step.poll_wait(cx, exchange, &mut self.held)
    }

    fn after(self: Box<Self>, facts: &Facts, answer: &mut Answer) {
        self.step.after(self.held, facts, answer);
    }
}

/// The team's own steps, in the order in which they were given.
#[derive(Clone, Default)]
pub struct OwnSteps(Arc<[Arc<dyn AnyStep>]>);

impl OwnSteps {
    pub(crate) fn new(steps: impl IntoIterator<Item = Arc<dyn AnyStep>>) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// What the team's own steps keep of a request.
#[derive(Default)]
pub struct OwnHeld {
    begun: Vec<Box<dyn Running>>,
    waits: bool,
}

impl Step for OwnSteps {
    type Held = OwnHeld;
    const IS_LIST: bool = true;

    fn before(&self, exchange: &mut Exchange, held: &mut OwnHeld) -> Result<Flow, Refusal> {
        while let Some(step) = self.0.get(held.begun.len()) {
            let (flow, begun) = step.begin(exchange)?;
            exchange.facts.forget_found();
            held.begun.push(begun);
            if flow == Flow::Wait {
                held.waits = true;
                return Ok(Flow::Wait);
            }
        }
        Ok(Flow::Pass)
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut OwnHeld,
    ) -> Poll<Result<(), Refusal>> {
        loop {
            if let Some(last) = held.begun.last_mut().filter(|_| held.waits) {
                ready!(last.poll_wait(cx, exchange))?;
                held.waits = false;
            }
            if self.before(exchange, held)? == Flow::Pass {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn after(&self, mut held: OwnHeld, facts: &Facts, answer: &mut Answer) {
        if held.waits {
            // It has not let the request pass.
            held.begun.pop();
        }
        for begun in held.begun.into_iter().rev() {
            begun.after(facts, answer);
        }
    }
}

impl fmt::Debug for OwnSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnSteps").field(&self.0.len()).finish()
    }
}

impl fmt::Debug for OwnHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnHeld")
    }
}
