//! Callers of a test's choice.

use std::fmt;
use std::sync::Arc;

use bank_sdk::Principal;
use bank_sdk::http::Body;
use http::Request;

use crate::identity::{Checked, Scheme, refused_credential};

/// Believes the marks that it makes itself, in this process.
#[derive(Clone, Default)]
pub(super) struct ChosenPrincipals(Arc<Key>);

#[derive(Default)]
struct Key {
    /// So that no two keys have the same address.
    _place: u8,
}

/// The mark of a chosen principal: a request extension, which nothing that is sent can make.
#[derive(Clone)]
struct Chosen {
    by: Arc<Key>,
    principal: Arc<Principal>,
}

impl ChosenPrincipals {
    /// Lets the request come from this principal.
    pub(super) fn mark(&self, request: &mut Request<Body>, principal: Arc<Principal>) {
        request.extensions_mut().insert(Chosen { by: self.0.clone(), principal });
    }

    fn is_ours(&self, chosen: &Chosen) -> bool {
        Arc::ptr_eq(&self.0, &chosen.by)
    }
}

impl Scheme for ChosenPrincipals {
    fn name(&self) -> &'static str {
        "chosen-principal"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        request.extensions().get::<Chosen>().is_some_and(|chosen| self.is_ours(chosen))
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        let chosen = request.extensions_mut().remove::<Chosen>().filter(|chosen| self.is_ours(chosen));
        let principal = chosen.map(|chosen| chosen.principal).ok_or_else(refused_credential);
        Box::pin(std::future::ready(principal))
    }
}

impl fmt::Debug for ChosenPrincipals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChosenPrincipals")
    }
}
