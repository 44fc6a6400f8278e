//! HTTP's small parts that every layer shares: the body and the names of our header fields.

mod body;
mod headers;
mod sse;
mod timer;

pub(crate) use body::Lease;
pub use body::{Body, BodyError, ReadError};
pub use headers::{
    BANK_IDENTITY, BANK_SESSION_ENDED, BANK_TIMEOUT_MS, CSRF_TOKEN, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED,
    REQUEST_ID, RequestId,
};
pub use sse::{EventSender, ReaderGone, event_stream};
pub(crate) use timer::Spare;
pub use timer::Timer;
