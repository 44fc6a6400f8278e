//! Users as whoever runs the bank looks after them: members of staff, and who is locked out.

use bank_sdk::Problem;
use bank_stores::items::{Change, Condition, Query, Transaction};
use bank_stores::{ErrorKind, ItemsExt, PageRequest, Result, random};
use http::StatusCode;

use crate::register::{NewUser, check_password};
use crate::service::Identity;
use crate::user::{User, staff_key, user_key};

/// So many members of staff are asked for at once.
const PAGE: u32 = 200;

impl Identity {
    /// Makes a user. Where the name is taken nothing changes.
    ///
    /// # Errors
    /// What registering refuses, 409 where the name is taken, and where the store fails.
    pub async fn add_user(&self, new: NewUser<'_>) -> std::result::Result<User, Problem> {
        let username = new.username;
        self.create(new).await?.ok_or_else(|| {
            Problem::new(StatusCode::CONFLICT, format!("there is a user `{username}` already"))
        })
    }

    /// Gives a user another password, and ends all sessions that they have.
    ///
    /// # Errors
    /// 404 where there is no such user, what registering refuses of a password, and where the store fails.
    pub async fn set_password(&self, username: &str, password: &str) -> std::result::Result<User, Problem> {
        check_password(password)?;
        let hash = self.passwords.hash(password).await?;
        self.change_user(username, |user| user.password_hash.clone_from(&hash)).await
    }

    /// Says what a user is in the bank from now on, and ends all sessions that they have.
    ///
    /// # Errors
    /// 404 where there is no such user, and where the store fails.
    pub async fn set_roles(&self, username: &str, roles: &[&str]) -> std::result::Result<User, Problem> {
        self.change_user(username, |user| user.roles = roles.iter().map(|&role| role.to_owned()).collect())
            .await
    }

    /// Locks a user out, which ends all sessions that they have, or lets them in again.
    ///
    /// # Errors
    /// 404 where there is no such user, and where the store fails.
    pub async fn set_disabled(&self, username: &str, disabled: bool) -> std::result::Result<User, Problem> {
        self.change_user(username, |user| user.disabled = disabled).await
    }

    /// Everybody who has a role, or is locked out, by their names to sign in with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn staff(&self) -> Result<Vec<User>> {
        self.users.staff().await
    }

    async fn change_user(
        &self,
        username: &str,
        mut change: impl FnMut(&mut User) + Send,
    ) -> std::result::Result<User, Problem> {
        loop {
            let Some((mut user, version)) = self.users.stored_by_username(username).await? else {
                return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no user `{username}`")));
            };
            change(&mut user);
            user.begin_epoch(None);
            let is_listed = user.disabled || !user.roles.is_empty();
            let listed = match is_listed {
                true => Change::put(staff_key(username), &user.username)?,
                false => Change::delete(staff_key(username)),
            };
            let transaction = Transaction::new(random::id(&*self.random, "user:"))
                .change(Change::put(user_key(username), &user)?.when(Condition::Version(version)))
                .change(listed);
            match self.users.items.commit_one(transaction).await {
                Ok(_) => {
                    self.sessions.sweep(&user).await;
                    return Ok(user);
                }
                // Somebody else changed it at the same moment: read it again. Each round somebody gets on.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl crate::Users {
    /// Everybody who has a role, or is locked out, by their names to sign in with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn staff(&self) -> Result<Vec<User>> {
        let (mut next, mut staff) = (None, Vec::new());
        loop {
            let page = PageRequest::first(PAGE).after(next);
            let found = self.items.query(&Query::partition("staff").page(page)).await?;
            for item in found.items {
                let username: String = item.json()?;
                staff.extend(self.by_username(&username).await?);
            }
            next = found.next;
            if next.is_none() {
                return Ok(staff);
            }
        }
    }
}
