//! Refresh tokens: each is good for one use, and using one twice ends the session (RFC 9700 §4.14).
//!
//! A token is `SESSION.FAMILY.CURRENT`. The family part is the same in all tokens of a session, so that an old token is
//! told from a made-up one: who merely knows a session's id cannot end it. With a new password the session gets another family, and
//! tokens of before are of nobody.

use std::fmt;
use std::sync::Arc;

use bank_sdk::http::BANK_SESSION_ENDED;
use bank_sdk::{Call, Problem};
use bank_stores::ErrorKind;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode};
use subtle::ConstantTimeEq as _;

use crate::service::Identity;
use crate::session::sha256;
use crate::wire::{Refresh, SessionTokens};

/// A refresh token, taken apart. It has no `Debug`, since all of it is secret.
pub(crate) struct RefreshToken {
    session: String,
    family: [u8; 32],
    current: [u8; 32],
}

impl RefreshToken {
    pub(crate) fn new(session: &str, family: [u8; 32], current: [u8; 32]) -> Self {
        Self { session: session.to_owned(), family, current }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let session = parts.next()?.to_owned();
        let mut secret = || URL_SAFE_NO_PAD.decode(parts.next()?).ok()?.try_into().ok();
        let (family, current) = (secret()?, secret()?);
        parts.next().is_none().then_some(Self { session, family, current })
    }

    pub(crate) fn family_hash(&self) -> [u8; 32] {
        sha256(&self.family)
    }

    pub(crate) fn current_hash(&self) -> [u8; 32] {
        sha256(&self.current)
    }
}

impl fmt::Display for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, current) = (URL_SAFE_NO_PAD.encode(self.family), URL_SAFE_NO_PAD.encode(self.current));
        write!(f, "{}.{family}.{current}", self.session)
    }
}

impl Identity {
    pub(crate) async fn refresh(self: Arc<Self>, call: Call<Refresh>) -> Result<SessionTokens, Problem> {
        let given = RefreshToken::parse(call.input.refresh_token.expose()).ok_or_else(invalid)?;
        loop {
            let (mut session, version) = self.sessions.stored(&given.session).await?.ok_or_else(invalid)?;
            if !bool::from(given.family_hash().ct_eq(&session.family_hash)) {
                return Err(invalid());
            }
            if !session.is_live(self.clock.now()) {
                return Err(ended(&session.id));
            }
            if !bool::from(given.current_hash().ct_eq(&session.refresh_hash)) {
                tracing::warn!(session = %session.id, "a refresh token was used twice; its session ends");
                self.sessions.end(&session.id).await?;
                return Err(ended(&session.id));
            }
            // What the user is in the bank may have changed since.
            let user = self.users.by_id(&session.customer).await?;
            let Some(user) = user.filter(|user| user.admits(&session)) else {
                self.sessions.end(&session.id).await?;
                return Err(ended(&session.id));
            };
            let next = RefreshToken::new(&session.id, given.family, self.secret());
            session.refresh_hash = next.current_hash();
            session.revision += 1;
            (session.roles, session.scopes) = (user.roles, user.scopes);
            match self.sessions.replace(&session, version, []).await {
                Ok(()) => return self.tokens(&session, &next),
                // Written at the same moment: by another refresh, after which this is the second use; or by a new password, or an
                // end. What it is now says which. Each round somebody gets on.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn invalid() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this is not a refresh token of ours; sign in again")
        .with_code("invalid_refresh_token")
}

/// The gateway that passes this on refuses the session at once.
pub(crate) fn ended(session: &str) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "this session has ended; sign in again")
        .with_code("session_ended");
    match HeaderValue::from_str(session) {
        Ok(id) => problem.with_header(BANK_SESSION_ENDED, id),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_what_it_writes_and_nothing_else() {
        let token = RefreshToken::new("ses_1", [1; 32], [2; 32]);
        let text = token.to_string();
        let read = RefreshToken::parse(&text).unwrap();
        assert_eq!((read.session, read.family, read.current), (token.session, token.family, token.current));
        for bad in
            ["", "ses_1", "ses_1.AQ.AQ", &format!("{text}."), &format!("{text}.x"), &text[..text.len() - 1]]
        {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
