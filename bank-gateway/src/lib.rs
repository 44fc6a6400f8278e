#![doc = include_str!("../README.md")]

pub mod control;
#[cfg(feature = "dev")]
mod dev;
pub mod edge;
mod error;
mod exchange;
mod field_text;
mod hex;
pub mod identity;
pub mod inbound;
pub mod observe;
pub mod outbound;
mod problem;
pub mod route;
mod serve;
pub mod step;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
pub mod traffic;
#[cfg(any(feature = "jwt", feature = "tls"))]
#[cfg_attr(
    not(all(feature = "jwt", feature = "tls")),
    allow(dead_code, unused_imports, reason = "key sets and certificates together use all of it")
)]
mod watched;

#[cfg(feature = "config")]
pub use control::config;
pub use control::{Admin, GatewayBuilder, Parts, ReadyCheck, ServicePolicy};
#[cfg(feature = "dev")]
pub use dev::{Dev, DevError, DevErrorKind, DevServer, dev};
pub use edge::{Gateway, GatewayFuture, Internal};
pub use error::BuildError;
pub use exchange::{Exchange, Facts};
pub use identity::{Authenticate, Authorize, MintIdentity};
pub use inbound::{
    ClientAddr, ClientAddress, ClientOrigin, Cors, ForwardingField, InvalidAnswer, InvalidNetwork,
    NameRequests, SameSite, SecurityHeaders, StrictHttp, check_answer, check_path,
};
pub use observe::{
    AccessLog, Ended, Measure, Metrics, Observe, Record, Sampling, TraceContext, TraceId, audit,
};
pub use outbound::{Outcome, Upstream};
pub use route::{ErrorPages, Policy, Render, Rewrite, Route, RouteInfo, Routes};
pub use serve::{PerCore, serve};
pub use step::{Answer, Flow, Gate, PanicGuard, Refusal, Step, StepFuture, StepLayer, StepService};
#[cfg(feature = "tls")]
pub use tls::{CertificateStatus, Tls, TlsError};
pub use tower_http::cors;
pub use traffic::{
    BodyLimit, Buckets, Deadline, LimitBy, Quota, RateLimit, RequireIdempotencyKey, SharedLimits, Times,
    TotalLimit, WhenAway,
};
