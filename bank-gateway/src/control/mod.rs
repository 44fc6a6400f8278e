//! How a gateway is described, built, changed while it runs, and looked at.

mod admin;
mod builder;
#[cfg(feature = "config")]
pub mod config;
mod lasting;
mod own_routes;
mod parts;
mod plan;
mod readiness;
mod reload;
mod routes;

pub use admin::{Admin, AdminFuture};
pub use builder::{GatewayBuilder, ServicePolicy};
pub use parts::{Parts, RoutePart};
pub(crate) use plan::{Shared, State};
pub use readiness::ReadyCheck;
