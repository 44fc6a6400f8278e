//! A step that has to wait for something, as one async function.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bank_sdk::Problem;

use super::{Flow, Refusal, Step};
use crate::exchange::Exchange;

/// A step that lets a request pass or refuses it, and may wait before it does. Each is a [`Step`]; one that never waits costs
/// less as a `Step` of its own.
///
/// ```
/// use bank_gateway::{Exchange, Gate, StepLayer};
/// use bank_sdk::Problem;
///
/// #[derive(Clone, Debug)]
/// struct Maintenance(bool);
///
/// impl Gate for Maintenance {
///     async fn check(&self, exchange: &mut Exchange) -> Result<(), Problem> {
///         if self.0 && !exchange.request.method().is_safe() {
///             return Err(Problem::unavailable().with_code("maintenance"));
///         }
///         Ok(())
///     }
/// }
/// # let _ = StepLayer::new(Maintenance(true));
/// ```
///
/// In a [`Gateway`](crate::Gateway) it knows the matched route, [`Facts::route`](crate::Facts::route), and who calls,
/// [`Facts::principal`](crate::Facts::principal). It may be dropped at any point where it waits: the caller hung up, or the
/// route's time was over.
pub trait Gate: Clone + Send + Sync + 'static {
    /// Lets the request pass, changed or not.
    ///
    /// # Errors
    /// The problem that the caller is answered with.
    fn check(&self, exchange: &mut Exchange) -> impl Future<Output = Result<(), Problem>> + Send;
}

impl<G: Gate> Step for G {
    type Held = Waiting;

    fn before(&self, exchange: &mut Exchange, held: &mut Waiting) -> Result<Flow, Refusal> {
        let (gate, mut own) = (self.clone(), exchange.take());
        Ok(held.start(async move {
            let checked = gate.check(&mut own).await;
            (own, checked.map_err(Refusal::from))
        }))
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut Waiting,
    ) -> Poll<Result<(), Refusal>> {
        held.poll(cx, exchange)
    }
}

/// What a step waits for: a future that owns the exchange meanwhile, and gives it back.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "it lives as long as one request waits")]
pub struct Waiting(Option<Pin<Box<dyn Future<Output = Waited> + Send>>>);

/// The exchange, and whether it may go on.
type Waited = (Exchange, Result<(), Refusal>);

impl Waiting {
    /// Waits for this future.
    pub fn start(
        &mut self,
        future: impl Future<Output = (Exchange, Result<(), Refusal>)> + Send + 'static,
    ) -> Flow {
        self.0 = Some(Box::pin(future));
        Flow::Wait
    }

    /// Puts the exchange back where the future is done.
    ///
    /// # Errors
    /// The refusal that it came to.
    pub fn poll(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<Result<(), Refusal>> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Ok(())) };
        let (own, checked) = ready!(future.as_mut().poll(cx));
        self.0 = None;
        *exchange = own;
        Poll::Ready(checked)
    }
}
