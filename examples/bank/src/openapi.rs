//! The title page of the API's document: what callers must know before the first call.

use bank_sdk::openapi::Info;

/// Also what the page at `/docs` begins with.
const GUIDE: &str = include_str!("openapi.md");

pub(crate) fn info() -> Info {
    Info::new("Reference Bank", env!("CARGO_PKG_VERSION"))
        .description(GUIDE)
        .license(env!("CARGO_PKG_LICENSE"), env!("CARGO_PKG_LICENSE"))
}
