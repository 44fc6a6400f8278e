//! Who calls, as the gateway tells it to the service (S18): made anew for each request.

use std::sync::Arc;

use bank_sdk::identity::{IdentityKeys, Statement};
use bank_stores::{Clock, SystemClock};

use super::Tell;
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step};

/// Tells one operation of one service who calls, in a token that is made for this request: nobody, where
/// [`Facts::principal`](crate::Facts::principal) does not say.
#[derive(Clone, Debug)]
pub struct MintIdentity {
    tell: Tell,
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
        Self { tell: Tell::Signed(keys), stated, clock: Arc::new(SystemClock::new()) }
    }

    /// The same by another way to tell.
    pub(crate) fn by(tell: Tell, stated: Stated, clock: Arc<dyn Clock>) -> Self {
        Self { tell, stated, clock }
    }

    /// The clock, where a test decides the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Step for MintIdentity {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        self.tell.state(exchange, &self.stated, &*self.clock);
        Ok(Flow::Pass)
    }
}

/// Who tells whom, about which operation.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    pub(super) issuer: Arc<str>,
    pub(super) audience: Arc<str>,
    pub(super) operation: Arc<str>,
    pub(super) statement: Statement,
}

impl Stated {
    pub(crate) fn new(issuer: Arc<str>, audience: Arc<str>, operation: Arc<str>) -> Self {
        let statement = Statement::new(&issuer, &audience, &operation);
        Self { issuer, audience, operation, statement }
    }
}
