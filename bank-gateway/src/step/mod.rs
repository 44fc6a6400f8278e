//! A step of a request's way: the form that all parts of the gateway have.
//!
//! A [`Step`] lets a request pass or refuses it, and sees the answer on its way back. [`StepLayer`] puts one step, or a
//! list of them, in front of any tower service; the [`Gateway`](crate::Gateway) is the same code over the list
//! [`EdgeSteps`](crate::edge::EdgeSteps). What has to wait for something is most easily a [`Gate`].
//!
//! ```
//! use bank_gateway::{StepLayer, StrictHttp};
//! use bank_sdk::http::Body;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let service = ServiceBuilder::new()
//!     .layer(StepLayer::new(StrictHttp::default()))
//!     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::from("hello"))) });
//!
//! let plain = Request::get("/v1/x").header("host", "bank.example").body(Body::empty()).unwrap();
//! assert_eq!(service.clone().oneshot(plain).await.unwrap().status(), 200);
//!
//! let hidden = Request::get("/v1/%2e%2e/x").header("host", "bank.example").body(Body::empty()).unwrap();
//! assert_eq!(service.oneshot(hidden).await.unwrap().status(), 400);
//! # });
//! ```

mod gate;
mod layer;
pub(crate) mod list;
mod own;
mod panic_guard;
pub(crate) mod passage;

use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::Response;

use crate::exchange::{Exchange, Facts};

pub use gate::{Gate, Waiting};
pub use layer::{Answered, StepFuture, StepLayer, StepService};
pub(crate) use layer::{finish, finish_in_place};
pub(crate) use list::steps;
pub(crate) use own::AnyStep;
pub use own::{OwnHeld, OwnSteps};
pub use panic_guard::PanicGuard;

/// What a step does with a request, and with its answer.
///
/// A step that only asks something implements `before`:
///
/// ```
/// use bank_gateway::{Exchange, Flow, Refusal, Step};
/// use bank_sdk::Problem;
///
/// /// Refuses clients that do not say what they are.
/// #[derive(Clone, Debug)]
/// struct NeedUserAgent;
///
/// impl Step for NeedUserAgent {
///     type Held = ();
///
///     fn before(&self, exchange: &mut Exchange, _: &mut ()) -> Result<Flow, Refusal> {
///         if exchange.headers().contains_key("user-agent") {
///             return Ok(Flow::Pass);
///         }
///         Err(Problem::bad_request("say what you are in `User-Agent`").into())
///     }
/// }
/// # let _ = bank_gateway::StepLayer::new(NeedUserAgent);
/// ```
pub trait Step: Send + Sync + 'static {
    /// What it keeps of a request until the answer. It is dropped without [`after`](Self::after) where the request is
    /// abandoned, or its inner service fails.
    type Held: Default + Send;

    /// Whether a panic in what is behind becomes a 500 here, and ends nothing else.
    const GUARDS: bool = false;

    /// Whether [`Facts::deadline`] ends what is behind, and what waits in the steps of its list.
    const BOUNDS: bool = false;

    /// Whether it is a list of steps: its [`after`](Self::after) is called even where it refused, and knows itself which of its
    /// steps the request had passed.
    const IS_LIST: bool = false;

    /// Lets the request pass, changed or not.
    ///
    /// # Errors
    /// The refusal that the caller is answered with. [`after`](Self::after) is not called then, unless it is a list.
    fn before(&self, exchange: &mut Exchange, held: &mut Self::Held) -> Result<Flow, Refusal>;

    /// Goes on where [`before`](Self::before) said [`Flow::Wait`]; it is polled until it is ready.
    ///
    /// # Errors
    /// As [`before`](Self::before).
    fn poll_wait(
        &self,
        _cx: &mut Context<'_>,
        _exchange: &mut Exchange,
        _held: &mut Self::Held,
    ) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    /// Sees the answer of what is behind, a refusal too, of a request that has passed.
    fn after(&self, _held: Self::Held, _facts: &Facts, _answer: &mut Answer) {}
}

/// Whether a request goes on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Pass,
    /// [`Step::poll_wait`] says when.
    Wait,
}

/// What a caller gets: the answer of a service, or the problem that becomes one.
pub type Answer = Result<Response<Body>, Problem>;

/// Why a request does not go on.
#[derive(Debug)]
pub enum Refusal {
    /// It is refused.
    Problem(Problem),
    /// It has its answer already.
    Answered(Box<Response<Body>>),
}

impl Refusal {
    /// The problem, where it is one.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Answered(_) => None,
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Response<Body>> for Refusal {
    fn from(response: Response<Body>) -> Self {
        Self::Answered(Box::new(response))
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Problem(problem) => Err(problem),
            Refusal::Answered(response) => Ok(*response),
        }
    }
}

/// A step that may be left out.
impl<T: Step> Step for Option<T> {
    type Held = T::Held;
    const GUARDS: bool = T::GUARDS;
    const BOUNDS: bool = T::BOUNDS;
    const IS_LIST: bool = T::IS_LIST;

    fn before(&self, exchange: &mut Exchange, held: &mut Self::Held) -> Result<Flow, Refusal> {
        self.as_ref().map_or(Ok(Flow::Pass), |step| step.before(exchange, held))
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut Self::Held,
    ) -> Poll<Result<(), Refusal>> {
        self.as_ref().map_or(Poll::Ready(Ok(())), |step| step.poll_wait(cx, exchange, held))
    }

    fn after(&self, held: Self::Held, facts: &Facts, answer: &mut Answer) {
        if let Some(step) = self {
            step.after(held, facts, answer);
        }
    }
}
