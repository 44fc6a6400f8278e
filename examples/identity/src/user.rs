//! Users as they are stored.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `user#USERNAME` | `user` | the [`User`] |
//! | `customer#ID` | `user` | the user name |
//! | `customer#ID` | `guesses` | how often a password was given wrongly to change it |
//! | `customer#ID` | `password` | for some minutes, the [last change of the password](crate::change_password) |
//! | `customer#ID` | `session#…` | the customer's [sessions](crate::session_entry) |
//! | `staff` | USERNAME | the user name: who has a role, or is locked out |

use std::fmt;
use std::sync::Arc;

use bank_stores::items::Key;
use bank_stores::{Consistency, Items, ItemsExt, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::session::{Session, sha256};
use crate::wire::{Customer, USERNAME_LENGTH};

/// So many bytes of a digest name a credential.
const CREDENTIAL: usize = 12;

/// Somebody who can sign in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The id, `cus_…`, which never changes.
    pub id: String,
    /// The name to sign in with.
    pub username: String,
    /// What people call them.
    pub name: String,
    /// Where they are reached.
    pub email: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// What they are in the bank.
    pub roles: Vec<String>,
    /// What their sessions may be used for.
    pub scopes: Vec<String>,
    /// Whether they are locked out: they cannot sign in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Counts what ended all of their sessions: another password, other roles, being locked out, signing out everywhere else. A
    /// session counts in the epoch that it was opened in.
    #[serde(default)]
    pub epoch: u64,
    /// The session by which the others were ended: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spared: Option<String>,
}

impl User {
    /// Whether a session of theirs still counts: nothing that ends all of them has happened since it was opened.
    #[must_use]
    pub fn admits(&self, session: &Session) -> bool {
        self.admits_id(&session.id, session.epoch)
    }

    pub(crate) fn admits_id(&self, session: &str, epoch: u64) -> bool {
        !self.disabled && (epoch == self.epoch || self.spared.as_deref() == Some(session))
    }

    /// Whether a session ended with an epoch, for good.
    pub(crate) fn is_past(&self, session: &str, epoch: u64) -> bool {
        epoch < self.epoch && self.spared.as_deref() != Some(session)
    }

    /// Once this is written all their sessions have ended, and the logins that are on their way; but the `spared` session goes on.
    pub(crate) fn begin_epoch(&mut self, spared: Option<&str>) {
        self.epoch += 1;
        self.spared = spared.map(ToOwned::to_owned);
    }

    /// Names what they sign in with now, and reveals nothing of it. With each new epoch and each new password it is another.
    ///
    /// A gateway that has checked the password says in [`Principal::credential`](bank_sdk::Principal::credential) which one that was:
    /// a session is opened for the present one only.
    #[must_use]
    pub fn credential(&self) -> String {
        let Self { id, epoch, password_hash, .. } = self;
        let digest = sha256(format!("{id}\0{epoch}\0{password_hash}").as_bytes());
        URL_SAFE_NO_PAD.encode(&digest[..CREDENTIAL])
    }

    /// What others may know.
    #[must_use]
    pub fn customer(&self) -> Customer {
        Customer { id: self.id.clone(), username: self.username.clone(), name: self.name.clone() }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// Reads users; a store opened read-only is enough.
#[derive(Clone, Debug)]
pub struct Users {
    pub(crate) items: Arc<dyn Items>,
}

impl Users {
    /// The users in `items`.
    #[must_use]
    pub fn new(items: Arc<dyn Items>) -> Self {
        Self { items }
    }

    /// The user of this name, if there is one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn by_username(&self, username: &str) -> Result<Option<User>> {
        // Nobody has a name that registering refuses, and not every such name fits a key.
        if !is_username(username) {
            return Ok(None);
        }
        let found = self.items.get_json::<User>(&user_key(username), Consistency::Current).await;
        Ok(known(found)?.map(|(user, _)| user))
    }

    /// The user of this name and the row's version.
    pub(crate) async fn stored_by_username(&self, username: &str) -> Result<Option<(User, u64)>> {
        if !is_username(username) {
            return Ok(None);
        }
        known(self.items.get_json(&user_key(username), Consistency::Current).await)
    }

    /// The user of this id, if there is one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn by_id(&self, id: &str) -> Result<Option<User>> {
        Ok(self.stored(id).await?.map(|(user, _)| user))
    }

    /// The same, with its version.
    pub(crate) async fn stored(&self, id: &str) -> Result<Option<(User, u64)>> {
        if id.is_empty() || id.len() > 64 {
            return Ok(None);
        }
        match known(self.items.get_json::<String>(&customer_key(id), Consistency::Current).await)? {
            Some((username, _)) if is_username(&username) => {
                known(self.items.get_json(&user_key(&username), Consistency::Current).await)
            }
            _ => Ok(None),
        }
    }
}

/// Who was erased is nobody.
pub(crate) fn known<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_erased() => Ok(None),
        read => read,
    }
}

pub(crate) fn user_key(username: &str) -> Key {
    Key::new(format!("user#{username}"), "user")
}

pub(crate) fn customer_key(id: &str) -> Key {
    Key::new(format!("customer#{id}"), "user")
}

pub(crate) fn staff_key(username: &str) -> Key {
    Key::new("staff", username)
}

/// `^[a-z0-9][a-z0-9._-]{2,31}$`
pub(crate) fn is_username(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    USERNAME_LENGTH.contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
        && text.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::{User, is_username};

    #[test]
    fn a_credential_is_another_with_each_password_and_each_epoch() {
        // As it was stored before there were epochs.
        let user: User = serde_json::from_value(serde_json::json!({
            "id": "cus_1",
            "username": "alice",
            "name": "Alice Example",
            "email": "alice@bank.example",
            "password_hash": "$argon2id$1",
            "roles": [],
            "scopes": [],
            "sessions_from": "2030-01-01T00:00:00Z",
        }))
        .unwrap();
        assert_eq!((user.epoch, user.credential().len()), (0, 16));
        let mut later = user.clone();
        later.begin_epoch(None);
        let other = User { password_hash: "$argon2id$2".to_owned(), ..user.clone() };
        assert_ne!(later.credential(), user.credential());
        assert_ne!(other.credential(), user.credential());
    }

    #[test]
    fn a_session_counts_in_its_epoch_and_the_spared_one_until_the_next() {
        let mut user: User = serde_json::from_value(serde_json::json!({
            "id": "cus_1", "username": "alice", "name": "Alice", "email": "alice@bank.example",
            "password_hash": "$argon2id$1", "roles": [], "scopes": [],
        }))
        .unwrap();
        assert!(user.admits_id("ses_1", 0) && !user.admits_id("ses_1", 1));
        for _ in 0..2 {
            user.begin_epoch(Some("ses_1"));
            assert!(user.admits_id("ses_1", 0) && !user.admits_id("ses_2", 0));
        }
        assert!(user.admits_id("ses_2", 2) && !user.admits_id("ses_2", 1));
        // One of a later epoch is unknown to whoever read the user before, and has not ended.
        assert!(user.is_past("ses_2", 1) && !user.is_past("ses_1", 0) && !user.is_past("ses_2", 3));
        user.begin_epoch(None);
        assert!(!user.admits_id("ses_1", 0) && !user.admits_id("ses_2", 2));
        user.disabled = true;
        assert!(!user.admits_id("ses_3", 3));
    }

    #[test]
    fn a_user_name_is_short_plain_and_lower_case() {
        for good in ["bob", "0a.", "a_b-c.d", &"x".repeat(32)] {
            assert!(is_username(good), "{good}");
        }
        for bad in ["", "al", ".bob", "-bob", "Bob", "b b", "bøb", &"x".repeat(33)] {
            assert!(!is_username(bad), "{bad}");
        }
    }
}
