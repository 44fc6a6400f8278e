//! How a service is told who calls.

use std::cell::Cell;

use bank_sdk::http::BANK_IDENTITY;
use bank_sdk::identity::{Identity, IdentityKeys, LocalKey};
use bank_stores::Clock;
use http::HeaderName;

use super::mint::Stated;
use crate::exchange::Exchange;
use crate::field_text::field_copy;
use crate::step::{Flow, Refusal, Step};

thread_local!(
    /// Where this thread writes tokens.
    static TOKEN: Cell<String> = const { Cell::new(String::new()) }
);

/// How one service is told who calls.
#[derive(Clone, Debug)]
pub(crate) enum Tell {
    /// By a typed extension, in this process.
    Local(LocalKey),
    /// By a signed token.
    Signed(IdentityKeys),
    /// Not at all.
    Nothing,
}

impl Tell {
    /// Puts the identity of this request into it.
    pub(super) fn state(&self, exchange: &mut Exchange, stated: &Stated, clock: &dyn Clock) {
        let Exchange { request, facts } = exchange;
        match self {
            Self::Local(key) => {
                let Stated { issuer, audience, operation, .. } = stated;
                let identity =
                    Identity::new(&**issuer, &**audience, &**operation, facts.id_text(), clock.now());
                let identity = key.state(identity.for_principal(facts.principal().cloned()));
                request.extensions_mut().insert(identity);
            }
            Self::Signed(keys) => {
                let now = clock.now();
                let mut token = TOKEN.take();
                keys.write_state(&mut token, &stated.statement, facts.id_text(), now, facts.principal());
                // Base64url and dots always fit into a header field.
                let value = field_copy(token.as_bytes());
                token.clear();
                TOKEN.set(token);
                if let Some(mut value) = value {
                    value.set_sensitive(true);
                    request.headers_mut().insert(BANK_IDENTITY, value);
                }
            }
            Self::Nothing => {}
        }
    }
}

/// What of a principal a foreign service is told in a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrincipalField {
    /// The subject's id.
    Subject,
    /// `customer`, `partner` or `service`.
    Kind,
    /// The tenant, where there is one.
    Tenant,
    /// The scopes, with spaces between.
    Scopes,
    /// The roles, with spaces between.
    Roles,
    /// The session's id, where there is one.
    Session,
}

/// Tells a foreign service who calls, in header fields of the team's choice. Whatever a client sent under their names is gone,
/// also where nobody is known.
///
/// ```
/// use bank_gateway::StepLayer;
/// use bank_gateway::identity::{ForwardPrincipal, PrincipalField};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(ForwardPrincipal::in_fields([("x-user".parse().unwrap(), PrincipalField::Subject)])))
///     .service_fn(|request: Request<Body>| async move {
///         assert!(!request.headers().contains_key("x-user"));
///         Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
///     });
/// let forged = Request::get("/").header("x-user", "somebody else").body(Body::empty()).unwrap();
/// service.oneshot(forged).await.unwrap();
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct ForwardPrincipal(Vec<(HeaderName, PrincipalField)>);

impl ForwardPrincipal {
    /// In these fields.
    pub fn in_fields(fields: impl IntoIterator<Item = (HeaderName, PrincipalField)>) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Step for ForwardPrincipal {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let principal = exchange.facts.principal().cloned();
        let headers = exchange.request.headers_mut();
        // A server behind may take `_` for `-`.
        let is_same = |own: &HeaderName, other: &HeaderName| {
            own == other
                || (own.as_str().len() == other.as_str().len()
                    && own.as_str().replace('_', "-") == other.as_str().replace('_', "-"))
        };
        let forged: Vec<HeaderName> = headers
            .keys()
            .filter(|sent| self.0.iter().any(|(name, _)| is_same(name, sent)))
            .cloned()
            .collect();
        for name in forged {
            headers.remove(name);
        }
        let Some(principal) = principal else { return Ok(Flow::Pass) };
        for (name, field) in &self.0 {
            if let Some(value) = field.of(&principal) {
                headers.insert(name, value);
            }
        }
        Ok(Flow::Pass)
    }
}
