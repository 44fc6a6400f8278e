//! May they? What a route asks for, held against who calls. Nobody is let in by default (S19).

use std::fmt;
use std::sync::Arc;

use bank_sdk::declaration::{Access, Denied};
use bank_sdk::{Principal, Problem};
use http::{HeaderMap, StatusCode};

use crate::exchange::{Exchange, Facts};
use crate::problem::{insufficient_scope, unauthenticated};
use crate::step::{Flow, Refusal, Step};

/// A team's own decision, beside what an endpoint declares: an attribute of the caller, a consent, the hour.
///
/// ```
/// use bank_gateway::Facts;
/// use bank_gateway::identity::Decide;
/// use bank_sdk::Problem;
///
/// #[derive(Debug)]
/// struct Staff;
///
/// impl Decide for Staff {
///     fn decide(&self, facts: &Facts, _: &http::HeaderMap) -> Result<(), Problem> {
///         match facts.principal() {
///             Some(principal) if principal.has_role("staff") => Ok(()),
///             _ => Err(Problem::not_found()),
///         }
///     }
/// }
/// ```
pub trait Decide: fmt::Debug + Send + Sync + 'static {
    /// Whether the caller may.
    ///
    /// # Errors
    /// What the caller is told.
    fn decide(&self, facts: &Facts, headers: &HeaderMap) -> Result<(), Problem>;
}

/// Lets pass whom `access` permits, and whom the team's own decisions do.
#[derive(Clone, Debug)]
pub struct Authorize {
    access: Arc<Access>,
    decisions: Arc<[Arc<dyn Decide>]>,
}

impl Authorize {
    /// Asks for this.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access: Arc::new(access), decisions: Arc::default() }
    }

    /// Asks these too, one after the other.
    #[must_use]
    pub fn and(mut self, decisions: impl IntoIterator<Item = Arc<dyn Decide>>) -> Self {
        self.decisions = self.decisions.iter().cloned().chain(decisions).collect();
        self
    }
}

impl Step for Authorize {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        authorize(&self.access, exchange.facts.principal().map(|principal| &**principal))?;
        for decision in &*self.decisions {
            decision.decide(&exchange.facts, exchange.headers())?;
        }
        Ok(Flow::Pass)
    }
}

/// The decision as a problem.
pub(crate) fn authorize(access: &Access, principal: Option<&Principal>) -> Result<(), Problem> {
    access.permit(principal).map_err(|denied| match denied {
        Denied::Unauthenticated => unauthenticated(),
        Denied::Scopes(scopes) => insufficient_scope(&scopes),
        Denied::Roles(_) => {
            Problem::new(StatusCode::FORBIDDEN, "this is for another role").with_code("forbidden")
        }
        _ => Problem::not_found(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(scopes: &[&str], roles: &[&str]) -> Access {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Access::Authenticated { scopes: own(scopes), roles: own(roles) }
    }

    #[test]
    fn s19_all_scopes_and_one_role_are_needed() {
        let teller = Principal::customer("a").with_scope("x").with_scope("y").with_role("teller");
        assert!(authorize(&needs(&["x", "y"], &["teller", "auditor"]), Some(&teller)).is_ok());
        assert_eq!(authorize(&needs(&["x", "z"], &[]), Some(&teller)).unwrap_err().status(), 403);
        assert_eq!(authorize(&needs(&[], &["auditor"]), Some(&teller)).unwrap_err().status(), 403);
        assert_eq!(authorize(&needs(&[], &[]), None).unwrap_err().status(), 401);
        assert!(authorize(&Access::Public, None).is_ok());
    }

    #[test]
    fn s19_what_is_internal_does_not_exist_for_others() {
        let access = Access::Internal { callers: vec!["transactions".to_owned()] };
        let customer = Principal::customer("cus_1");
        assert_eq!(authorize(&access, Some(&customer)).unwrap_err().status(), 404);
        assert_eq!(
            authorize(&access, Some(&customer.clone().with_actor("partners"))).unwrap_err().status(),
            404
        );
        assert!(authorize(&access, Some(&customer.with_actor("transactions"))).is_ok());
    }
}
