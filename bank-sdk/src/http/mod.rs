//! HTTP's small parts that every layer shares: the body and the names of our header fields.

mod body;
mod content;
mod entity_tag;
mod headers;
mod loopback;
mod negotiate;
mod request_id;
mod sse;
mod timer;
mod upgrade;
mod watch;

pub(crate) use body::Lease;
pub use body::{Body, BodyError, ReadError};
pub use content::{check_content_coding, check_json};
pub use entity_tag::is_known;
pub use headers::{
    BANK_IDENTITY, BANK_SESSION_ENDED, BANK_TIMEOUT_MS, CSRF_TOKEN, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED,
    REQUEST_ID,
};
pub use loopback::is_loopback_host;
pub use negotiate::preferred;
pub use request_id::RequestId;
pub use sse::{EventSender, ReaderGone, event_stream};
pub(crate) use timer::Spare;
pub use timer::Timer;
pub use upgrade::{JoinedUntil, Upgrade};
pub use watch::{End, Watch};
