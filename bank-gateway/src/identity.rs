//! Who calls, as the gateway tells it to the service (S18): made anew for each request.

use std::sync::Arc;

use bank_sdk::http::{BANK_IDENTITY, Body, RequestId};
use bank_sdk::identity::{Identity, IdentityKeys, LocalKey, Statement};
use bank_sdk::{Principal, Problem};
use bank_stores::{Clock, SystemClock};
use http::{HeaderValue, Request};

use crate::Gate;

/// Tells one operation of one service who calls, in a token that is made for this request. The principal is the request
/// extension `Arc<Principal>`.
#[derive(Clone, Debug)]
pub struct MintIdentity {
    keys: IdentityKeys,
    stated: Stated,
    clock: Arc<dyn Clock>,
}

impl MintIdentity {
    /// Tokens of the gateway `issuer` for `operation`, such as `GET /v1/accounts/{id}`, of the service `audience`, which
    /// knows the keys.
    pub fn new(
        keys: IdentityKeys,
        issuer: impl Into<Arc<str>>,
        audience: impl Into<Arc<str>>,
        operation: impl Into<Arc<str>>,
    ) -> Self {
        let stated = Stated::new(issuer.into(), audience.into(), operation.into());
        Self { keys, stated, clock: Arc::new(SystemClock::new()) }
    }

    /// The clock, where a test decides the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Gate for MintIdentity {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        Mint::Signed(self.keys.clone()).stamp(request, &self.stated, &*self.clock);
        Ok(())
    }
}

/// How one service is told who calls.
#[derive(Clone, Debug)]
pub(crate) enum Mint {
    /// By a typed extension, in this process.
    Local(LocalKey),
    /// By a signed token.
    Signed(IdentityKeys),
    /// Not at all: the upstream is not a service of the bank.
    Nothing,
}

/// Who tells whom, about which operation.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    issuer: Arc<str>,
    audience: Arc<str>,
    operation: Arc<str>,
    statement: Statement,
}

impl Stated {
    pub(crate) fn new(issuer: Arc<str>, audience: Arc<str>, operation: Arc<str>) -> Self {
        let statement = Statement::new(&issuer, &audience, &operation);
        Self { issuer, audience, operation, statement }
    }

    /// The same about another operation.
    pub(crate) fn about(&self, operation: Arc<str>) -> Self {
        Self::new(self.issuer.clone(), self.audience.clone(), operation)
    }
}

impl Mint {
    /// Puts the identity of this request into it.
    pub(crate) fn stamp(&self, request: &mut Request<Body>, stated: &Stated, clock: &dyn Clock) {
        let id = request.extensions().get::<RequestId>().map_or("", RequestId::as_str);
        let principal = request.extensions().get::<Arc<Principal>>();
        match self {
            Self::Local(key) => {
                let Stated { issuer, audience, operation, .. } = stated;
                let identity = Identity::new(&**issuer, &**audience, &**operation, id, clock.now());
                let identity = key.state(identity.for_principal(principal.cloned()));
                request.extensions_mut().insert(identity);
            }
            Self::Signed(keys) => {
                let token = keys.state(&stated.statement, id, clock.now(), principal);
                // Base64url and dots always fit into a header field.
                if let Ok(mut value) = HeaderValue::try_from(token) {
                    value.set_sensitive(true);
                    request.headers_mut().insert(BANK_IDENTITY, value);
                }
            }
            Self::Nothing => {}
        }
    }
}
