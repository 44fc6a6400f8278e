//! Another password for a customer who knows the one until now.
//!
//! One transaction writes the new password, begins a new epoch of the user, and gives the session that the call came by other secrets:
//! all others have ended with it, and whoever has copied the cookie or the refresh token of this one has nothing any more. The answer
//! hands the new secrets over, as that to a login does.
//!
//! For some minutes it is remembered what was changed by which session: the same call once more, after an answer that got lost, is
//! done already and gets secrets again. Any other call that names a wrong password is a [guess](crate::guesses).

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::{Call, Problem, Reply};
use bank_stores::items::{Change, Condition, Key};
use bank_stores::{Consistency, ErrorKind, ItemsExt as _};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::guesses::forgiven;
use crate::own_sessions::{named, session_of};
use crate::password::{WANTED, is_acceptable};
use crate::service::{Identity, RACES};
use crate::user::{User, known, user_key};
use crate::wire::{NewPassword, SessionTokens};

/// So long a change may be sent again.
const REPEATABLE: Duration = Duration::from_secs(10 * 60);

/// What was changed last. It has no `Debug`: the hash is of a password that may be in use elsewhere.
#[derive(Serialize, Deserialize)]
struct PasswordChange {
    /// The hash of the one before.
    previous: String,
    /// By which session.
    session: String,
}

impl Identity {
    pub(crate) async fn change_password(
        self: Arc<Self>,
        call: Call<NewPassword>,
    ) -> Result<Reply<SessionTokens>, Problem> {
        let (customer, current, new) =
            (call.subject()?, call.input.current.expose(), call.input.new.expose());
        // A caller without a session, with an API key say, has no password either.
        let own = session_of(call.principal.as_deref()).ok_or_else(Problem::not_found)?;
        if !is_acceptable(new) {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`new` {WANTED}"))
                .with_code("invalid_password")
                .with_field("new", WANTED));
        }
        self.enter_guess(customer).await?;
        for _ in 0..RACES {
            let (mut user, version) = self.users.stored(customer).await?.ok_or_else(Problem::not_found)?;
            let (mut session, session_version) = self.own_session(&user, own).await?;
            let is_as_read = Condition::Version(version);
            let mut changes = vec![forgiven(customer)];
            if self.passwords.verify(current, Some(&user.password_hash)).await? {
                let previous = mem::replace(&mut user.password_hash, self.passwords.hash(new).await?);
                user.begin_epoch(Some(own));
                changes.push(Change::put(user_key(&user.username), &user)?.when(is_as_read));
                let change = PasswordChange { previous, session: own.to_owned() };
                let until = self.clock.now().saturating_add(REPEATABLE);
                changes.push(Change::put(change_key(customer), &change)?.expires_at(until));
            } else if self.was_changed(&user, own, current, new).await? {
                changes.push(Change::check(user_key(&user.username), is_as_read));
            } else {
                return Err(wrong());
            }
            let secrets = self.session_secrets(own);
            secrets.give_to(&mut session);
            session.epoch = user.epoch;
            session.revision += 1;
            match self.sessions.replace(&session, session_version, changes).await {
                Ok(()) => {
                    let ended = self.sessions.sweep(&user).await;
                    let reply = self.hand_over(&call.headers, &session, &secrets)?;
                    return Ok(named(reply.with_header(CACHE_CONTROL, NO_STORE), &ended));
                }
                // The user or the session was changed at the same moment.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    /// Whether this session has just made this very change.
    async fn was_changed(&self, user: &User, own: &str, current: &str, new: &str) -> Result<bool, Problem> {
        let key = change_key(&user.id);
        let found = known(self.users.items.get_json::<PasswordChange>(&key, Consistency::Current).await)?;
        let Some((change, _)) = found.filter(|(change, _)| change.session == own) else { return Ok(false) };
        Ok(self.passwords.verify(current, Some(&change.previous)).await?
            && self.passwords.verify(new, Some(&user.password_hash)).await?)
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn change_key(customer: &str) -> Key {
    Key::new(format!("customer#{customer}"), "password")
}

fn wrong() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "the current password is wrong")
        .with_code("wrong_password")
        .with_field("current", "is wrong")
}
