//! May they? What a route asks for, held against who calls. Nobody is let in by default (S19).

use std::sync::Arc;

use bank_sdk::declaration::{Access, Denied};
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use http::{Request, StatusCode};

use crate::Gate;
use crate::problem::{insufficient_scope, unauthenticated};

/// Lets pass whom `access` permits. The principal is the request extension `Arc<Principal>`.
#[derive(Clone, Debug)]
pub struct Authorize {
    access: Arc<Access>,
}

impl Authorize {
    /// Asks for this.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access: Arc::new(access) }
    }
}

impl Gate for Authorize {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        authorize(&self.access, request.extensions().get::<Arc<Principal>>().map(|principal| &**principal))
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
