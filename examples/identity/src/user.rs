//! Users as they are stored.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `user#USERNAME` | `user` | the [`User`] |
//! | `customer#ID` | `user` | the user name |
//! | `customer#ID` | `guesses` | how often a password was given wrongly to change it |
//! | `customer#ID` | `session#…` | the customer's [sessions](crate::session_entry) |
//! | `staff` | USERNAME | the user name: who has a role, or is locked out |

use std::fmt;
use std::sync::Arc;

use bank_stores::items::Key;
use bank_stores::{Consistency, Items, ItemsExt, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::session::Session;
use crate::wire::{Customer, USERNAME_LENGTH};

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
    /// Sessions that began until then are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_from: Option<Timestamp>,
}

impl User {
    /// Whether a session of theirs still counts: it began behind whatever was to end all that there were.
    #[must_use]
    pub fn admits(&self, session: &Session) -> bool {
        !self.disabled && self.sessions_from.is_none_or(|from| session.auth_time > from)
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
    use super::is_username;

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
