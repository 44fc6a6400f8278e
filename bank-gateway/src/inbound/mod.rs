//! Is it HTTP, from whom, and under which name? What is asked before anything is known of a request, and the fields that go
//! on and back.

mod client_addr;
mod cors;
mod forwarded_fields;
mod request_id;
mod same_site;
mod security_headers;
pub(crate) mod strict_http;
mod trailers;
mod upgrade;
mod via;

pub use client_addr::{ClientAddr, ClientAddress, ClientOrigin, ForwardingField, InvalidNetwork};
pub(crate) use client_addr::{Peer, address_key, subject_of};
pub use cors::{Cors, Preflights};
pub use forwarded_fields::ForwardedFields;
pub(crate) use forwarded_fields::{prepare, receive, stamp};
pub use request_id::NameRequests;
pub use same_site::SameSite;
pub use security_headers::SecurityHeaders;
pub use strict_http::{HopByHop, InvalidAnswer, StrictHttp, check_answer, check_path};
pub(crate) use strict_http::{is_reserved, remove_reserved};
pub(crate) use trailers::{judge_answer_trailers, pass_back};
pub use upgrade::Upgrades;
pub(crate) use upgrade::{UpgradeRequest, end_when, join, receive_switched};
pub use via::LoopGuard;
