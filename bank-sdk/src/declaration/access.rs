//! Who may call an endpoint, and the one decision about it.

use serde::{Deserialize, Serialize};

use crate::Principal;

/// Who may call an endpoint.
///
/// In a file it is a table with the member `who`, for example `{"who": "authenticated", "scopes": ["notes:write"]}`.
/// A member that does not belong to its `who` is refused, so that no scope is ever silently left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "who", from = "AccessForm")]
#[non_exhaustive]
pub enum Access {
    /// Anybody. No credential is looked at.
    Public,
    /// Anybody, known or not. A credential that is presented must hold; without one the call comes from nobody.
    Optional,
    /// Whoever proves a user name and password in this very call.
    Login,
    /// Whoever is known, holds all scopes and has one of the roles.
    Authenticated {
        /// All are needed.
        scopes: Vec<String>,
        /// One is needed, where any is named.
        roles: Vec<String>,
    },
    /// These services only.
    Internal {
        /// The names of the services.
        callers: Vec<String>,
    },
}

/// [`Access`] as it is read. serde refuses unknown members of struct variants only, so every variant is one.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "who", deny_unknown_fields)]
enum AccessForm {
    Public {},
    Optional {},
    Login {},
    Authenticated {
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default)]
        roles: Vec<String>,
    },
    Internal {
        callers: Vec<String>,
    },
}

impl From<AccessForm> for Access {
    fn from(form: AccessForm) -> Self {
        match form {
            AccessForm::Public {} => Self::Public,
            AccessForm::Optional {} => Self::Optional,
            AccessForm::Login {} => Self::Login,
            AccessForm::Authenticated { scopes, roles } => Self::Authenticated { scopes, roles },
            AccessForm::Internal { callers } => Self::Internal { callers },
        }
    }
}

/// Why a principal may not call an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody is known to call.
    Unauthenticated,
    /// These scopes are needed.
    Scopes(Vec<String>),
    /// One of these roles is needed.
    Roles(Vec<String>),
    /// Not for this caller; from the outside it does not exist.
    Internal,
}

impl Access {
    /// Whether the principal may call. Gateway and service ask this same function.
    ///
    /// # Errors
    /// What is missing.
    pub fn permit(&self, principal: Option<&Principal>) -> Result<(), Denied> {
        match (self, principal) {
            (Self::Public | Self::Optional, _) | (Self::Login, Some(_)) => Ok(()),
            (Self::Internal { callers }, Some(principal)) => match principal.calling_service() {
                Some(service) if callers.iter().any(|caller| caller == service) => Ok(()),
                _ => Err(Denied::Internal),
            },
            (Self::Internal { .. }, None) => Err(Denied::Internal),
            (Self::Login | Self::Authenticated { .. }, None) => Err(Denied::Unauthenticated),
            (Self::Authenticated { scopes, roles }, Some(principal)) => {
                if !scopes.iter().all(|scope| principal.has_scope(scope)) {
                    return Err(Denied::Scopes(scopes.clone()));
                }
                if !roles.is_empty() && !roles.iter().any(|role| principal.has_role(role)) {
                    return Err(Denied::Roles(roles.clone()));
                }
                Ok(())
            }
        }
    }

    /// Whether the endpoint is for services only.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Internal { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_access_lets_everybody_in_known_or_not() {
        assert_eq!(Access::Optional.permit(None), Ok(()));
        assert_eq!(Access::Optional.permit(Some(&Principal::customer("cus_1"))), Ok(()));
    }

    #[test]
    fn a_member_that_its_access_does_not_have_is_refused() {
        let read = |text: &str| serde_json::from_str::<Access>(text);
        assert_eq!(read(r#"{"who":"optional"}"#).unwrap(), Access::Optional);
        let scopes = vec!["a".to_owned()];
        let known = Access::Authenticated { scopes, roles: vec![] };
        assert_eq!(read(r#"{"who":"authenticated","scopes":["a"]}"#).unwrap(), known);
        assert_eq!(read(&serde_json::to_string(&known).unwrap()).unwrap(), known);
        for wrong in [
            r#"{"who":"public","scopes":["a"]}"#,
            r#"{"who":"login","roles":[]}"#,
            r#"{"who":"optional","scopes":["a"]}"#,
            r#"{"who":"authenticated","callers":["a"]}"#,
            r#"{"who":"internal"}"#,
            r#"{"who":"everybody"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
