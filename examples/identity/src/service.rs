//! The service: what it is made of, and which handler serves which endpoint.

use std::sync::Arc;

use bank_sdk::{Api, BankService, Call, Empty, Endpoints, Problem, Reply};
use bank_stores::cache::CacheMetrics;
use bank_stores::{Cache, Clock, Items, Random};
use http::HeaderValue;
use http::header::CACHE_CONTROL;

use crate::endpoints;
use crate::password::Passwords;
use crate::profile::Profiles;
use crate::session::Sessions;
use crate::signing_key::SigningKey;
use crate::user::Users;
use crate::wire::{Customer, CustomerPath, JwkSet, Me, Named};

/// So often others may be first to change a user whom somebody changes; then there are too many at once.
pub(crate) const RACES: usize = 8;

/// The identity service. Any number of copies may serve one store, with one signing key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) users: Users,
    pub(crate) profiles: Profiles,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Identity {
    /// The service over `items`, with `cache` in front of sessions and profiles and as the way to tell of those that changed. Profiles
    /// are personal: a cache outside this process has to seal what it keeps.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(
        items: Arc<dyn Items>,
        cache: Arc<dyn Cache>,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let users = Users::new(items.clone());
        Self {
            profiles: Profiles::new(users.clone(), cache.clone(), clock.clone(), random.clone()),
            users,
            sessions: Sessions::new(items).cached(cache),
            passwords: Passwords::new(random.clone()),
            key,
            clock,
            random,
        }
    }

    /// Adds its caches to what is measured.
    pub fn measure_caches(&self, metrics: &CacheMetrics) {
        self.profiles.measure(metrics);
    }

    async fn me(self: Arc<Self>, call: Call<Empty>) -> Result<Me, Problem> {
        let profile = self.profiles.by_id(call.subject()?).await?;
        // What the caller may do is what the credential says, of a user who may have been given another role a moment ago.
        let roles = call.principal.as_deref().map(|principal| principal.roles.clone()).unwrap_or_default();
        profile.map(|profile| profile.me(roles)).ok_or_else(Problem::not_found)
    }

    async fn jwks(self: Arc<Self>, _: Call<Empty>) -> Result<Reply<JwkSet>, Problem> {
        let lasting = HeaderValue::from_static("public, max-age=300");
        Ok(Reply::new(self.key.jwks()).with_header(CACHE_CONTROL, lasting))
    }

    async fn by_username(self: Arc<Self>, call: Call<Named>) -> Result<Customer, Problem> {
        let profile = self.profiles.by_username(&call.input.username).await?;
        profile.map(|profile| profile.customer()).ok_or_else(Problem::not_found)
    }

    async fn by_id(self: Arc<Self>, call: Call<CustomerPath>) -> Result<Customer, Problem> {
        let profile = self.profiles.by_id(&call.input.id).await?;
        profile.map(|profile| profile.customer()).ok_or_else(Problem::not_found)
    }
}

impl BankService for Identity {
    fn api() -> Api {
        crate::api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(endpoints::REGISTER, Self::register)
            .bind(endpoints::SIGN_IN, Self::sign_in)
            .bind(endpoints::REFRESH, Self::refresh)
            .bind(endpoints::CURRENT_SESSION, Self::current_session)
            .bind(endpoints::SIGN_OUT, Self::sign_out)
            .bind(endpoints::SESSIONS, Self::own_sessions)
            .bind(endpoints::END_SESSION, Self::end_session)
            .bind(endpoints::END_OTHER_SESSIONS, Self::end_other_sessions)
            .bind(endpoints::ME, Self::me)
            .bind(endpoints::CHANGE_PASSWORD, Self::change_password)
            .bind(endpoints::JWKS, Self::jwks)
            .bind(endpoints::BY_USERNAME, Self::by_username)
            .bind(endpoints::BY_ID, Self::by_id)
            .bind(endpoints::SESSIONS_USED, Self::note_used)
    }
}
