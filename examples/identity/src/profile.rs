//! What is shown of users: asked for with almost every page, and never a secret.
//!
//! Two copies of it stand between a question and the store: one in this process, and one in the cache that processes share. A login and a
//! refresh read the user itself, since what somebody may do is not read from a copy.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::cache::{CacheMetrics, Load, Loaded, ReadThrough, ReadThroughOptions};
use bank_stores::{Cache, Clock, Consistency, Error, ErrorKind, ItemsExt as _, Random, Result};
use serde::{Deserialize, Serialize};

use crate::user::{User, Users, customer_key, is_username, known, user_key};
use crate::wire::{Customer, Me};

/// So many profiles are copied into this process.
const COPIES: u64 = 100_000;
const FOR: Duration = Duration::from_secs(10);
/// In the shared cache. With the time of a copy and of a look-up it is less than a minute: whoever is erased is nobody then.
const SHARED_FOR: Duration = Duration::from_secs(30);
/// What is copied of a user is written once, when it registers: not their roles, which change. Whoever makes more of it change gives it a
/// number that grows with each change, and calls `invalidate` with it.
const WRITTEN_ONCE: u64 = 1;
/// Who has a user name never changes.
const IDS_FOR: Duration = Duration::from_secs(600);

/// What a user is shown of themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    id: String,
    username: String,
    name: String,
    email: String,
}

impl Profile {
    fn of(user: User) -> Self {
        let User { id, username, name, email, .. } = user;
        Self { id, username, name, email }
    }

    /// What others may know.
    pub(crate) fn customer(&self) -> Customer {
        Customer { id: self.id.clone(), username: self.username.clone(), name: self.name.clone() }
    }

    /// What somebody is in the bank is not of the profile.
    pub(crate) fn me(&self, roles: Vec<String>) -> Me {
        let Self { id, username, name, email } = self.clone();
        Me { id, username, name, email, roles }
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The profiles of users. That there is none is not remembered: somebody may register.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    by_id: ReadThrough<Profile>,
    /// In this process alone, since keys in a shared cache are in the clear.
    ids: ReadThrough<String>,
}

impl Profiles {
    /// A task hears of changes in other processes; so this is called inside a tokio runtime.
    pub(crate) fn new(
        users: Users,
        cache: Arc<dyn Cache>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let profiles =
            ReadThroughOptions::new("profiles").and_then(|options| options.ttl(SHARED_FOR)?.local_ttl(FOR));
        let profiles = profiles.expect("a plain name and seconds").local_capacity(COPIES);
        let ids = ReadThroughOptions::new("usernames").and_then(|options| options.local_ttl(IDS_FOR));
        let ids = ids.expect("a plain name and minutes").local_capacity(COPIES);
        Self {
            by_id: ReadThrough::with_sources(cache, OfUsers(users.clone()), profiles, clock, random),
            ids: ReadThrough::local(IdsOf(users), ids),
        }
    }

    pub(crate) fn measure(&self, metrics: &CacheMetrics) {
        metrics.add(&self.by_id);
        metrics.add(&self.ids);
    }

    /// The profile of the user of this id, if there is one.
    pub(crate) async fn by_id(&self, id: &str) -> Result<Option<Arc<Profile>>> {
        if id.is_empty() || id.len() > 64 {
            return Ok(None);
        }
        or_nobody(self.by_id.get_or_load(id).await)
    }

    /// The profile of the user of this name, if there is one.
    pub(crate) async fn by_username(&self, username: &str) -> Result<Option<Arc<Profile>>> {
        // Nobody has a name that registering refuses, and not every such name fits a key.
        if !is_username(username) {
            return Ok(None);
        }
        match or_nobody(self.ids.get_or_load(username).await)? {
            Some(id) => self.by_id(&id).await,
            None => Ok(None),
        }
    }
}

/// The users themselves.
struct OfUsers(Users);

#[async_trait]
impl Load<Profile> for OfUsers {
    async fn load(&self, id: &str) -> Result<Loaded<Profile>> {
        let username = known(self.0.items.get_json::<String>(&customer_key(id), Consistency::Current).await)?;
        let (username, _) = username.ok_or_else(nobody)?;
        Ok(Loaded::found(Profile::of(user(&self.0, &username).await?), WRITTEN_ONCE))
    }
}

/// The id that a user name stands for.
struct IdsOf(Users);

#[async_trait]
impl Load<String> for IdsOf {
    async fn load(&self, username: &str) -> Result<Loaded<String>> {
        Ok(Loaded::found(user(&self.0, username).await?.id, WRITTEN_ONCE))
    }
}

async fn user(users: &Users, username: &str) -> Result<User> {
    let found = users.items.get_json::<User>(&user_key(username), Consistency::Current).await;
    known(found)?.map(|(user, _)| user).ok_or_else(nobody)
}

fn nobody() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such user")
}

fn or_nobody<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_no_secret_and_shows_nobody_in_a_log() {
        let user: User = serde_json::from_value(serde_json::json!({
            "id": "cus_1",
            "username": "alice",
            "name": "Alice Example",
            "email": "alice@bank.example",
            "password_hash": "$argon2id$",
            "roles": ["teller"],
            "scopes": ["profile"],
        }))
        .unwrap();
        let profile = Profile::of(user);
        assert!(!serde_json::to_string(&profile).unwrap().contains("argon2id"));
        assert!(!format!("{profile:?}").contains("lice"));
        assert_eq!(profile.customer().name, "Alice Example");
        assert_eq!(profile.me(Vec::new()).roles.len(), 0, "what she may do is not read from a copy");
    }
}
