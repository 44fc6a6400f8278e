//! Tests a gateway without a socket: callers, time and upstreams are of the test's choice.
//!
//! ```
//! use std::time::Duration;
//!
//! use bank_gateway::identity::PrincipalField;
//! use bank_gateway::testing::{Harness, Recorder, Reply};
//! use bank_gateway::{Quota, Route};
//! use bank_sdk::http::Body;
//! use bank_sdk::{Access, Principal};
//! use http::Request;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! // In a test: #[tokio::test(start_paused = true)]
//! let harness = Harness::new(|builder| {
//!     let staff = Access::Authenticated { scopes: vec!["reports".to_owned()], roles: vec![] };
//!     let reports = Recorder::answering("reports", |_| Reply::status(200).body("all is well"));
//!     builder
//!         .rate_limit("default", Quota::per_minute(2))
//!         .route(
//!             Route::all("/reports/{*rest}").access(staff),
//!             reports.upstream().forward_principal([("x-user", PrincipalField::Subject)]),
//!         )
//! })?;
//! let get = || Request::get("/reports/today").header("x-user", "somebody else").body(Body::empty()).unwrap();
//! let ann = Principal::customer("ann").with_scope("reports");
//!
//! assert_eq!(harness.call(get()).await.status(), 401);
//! assert_eq!(harness.call(get()).as_principal(Principal::customer("bea")).await.status(), 403);
//! assert_eq!(harness.call(get()).as_principal(ann.clone()).await.text().await?, "all is well");
//!
//! // What the upstream got: the caller's name, not the one that the caller made up.
//! let received = harness.upstream("reports").only();
//! assert_eq!((received.uri.path(), received.header("x-user")), ("/reports/today", Some("ann")));
//!
//! // Two a minute: the third comes too early.
//! assert_eq!(harness.call(get()).as_principal(ann.clone()).await.status(), 200);
//! assert_eq!(harness.call(get()).as_principal(ann.clone()).await.code().await.as_deref(), Some("rate_limited"));
//! harness.advance(Duration::from_secs(60)).await;
//! assert_eq!(harness.call(get()).as_principal(ann).await.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Time
//! There is one time, which begins at 2030-01-01. [`Harness::advance`] moves all of it, where tokio's clock is paused as it is
//! with `#[tokio::test(start_paused = true)]`. Then nothing takes any time by itself, but what waits for a timer: tokio moves
//! its clock to the next timer when there is nothing else to do.
//!
//! | What | Goes by |
//! | --- | --- |
//! | the schemes of this crate: when a credential expires | [`Harness::clock`], unless they were given a clock of their own |
//! | identity tokens: `MintIdentity`, services of this process, calls of services | [`Harness::clock`] |
//! | audit records | [`Harness::clock`] |
//! | limits, the throttle of `Passwords`, budgets of failures, what caches remember | tokio's clock |
//! | deadlines, retries, breakers, balancing, readiness, refreshing of keys | tokio's clock |
//! | schemes and steps of a team's own, `audit::AuditGate` | what they are given: make a [`TestClock`], and give it to [`Harness::on`] too |
//!
//! [`Harness::clock`] itself goes by tokio's clock, so that both stay together; [`TestClock::set`] moves it alone, as when
//! somebody sets a machine's clock.
//!
//! # Callers
//! [`Call::as_principal`] chooses who calls. The harness adds a scheme to the gateway, and to routes with schemes of their own,
//! which believes the mark that this harness puts into a request in this process. No bytes of a request can make that mark, nor
//! can another harness, and only [`Harness::new`] adds the scheme: a gateway that is built otherwise believes nothing of it.
//! Real credentials work beside it. Because of that scheme a harness does not find out that a gateway accepts no credential at
//! all: for that, build it with [`Gateway::builder`](crate::Gateway::builder).

mod call;
mod chosen;
mod clock;
mod recorder;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::Principal;
use bank_sdk::client::Client;
use bank_sdk::http::Body;
use http::Request;

pub use call::{Answered, Call, Transport};
pub use clock::TestClock;
pub use recorder::{Received, Recorder, Reply};

use self::chosen::ChosenPrincipals;
use crate::{BuildError, Gateway, GatewayBuilder};

/// A gateway under test.
#[derive(Clone)]
pub struct Harness {
    gateway: Gateway,
    clock: TestClock,
    chosen: ChosenPrincipals,
    recorders: Vec<Recorder>,
}

impl Harness {
    /// Builds the gateway that `describe` describes, by a clock that begins at 2030-01-01. The runtime that the test runs on has
    /// to be entered, as it is in `#[tokio::test]`.
    ///
    /// # Errors
    /// As [`GatewayBuilder::build`]; or two [recorders](Recorder) of one name.
    pub fn new(describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Result<Self, BuildError> {
        Self::on(TestClock::new(), describe)
    }

    /// The same by a clock that the test has given to others too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on(
        clock: TestClock,
        describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Result<Self, BuildError> {
        let chosen = ChosenPrincipals::default();
        let builder = describe(Gateway::builder().clock(Arc::new(clock.clone())));
        let (builder, recorders) = prepare(builder, &chosen)?;
        Ok(Self { gateway: builder.build()?, clock, chosen, recorders })
    }

    /// Puts another configuration in force: [`Gateway::reload`], with what the harness adds.
    ///
    /// # Errors
    /// As [`Gateway::reload`].
    pub fn reload(
        &mut self,
        describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Result<(), BuildError> {
        let (builder, recorders) = prepare(describe(Gateway::builder()), &self.chosen)?;
        self.gateway.reload(builder)?;
        self.recorders = recorders;
        Ok(())
    }

    /// The gateway itself, for its [`admin`](Gateway::admin) pages or its [`internal`](Gateway::internal) side.
    #[must_use]
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The time of day.
    #[must_use]
    pub const fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// Moves the time on, for everything; timers that are due by then fire.
    ///
    /// # Panics
    /// Where tokio's clock is not paused.
    pub async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    /// A call from outside, to be completed and awaited. It comes from 192.0.2.1, is for the host `gateway.test` where it does
    /// not name another, and is from nobody who is known.
    pub fn call<B: Into<Body>>(&self, request: Request<B>) -> Call {
        Call::new(self.clone(), request.map(Into::into))
    }

    /// A client of declared endpoints, whose calls come from this principal, or from nobody (`None`).
    #[must_use]
    pub fn client(&self, principal: impl Into<Option<Principal>>) -> Client {
        Client::new(Transport::new(self.clone(), principal.into().map(Arc::new)))
    }

    /// The recorder of this name.
    ///
    /// # Panics
    /// Where the gateway has none.
    #[must_use]
    #[track_caller]
    pub fn upstream(&self, name: &str) -> &Recorder {
        self.recorders.iter().find(|recorder| recorder.name() == name).unwrap_or_else(|| {
            let names: Vec<_> = self.recorders.iter().map(Recorder::name).collect();
            panic!("no recorder is called `{name}`; there are {names:?}")
        })
    }
}

/// Adds the scheme of chosen principals wherever schemes are accepted, and finds the recorders.
fn prepare(
    builder: GatewayBuilder,
    chosen: &ChosenPrincipals,
) -> Result<(GatewayBuilder, Vec<Recorder>), BuildError> {
    let mut builder = builder.authenticate(chosen.clone());
    let services = builder.services.iter_mut().flat_map(|(_, _, policy)| {
        std::iter::once(&mut policy.all).chain(policy.operations.iter_mut().map(|(_, policy)| policy))
    });
    let routes = builder.routes.iter_mut().map(|(route, _)| &mut route.policy);
    for policy in services.chain(routes).chain([&mut builder.policy]) {
        if let Some(schemes) = &mut policy.schemes {
            schemes.push(Arc::new(chosen.clone()));
        }
    }
    let upstreams = builder.services.iter().map(|(_, upstream, _)| upstream);
    let mut recorders: Vec<Recorder> = Vec::new();
    for upstream in upstreams.chain(builder.routes.iter().map(|(_, upstream)| upstream)) {
        let Some(recorder) = &upstream.recorder else { continue };
        match recorders.iter().find(|other| other.name() == recorder.name()) {
            Some(other) if !other.is(recorder) => {
                let name = recorder.name();
                return Err(BuildError::one(format!("two recorders are called `{name}`; rename one")));
            }
            Some(_) => {}
            None => recorders.push(recorder.clone()),
        }
    }
    Ok((builder, recorders))
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}
