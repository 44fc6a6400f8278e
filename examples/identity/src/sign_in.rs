//! A session's first moment, and how it is handed to its client.

use std::sync::Arc;

use bank_sdk::{Call, Problem, Reply};
use bank_stores::items::{Change, Condition};
use bank_stores::{ErrorKind, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::browser;
use crate::cookie::SessionCookie;
use crate::refresh::RefreshToken;
use crate::service::{Identity, RACES};
use crate::session::{self, Session, sha256};
use crate::session_entry::SessionEntry;
use crate::token;
use crate::user::{User, user_key};
use crate::wire::{Credentials, SessionTokens};

/// What a client proves with that a session is its own; the session keeps hashes. It has no `Debug`, since all of it is secret.
pub(crate) struct SessionSecrets {
    cookie: [u8; 32],
    csrf: String,
    refresh: RefreshToken,
}

impl SessionSecrets {
    /// From now on these are the session's, and no others.
    pub(crate) fn give_to(&self, session: &mut Session) {
        session.secret_hash = sha256(&self.cookie);
        session.csrf.clone_from(&self.csrf);
        session.family_hash = self.refresh.family_hash();
        session.refresh_hash = self.refresh.current_hash();
    }
}

impl Identity {
    /// The gateway has checked the credentials; what is left of them here is whom they are of, and which state of them was checked.
    /// It may have read that long ago: where the user has another password, or all sessions were ended meanwhile, none is opened.
    /// Each login makes a new session with a new id, whatever cookie came along.
    pub(crate) async fn sign_in(
        self: Arc<Self>,
        call: Call<Credentials>,
    ) -> Result<Reply<SessionTokens>, Problem> {
        let checked = call.principal.as_deref().and_then(|principal| principal.credential.as_deref());
        if checked.is_none() {
            tracing::error!("the gateway does not say which credential it has checked");
        }
        for _ in 0..RACES {
            let (user, version) = self.users.stored(call.subject()?).await?.ok_or_else(|| {
                tracing::error!("the gateway let in a user who does not exist");
                Problem::internal()
            })?;
            if user.disabled || checked != Some(&*user.credential()) {
                return Err(outdated());
            }
            self.sessions.make_room(&user).await?;
            let unchanged = Change::check(user_key(&user.username), Condition::Version(version));
            let (session, secrets) = self.new_session(user);
            let entry = SessionEntry {
                id: session.id.clone(),
                epoch: session.epoch,
                created_at: session.auth_time,
                last_used_at: session.auth_time,
                user_agent: browser::user_agent(&call.headers),
                network: browser::network(&call.headers),
            };
            match self.sessions.insert(&session, &entry, unchanged).await {
                Ok(()) => return self.hand_over(&call.headers, &session, &secrets),
                // The user was changed at the same moment: what was checked may be another one's by now.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    fn new_session(&self, user: User) -> (Session, SessionSecrets) {
        let now = self.clock.now();
        let id = random::id(&*self.random, "ses_");
        let secrets = self.session_secrets(&id);
        let session = Session {
            customer: user.id,
            username: user.username,
            roles: user.roles,
            scopes: user.scopes,
            secret_hash: sha256(&secrets.cookie),
            csrf: secrets.csrf.clone(),
            auth_time: now,
            expires_at: now.saturating_add(session::LIFETIME),
            ended: false,
            epoch: user.epoch,
            family_hash: secrets.refresh.family_hash(),
            refresh_hash: secrets.refresh.current_hash(),
            revision: 1,
            id,
        };
        (session, secrets)
    }

    /// New ones for this session.
    pub(crate) fn session_secrets(&self, session: &str) -> SessionSecrets {
        SessionSecrets {
            cookie: self.secret(),
            csrf: URL_SAFE_NO_PAD.encode(self.secret()),
            refresh: RefreshToken::new(session, self.secret(), self.secret()),
        }
    }

    /// The tokens in the body, and the cookie.
    pub(crate) fn hand_over(
        &self,
        client: &HeaderMap,
        session: &Session,
        secrets: &SessionSecrets,
    ) -> Result<Reply<SessionTokens>, Problem> {
        let cookie = SessionCookie::of(client).set(&session.id, &URL_SAFE_NO_PAD.encode(secrets.cookie))?;
        Ok(Reply::new(self.tokens(session, &secrets.refresh)?).with_header(SET_COOKIE, cookie))
    }

    pub(crate) fn tokens(&self, session: &Session, refresh: &RefreshToken) -> Result<SessionTokens, Problem> {
        let (access, expires_in) = token::access_token(&self.key, session, self.clock.now(), &*self.random)?;
        Ok(SessionTokens {
            access_token: access.into(),
            token_type: "Bearer".to_owned(),
            expires_in,
            refresh_token: refresh.to_string().into(),
            csrf_token: session.csrf.clone().into(),
        })
    }

    /// 256 random bits.
    pub(crate) fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        secret
    }
}

/// As the gateway says it of a wrong password.
fn outdated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong")
        .with_code("invalid_credentials")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Login realm="bank""#))
}
