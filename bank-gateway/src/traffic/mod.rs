//! How much, how often, how long: what bounds a request.

mod body_limit;
mod deadline;
mod idempotency;
mod rate_limit;

pub use body_limit::BodyLimit;
pub use deadline::{Deadline, Times};
pub use idempotency::RequireIdempotencyKey;
pub(crate) use rate_limit::Counted;
pub use rate_limit::{Buckets, KeyOf, LimitBy, Quota, RateLimit, SharedLimits, TotalLimit, WhenAway};
#[cfg(feature = "passwords")]
pub(crate) use rate_limit::{LimitStore, hashed};
