//! What becomes of credentials and sessions on the way to a service, and back.

use bank_sdk::http::BANK_SESSION_ENDED;
use bank_sdk::serve::until;

use super::Authenticate;
use crate::exchange::{Exchange, Facts, Sought};
use crate::field_text::remove_rare;
use crate::inbound::end_when;
use crate::outbound::Credentials;
use crate::step::{Answer, Flow, Refusal, Step};

/// Removes the credentials that were for the gateway, before a service sees the request.
#[derive(Clone, Debug)]
pub struct StripCredentials {
    authenticate: Authenticate,
    what: Credentials,
}

impl StripCredentials {
    /// Those of these schemes, `Authorization` and `Cookie`.
    #[must_use]
    pub const fn of(authenticate: Authenticate, what: Credentials) -> Self {
        Self { authenticate, what }
    }
}

impl Step for StripCredentials {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let headers = exchange.request.headers_mut();
        if !matches!(self.what, Credentials::Keep) {
            self.authenticate.strip(headers, !exchange.facts.lacks(Sought::Cookie));
        }
        if let Credentials::Replace(name, value) = &self.what {
            headers.insert(name, value.clone());
        }
        Ok(Flow::Pass)
    }
}

/// Acts on what a service says of sessions that it has just ended: the schemes forget them before the caller sees the answer,
/// and a stream, or a connection that was upgraded, ends with the session of its caller.
#[derive(Clone, Debug)]
pub struct EndSessions {
    authenticate: Authenticate,
    /// Whether the service is believed.
    believed: bool,
}

impl EndSessions {
    /// Tells these schemes; only a service of the bank's own is `believed`.
    #[must_use]
    pub const fn of(authenticate: Authenticate, believed: bool) -> Self {
        Self { authenticate, believed }
    }
}

impl Step for EndSessions {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let facts = &exchange.facts;
        end_when(facts, || {
            let session = facts.principal()?.session.clone()?;
            Some(Box::pin(self.authenticate.clone().session_ended(session)))
        });
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), facts: &Facts, answer: &mut Answer) {
        let Ok(response) = answer else { return };
        let ended = remove_rare(response.headers_mut(), &BANK_SESSION_ENDED).filter(|_| self.believed);
        if let Some(ids) = ended {
            let ids = ids.to_str().unwrap_or_default().split(',').map(str::trim);
            ids.filter(|id| !id.is_empty()).for_each(|id| self.authenticate.forget_session(id));
        }
        if facts.route().is_some_and(|route| route.stream)
            && let Some(session) = facts.principal().and_then(|principal| principal.session.clone())
        {
            let ended = self.authenticate.clone().session_ended(session);
            let body = std::mem::take(response);
            *response = until(body, ended);
        }
    }
}
