//! Which service calls, on the inside (S30): by its own key, for one operation, perhaps for somebody.

use std::fmt;
use std::sync::Arc;

use bank_sdk::Principal;
use bank_sdk::http::{BANK_IDENTITY, RequestId};
use bank_sdk::identity::{Identity, IdentityKeys};
use bank_stores::Clock;

use crate::exchange::Exchange;
use crate::problem::unknown_service;
use crate::step::{Flow, Refusal, Step};

/// Believes the services whose keys it has, each about one operation of this gateway. The request goes on under the id that
/// the caller gave it, for the principal that the caller acts for.
#[derive(Clone)]
pub struct KnownCaller {
    callers: Arc<[(String, IdentityKeys)]>,
    gateway: Arc<str>,
    operation: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl KnownCaller {
    /// For calls of `operation` that are made to `gateway`.
    pub fn new(
        callers: Arc<[(String, IdentityKeys)]>,
        gateway: impl Into<Arc<str>>,
        operation: impl Into<Arc<str>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { callers, gateway: gateway.into(), operation: operation.into(), clock }
    }

    /// The service that signed this call, and what it states.
    fn known(&self, exchange: &Exchange) -> Option<(&str, Identity)> {
        let token = exchange.headers().get(BANK_IDENTITY)?.to_str().ok()?;
        self.callers.iter().find_map(|(name, keys)| {
            let identity = keys.verify(token).ok()?;
            (identity.issuer == *name).then_some((name.as_str(), identity))
        })
    }
}

impl Step for KnownCaller {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let (caller, identity) = self.known(exchange).ok_or_else(unknown_service)?;
        identity.check(&self.gateway, &self.operation, self.clock.now()).map_err(|_| unknown_service())?;
        let principal = match identity.principal {
            Some(principal) => Principal::clone(&principal).with_actor(caller),
            None => Principal::service(caller),
        };
        if let Some(id) = RequestId::new(&identity.request_id) {
            exchange.facts.set_id(id);
        }
        exchange.facts.set_principal(Arc::new(principal));
        Ok(Flow::Pass)
    }
}

impl fmt::Debug for KnownCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.callers.iter().map(|(name, _)| name)).finish()
    }
}
