//! The step in front of a login: who calls is who proves a password in this very request.

use std::task::{Context, Poll};

use super::Passwords;
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step, Waiting};

/// Checks user name and password of a request, and leaves [`Facts::principal`](crate::Facts::principal).
#[derive(Clone, Debug)]
pub struct Login(Passwords);

impl Login {
    /// By these passwords.
    #[must_use]
    pub const fn new(passwords: Passwords) -> Self {
        Self(passwords)
    }
}

impl Step for Login {
    type Held = Waiting;

    fn before(&self, exchange: &mut Exchange, held: &mut Waiting) -> Result<Flow, Refusal> {
        let (passwords, mut own) = (self.0.clone(), exchange.take());
        // The password's throttle counts by address.
        own.facts.client().map(|client| own.request.extensions_mut().insert(client));
        Ok(held.start(async move {
            let checked = passwords.identify(&mut own.request).await;
            let checked = checked.map(|principal| own.facts.set_principal(principal));
            (own, checked.map_err(Refusal::from))
        }))
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut Waiting,
    ) -> Poll<Result<(), Refusal>> {
        held.poll(cx, exchange)
    }
}
