//! Each answer to a browser says whose session it came by.

use bank_gateway::{Answer, Exchange, Facts, Flow, Refusal, Step};
use http::{HeaderName, HeaderValue};
use identity::CSRF_SCOPE;

/// The customer whose session cookie a request came by, in its answer.
///
/// All tabs of a browser share one cookie: where somebody else signs in in another tab, the next answer tells this one. It stands in
/// every answer to such a request once the cookie was found to hold, refusals and streams too; callers with tokens know who they are.
const BANK_CUSTOMER: HeaderName = HeaderName::from_static("bank-customer");

/// Names the customer in the answers to requests that came by the session cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameCaller;

impl Step for NameCaller {
    type Held = ();

    fn before(&self, _: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), facts: &Facts, _: &mut Answer) {
        // Whoever has the scope came by the cookie.
        let caller = facts.principal().filter(|principal| principal.has_scope(CSRF_SCOPE));
        if let Some(id) = caller.and_then(|principal| HeaderValue::from_str(&principal.subject).ok()) {
            facts.add_field(BANK_CUSTOMER, id);
        }
    }
}
