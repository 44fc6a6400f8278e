//! The header fields that the gateway and its services agree on.

use http::HeaderName;

/// The identity token that the gateway mints for one request to one service.
pub const BANK_IDENTITY: HeaderName = HeaderName::from_static("bank-identity");
/// The ids of sessions that a service has just ended, with commas between, in its answer. The gateway acts on them before the
/// caller sees the answer, and passes them to nobody.
pub const BANK_SESSION_ENDED: HeaderName = HeaderName::from_static("bank-session-ended");
/// The time left for the request, in whole milliseconds. A caller may only shorten what the edge allows.
pub const BANK_TIMEOUT_MS: HeaderName = HeaderName::from_static("bank-timeout-ms");
/// The token that a browser repeats on unsafe methods, beside its session cookie.
pub const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// The caller's key for one unsafe operation (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Present, with the value `true`, on an answer that repeats an earlier one.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The id of this request, made at the edge; also the `instance` of its problem document.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
