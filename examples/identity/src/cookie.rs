//! The session cookie.

use bank_sdk::Problem;
use http::{HeaderMap, HeaderValue};

use crate::browser::is_plain_loopback;
use crate::{LOOPBACK_COOKIE, SESSION_COOKIE};

/// The cookie that a client gets. A browser on this machine that asks without TLS gets one without `Secure`, since some take no
/// other there; its name then cannot have the prefix that asks for `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionCookie {
    name: &'static str,
    attributes: &'static str,
}

impl SessionCookie {
    /// The one for the client of this request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if is_plain_loopback(headers) {
            Self { name: LOOPBACK_COOKIE, attributes: "Path=/; HttpOnly; SameSite=Strict" }
        } else {
            Self { name: SESSION_COOKIE, attributes: "Path=/; Secure; HttpOnly; SameSite=Strict" }
        }
    }

    /// Sets it.
    pub(crate) fn set(self, session: &str, secret: &str) -> Result<HeaderValue, Problem> {
        let Self { name, attributes } = self;
        let mut cookie = HeaderValue::try_from(format!("{name}={session}.{secret}; {attributes}"))
            .map_err(|_| Problem::internal())?;
        cookie.set_sensitive(true);
        Ok(cookie)
    }

    /// Ends it; the attributes are those that it was set with.
    pub(crate) fn clear(self) -> Result<HeaderValue, Problem> {
        let Self { name, attributes } = self;
        HeaderValue::try_from(format!("{name}=; {attributes}; Max-Age=0")).map_err(|_| Problem::internal())
    }
}
