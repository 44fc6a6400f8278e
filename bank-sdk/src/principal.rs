//! Who calls: the outcome of authentication, the same for every scheme.

use std::collections::BTreeMap;
use std::fmt;

use bank_stores::Timestamp;
use serde::{Deserialize, Serialize};

/// Who a request acts for, and how that is known.
///
/// ```
/// use bank_sdk::{Principal, PrincipalKind};
///
/// let alice = Principal::new("cus_1", PrincipalKind::Customer).with_scope("transfers:write");
/// assert!(alice.has_scope("transfers:write"));
/// assert!(!alice.has_role("teller"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Principal {
    /// The stable id, unique in the bank (`sub`).
    #[serde(rename = "sub")]
    pub subject: String,
    /// What the subject is.
    pub kind: PrincipalKind,
    /// What the credential may be used for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What the subject is in the bank, for example `teller`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The tenant, where one installation serves several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How strong the authentication was (OpenID Connect `acr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which methods (RFC 8176 `amr`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the subject authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// What the credential is bound to (RFC 7800 `cnf`), for example a key's thumbprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cnf: BTreeMap<String, String>,
    /// Who acts for the subject (RFC 8693 `act`), the nearest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
    /// The session that the credential belongs to (`sid`).
    #[serde(default, rename = "sid", skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A short hash that names the credential in audit records without revealing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A customer, or a member of staff who signs in.
    Customer,
    /// A partner's program.
    Partner,
    /// A service of the bank in its own name.
    Service,
}

/// Somebody who acts for a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The actor's id, for a service its name.
    #[serde(rename = "sub")]
    pub subject: String,
    /// For whom this actor acts in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

impl Principal {
    /// A principal without any right.
    pub fn new(subject: impl Into<String>, kind: PrincipalKind) -> Self {
        Self {
            subject: subject.into(),
            kind,
            scopes: Vec::new(),
            roles: Vec::new(),
            tenant: None,
            acr: None,
            amr: Vec::new(),
            auth_time: None,
            cnf: BTreeMap::new(),
            act: None,
            session: None,
            credential: None,
        }
    }

    /// A customer.
    pub fn customer(subject: impl Into<String>) -> Self {
        Self::new(subject, PrincipalKind::Customer)
    }

    /// A service in its own name.
    pub fn service(name: impl Into<String>) -> Self {
        Self::new(name, PrincipalKind::Service)
    }

    /// Adds a scope.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Says whose customer it is, where one gateway serves several.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Puts an actor in front of those who act already.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.act = Some(Box::new(Actor { subject: actor.into(), act: self.act.take() }));
        self
    }

    /// Whether the credential carries this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Whether the subject has this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }

    /// The service that made this call: the nearest actor, or the subject where it is a service itself.
    #[must_use]
    pub fn calling_service(&self) -> Option<&str> {
        match (&self.act, self.kind) {
            (Some(actor), _) => Some(&actor.subject),
            (None, PrincipalKind::Service) => Some(&self.subject),
            (None, _) => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        let mut actor = self.act.as_deref();
        while let Some(Actor { subject, act }) = actor {
            write!(f, " by {subject}")?;
            actor = act.as_deref();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_actor_is_the_calling_service() {
        let principal = Principal::customer("cus_1").with_actor("web").with_actor("transactions");
        assert_eq!(principal.calling_service(), Some("transactions"));
        assert_eq!(principal.to_string(), "cus_1 by transactions by web");
        assert_eq!(Principal::customer("cus_1").calling_service(), None);
    }
}
