//! How a user comes to be.

use std::fmt;
use std::sync::Arc;

use bank_sdk::text::is_printable;
use bank_sdk::{Call, Problem};
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::{ErrorKind, ItemsExt, random};
use http::StatusCode;

use crate::SCOPES;
use crate::password::{WANTED, is_acceptable};
use crate::service::Identity;
use crate::user::{User, customer_key, is_username, staff_key, user_key};
use crate::wire::{Customer, EMAIL_LENGTH, NAME_LENGTH, NewCustomer};

/// A user to be made.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// 3 to 32 of `a-z 0-9 . _ -`, a letter or digit first.
    pub username: &'a str,
    /// 10 to 128 characters, none of them a control character.
    pub password: &'a str,
    /// What people call them, 1 to 80 characters.
    pub name: &'a str,
    /// Where they are reached.
    pub email: &'a str,
    /// What they are in the bank, beside customers.
    pub roles: &'a [&'a str],
}

impl Identity {
    pub(crate) async fn register(self: Arc<Self>, call: Call<NewCustomer>) -> Result<Customer, Problem> {
        let NewCustomer { username, password, name, email } = &call.input;
        let user = NewUser { username, password: password.expose(), name: name.trim(), email, roles: &[] };
        Ok(self.create(user).await?.ok_or_else(taken)?.customer())
    }

    /// Makes a user, for trials and for the first members of staff. Where the name is taken, the user who has it is
    /// returned as they are, so that it may be repeated.
    ///
    /// # Errors
    /// What registering refuses, and where the store fails.
    pub async fn seed_user(&self, user: NewUser<'_>) -> Result<User, Problem> {
        match self.create(user).await? {
            Some(created) => Ok(created),
            None => self.users.by_username(user.username).await?.ok_or_else(Problem::unavailable),
        }
    }

    /// Nothing, where the name is taken.
    pub(crate) async fn create(&self, new: NewUser<'_>) -> Result<Option<User>, Problem> {
        check(&new)?;
        // Only to save the work: what decides is the condition below.
        if self.users.by_username(new.username).await?.is_some() {
            return Ok(None);
        }
        let user = User {
            id: random::id(&*self.random, "cus_"),
            username: new.username.to_owned(),
            name: new.name.to_owned(),
            email: new.email.to_owned(),
            password_hash: self.passwords.hash(new.password).await?,
            roles: new.roles.iter().map(|&role| role.to_owned()).collect(),
            scopes: SCOPES.map(ToOwned::to_owned).to_vec(),
            disabled: false,
            epoch: 0,
            spared: None,
        };
        let mut transaction = Transaction::new(format!("user:{}", user.id))
            .change(Change::put(user_key(&user.username), &user)?.when(Condition::Absent))
            .change(Change::put(customer_key(&user.id), &user.username)?.when(Condition::Absent));
        if !user.roles.is_empty() {
            transaction = transaction.change(Change::put(staff_key(&user.username), &user.username)?);
        }
        match self.users.items.commit_one(transaction).await {
            Ok(_) => Ok(Some(user)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "this user name is taken; choose another")
        .with_code("username_taken")
        .with_field("username", "is taken")
}

/// Names every field that is wrong, not only the first.
fn check(user: &NewUser<'_>) -> Result<(), Problem> {
    let checks = [
        (
            "username",
            is_username(user.username),
            "must have 3 to 32 of a-z, 0-9, `.`, `_` and `-`, a letter or digit first",
        ),
        ("password", is_acceptable(user.password), WANTED),
        (
            "name",
            NAME_LENGTH.contains(&user.name.chars().count()) && is_printable(user.name),
            "must have 1 to 80 printable characters",
        ),
        ("email", is_email(user.email), "must be an email address"),
    ];
    let mut wrong = checks.into_iter().filter(|(_, fits, _)| !fits).peekable();
    let Some((field, _, wanted)) = wrong.peek() else { return Ok(()) };
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{field}` {wanted}"))
        .with_code("invalid_customer");
    Err(wrong.fold(problem, |problem, (field, _, wanted)| problem.with_field(field, wanted)))
}

/// What registering says about a password.
pub(crate) fn check_password(password: &str) -> Result<(), Problem> {
    check(&NewUser {
        username: "somebody",
        password,
        name: "Somebody",
        email: "somebody@bank.example",
        roles: &[],
    })
}

/// Whether mail could be sent there at all; whether it arrives, only mail can tell.
fn is_email(text: &str) -> bool {
    let plain =
        EMAIL_LENGTH.contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    plain
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && !domain.is_empty()
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        })
}

impl fmt::Debug for NewUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("username", &self.username)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_and_no_value_is_repeated() {
        let user = NewUser { username: "A", password: "short", name: "", email: "x", roles: &[] };
        let problem = check(&user).unwrap_err();
        let fields: Vec<_> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["username", "password", "name", "email"]);
        assert!(!format!("{problem:?}").contains("short"));
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let user =
            NewUser {
                username: "zoe", password: "ééééééééé", name: "Zoë", email: "z@b.example", roles: &[]
            };
        assert_eq!(check(&user).unwrap_err().errors()[0].field, "password");
        assert!(check(&NewUser { password: "éééééééééé", ..user }).is_ok());
    }

    #[test]
    fn an_address_has_two_sides() {
        assert!(is_email("a.b+c@bank.example"));
        for bad in ["", "@", "a@", "@b", "a b@c", "a@b@c", "a@.b", "a@b."] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
