//! Whoever is named is believed: for a gateway that nobody outside of this process reaches.

use std::collections::HashMap;
use std::sync::Arc;

use bank_gateway::identity::{Checked, Scheme, refused_credential};
use bank_sdk::Principal;
use bank_sdk::http::Body;
use http::Request;
use http::header::AUTHORIZATION;

/// Bearers of a name.
#[derive(Debug)]
pub(super) struct AsAnybody(HashMap<String, Arc<Principal>>);

impl AsAnybody {
    pub(super) const fn new(people: HashMap<String, Arc<Principal>>) -> Self {
        Self(people)
    }
}

impl Scheme for AsAnybody {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        request.headers().contains_key(AUTHORIZATION)
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        let name = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let name = name.and_then(|value| value.strip_prefix("Bearer "));
        let found = name.and_then(|name| self.0.get(name)).cloned();
        Box::pin(std::future::ready(found.ok_or_else(refused_credential)))
    }
}
