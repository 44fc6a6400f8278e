//! One request on its way, and what is known of it.
//!
//! Every step is handed an [`Exchange`]: the request, and the [`Facts`] that the steps before it found out. What is found out
//! first stays; only the outcome, the deadline and how far a body has come go on changing. Facts are shared, so that whoever
//! tells how a request ended knows all of them, even when the request was abandoned half way.

mod answer_fields;
mod facts;
mod sought;

pub use facts::Facts;
pub(crate) use facts::Upload;
pub(crate) use sought::Sought;

use bank_sdk::http::Body;
use http::{HeaderMap, Request};

/// A request on its way, and what is known of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The request as it stands now.
    pub request: Request<Body>,
    /// What the steps so far have found out.
    pub facts: Facts,
}

impl Exchange {
    /// A request of which a step in front knows something already, or nobody anything.
    #[must_use]
    pub fn new(mut request: Request<Body>) -> Self {
        let facts = match request.extensions_mut().remove::<Facts>() {
            Some(facts) => {
                // Others had the request meanwhile, and may have changed it.
                facts.forget_found();
                facts
            }
            None => {
                let facts = Facts::begin(&request);
                facts.adopt(&request);
                facts
            }
        };
        Self { request, facts }
    }

    /// A request at the front door: nothing that stands in its extensions is believed but its connection.
    #[inline]
    pub(crate) fn begin(request: Request<Body>) -> Self {
        let facts = Facts::begin(&request);
        Self { request, facts }
    }

    /// The request for a service that is not one of our steps: it finds the facts as the request extension [`Facts`].
    pub(crate) fn into_request(self) -> Request<Body> {
        let Self { mut request, facts } = self;
        request.extensions_mut().insert(facts);
        request
    }

    /// Takes the exchange out of its place, for a future that has to own it.
    pub(crate) fn take(&mut self) -> Self {
        Self { request: std::mem::take(&mut self.request), facts: self.facts.clone() }
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }
}
