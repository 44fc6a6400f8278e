//! The two ways in, as lists of steps in their order: the outside, which anybody reaches, and the inside, for the bank's own
//! services. `docs/layers.md` says why in this order.
//!
//! Each list is a struct of public steps, and a step itself: `StepLayer::new(edge_steps)` puts the whole list in front of any
//! service. [`Gateway::parts`](crate::Gateway::parts) gives the lists of a gateway, for a team that composes them differently.

mod gateway;
mod internal;
mod served;

pub use gateway::{Gateway, GatewayFuture};
pub use internal::{Budgeted, InFlightBudget, Internal, InternalFuture, RemoveReserved, StrictPath};
pub(crate) use served::{Own, Served, Target};
pub use served::{RouteService, RouteServiceFuture};

use crate::identity::{
    Authenticate, Authorize, EndSessions, ForwardPrincipal, KnownCaller, MintIdentity, NoCredentialInQuery,
    StripCredentials,
};
use crate::inbound::{
    ClientAddress, Cors, ForwardedFields, HopByHop, LoopGuard, NameRequests, Preflights, SameSite,
    SecurityHeaders, StrictHttp, Upgrades,
};
use crate::observe::{Record, TraceContext};
use crate::route::{ChangeFields, Rewrite};
use crate::step::{OwnSteps, PanicGuard, steps};
use crate::traffic::{BodyLimit, Deadline, RateLimit, RequireIdempotencyKey, TotalLimit};

#[cfg(feature = "passwords")]
type LoginStep = crate::identity::Login;
#[cfg(not(feature = "passwords"))]
type LoginStep = PanicGuard;

steps! {
    /// What every request from outside passes, before it is known which route serves it.
    pub struct EdgeSteps, EdgeHeld {
        /// A name for the request.
        pub name: NameRequests,
        /// The fields that tell a browser to be careful.
        pub security: SecurityHeaders,
        /// Metrics, log and audit; below it, what is refused becomes an answer.
        pub record: Record,
        /// Browsers of other origins: the fields that every answer has for them.
        pub cors: Option<Cors>,
        /// A panic below is this request's failure only.
        pub guard: PanicGuard,
        /// The client's address, from the connection or from trusted proxies.
        pub client: ClientAddress,
        /// The quota of each address, before anything costs more.
        pub address_limit: RateLimit,
        /// What could be read in two ways is refused; what only the gateway may say is removed.
        pub strict: StrictHttp,
        /// A request that has come by before is a loop.
        pub loops: LoopGuard,
        /// Browsers of other origins: preflights have no credentials, and are answered here.
        pub preflights: Option<Preflights>,
    }
}

steps! {
    /// What a request from outside passes on its route. What the route does not ask for is not there.
    pub struct RouteSteps, RouteHeld {
        /// The quota of all together.
        pub total: Option<TotalLimit>,
        /// The times of the route.
        pub deadline: Deadline,
        /// Another protocol, only where the route says so.
        pub upgrade: Upgrades,
        /// Pages of other sites.
        pub same_site: Option<SameSite>,
        /// The quota of each address, where nobody is known.
        pub address_quota: Option<RateLimit>,
        /// No credential in the address.
        pub query: NoCredentialInQuery,
        /// The largest body.
        pub body: BodyLimit,
        /// The team's own, before anybody is known.
        pub front: Option<OwnSteps>,
        /// Who calls, by a password.
        pub login: Option<LoginStep>,
        /// Who calls, by a credential.
        pub authenticate: Option<Authenticate>,
        /// Whether they may.
        pub authorize: Authorize,
        /// The quota of each caller.
        pub quota: Option<RateLimit>,
        /// The team's own, for callers who may.
        pub own: Option<OwnSteps>,
        /// The form of the idempotency key.
        pub key: Option<RequireIdempotencyKey>,
        /// Sessions that the service has ended, and streams of sessions that end.
        pub sessions: Option<EndSessions>,
        /// Credentials end here.
        pub credentials: Option<StripCredentials>,
        /// Another path for the service.
        pub rewrite: Option<Rewrite>,
        /// Fields of one connection end here; the request's id and its client go on.
        pub forwarded: Option<ForwardedFields>,
        /// Fields that the team sets.
        pub fields: Option<ChangeFields>,
        /// The trace goes on.
        pub trace: Option<TraceContext>,
        /// A foreign service is told who calls.
        pub principal: Option<ForwardPrincipal>,
        /// A service of the bank is told who calls.
        pub mint: Option<MintIdentity>,
    }
}

steps! {
    /// What every call between services passes.
    pub struct InsideSteps, InsideHeld {
        /// A name for the call, until its caller is believed about the one that it gives.
        pub name: NameRequests,
        /// Metrics, log and audit.
        pub record: Record,
        /// A panic below is this call's failure only.
        pub guard: PanicGuard,
        /// The path can be read in one way only.
        pub strict: internal::StrictPath,
        /// Fields of one connection end here, before anything judges the call.
        pub hops: HopByHop,
    }
}

steps! {
    /// What a call between services passes on its route.
    pub struct InsideRouteSteps, InsideRouteHeld {
        /// The times of the route.
        pub deadline: Deadline,
        /// Which service calls, and for whom.
        pub caller: KnownCaller,
        /// Whether it may.
        pub authorize: Authorize,
        /// What only the gateway may say is removed.
        pub reserved: internal::RemoveReserved,
        /// The largest body.
        pub body: BodyLimit,
        /// So many calls at once.
        pub budget: InFlightBudget,
        /// Sessions that the service has ended.
        pub sessions: Option<EndSessions>,
        /// Fields of one connection end here.
        pub forwarded: ForwardedFields,
        /// The trace goes on.
        pub trace: TraceContext,
        /// The service is told who calls.
        pub mint: MintIdentity,
    }
}
