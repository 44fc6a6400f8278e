//! What the gateway asks identity's stores: passwords at a login, sessions at everything else.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use bank_gateway::identity::password::{PasswordStore, StoredPassword};
use bank_gateway::identity::session::{Session, SessionStore};
use bank_sdk::Principal;
use bank_stores::{Cache, Error, Items};

use crate::used_sessions::UsedNow;

/// Identity's users and sessions, to be read.
#[derive(Debug)]
pub(crate) struct Credentials {
    users: identity::Users,
    sessions: identity::Sessions,
    used: UsedNow,
}

impl Credentials {
    /// Where there is a cache that identity tells of what ends, it is asked first.
    pub(crate) fn new(items: Arc<dyn Items>, cache: Option<Arc<dyn Cache>>, used: UsedNow) -> Arc<Self> {
        let sessions = identity::Sessions::new(items.clone());
        let sessions = match cache {
            Some(cache) => sessions.cached(cache),
            None => sessions,
        };
        Arc::new(Self { users: identity::Users::new(items), sessions, used })
    }
}

#[async_trait]
impl PasswordStore for Credentials {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        // Whoever is locked out is nobody here.
        let user = self.users.by_username(username).await?.filter(|user| !user.disabled);
        Ok(user.map(|user| {
            // Identity opens no session once this is another one: the hash may be checked seconds later.
            let credential = user.credential();
            let mut principal = Principal::customer(user.id);
            principal.credential = Some(credential);
            (principal.roles, principal.scopes, principal.amr) =
                (user.roles, user.scopes, vec!["pwd".to_owned()]);
            StoredPassword::new(user.password_hash, Arc::new(principal))
        }))
    }
}

#[async_trait]
impl SessionStore for Credentials {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let session = self.sessions.admitted(id).await?;
        if session.is_some() {
            self.used.note(id);
        }
        Ok(session.map(|session| {
            // Only who comes by the cookie is this principal; a token has its own.
            let mut principal = Principal::customer(session.customer).with_scope(identity::CSRF_SCOPE);
            principal.scopes.extend(session.scopes);
            (principal.roles, principal.amr) = (session.roles, vec!["pwd".to_owned()]);
            principal.auth_time = Some(session.auth_time);
            principal.session = Some(session.id);
            let mut csrf_hash = [0; 32];
            csrf_hash.copy_from_slice(digest(&SHA256, session.csrf.as_bytes()).as_ref());
            Session::new(Arc::new(principal), session.secret_hash, csrf_hash, session.expires_at)
        }))
    }
}
