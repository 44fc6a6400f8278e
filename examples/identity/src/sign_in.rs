//! A session's first moment.

use std::sync::Arc;

use bank_sdk::{Call, Problem, Reply};
use bank_stores::random;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;

use crate::browser;
use crate::cookie::SessionCookie;
use crate::refresh::RefreshToken;
use crate::service::Identity;
use crate::session::{self, Session, sha256};
use crate::session_entry::SessionEntry;
use crate::token;
use crate::wire::{Credentials, SessionTokens};

impl Identity {
    /// The gateway has checked the credentials; what is left of them here is whom they are of. Each login makes a new
    /// session with a new id, whatever cookie came along.
    pub(crate) async fn sign_in(
        self: Arc<Self>,
        call: Call<Credentials>,
    ) -> Result<Reply<SessionTokens>, Problem> {
        let user = self.users.by_id(call.subject()?).await?.ok_or_else(|| {
            tracing::error!("the gateway let in a user who does not exist");
            Problem::internal()
        })?;
        let (now, secret) = (self.clock.now(), self.secret());
        let id = random::id(&*self.random, "ses_");
        let refresh = RefreshToken::new(&id, self.secret(), self.secret());
        let session = Session {
            customer: user.id,
            username: user.username,
            roles: user.roles,
            scopes: user.scopes,
            secret_hash: sha256(&secret),
            csrf: URL_SAFE_NO_PAD.encode(self.secret()),
            auth_time: now,
            expires_at: now.saturating_add(session::LIFETIME),
            ended: false,
            family_hash: refresh.family_hash(),
            refresh_hash: refresh.current_hash(),
            revision: 1,
            id,
        };
        let entry = SessionEntry {
            id: session.id.clone(),
            created_at: now,
            last_used_at: now,
            user_agent: browser::user_agent(&call.headers),
            network: browser::network(&call.headers),
        };
        self.sessions.insert(&session, &entry).await?;
        let cookie = SessionCookie::of(&call.headers).set(&session.id, &URL_SAFE_NO_PAD.encode(secret))?;
        Ok(Reply::new(self.tokens(&session, &refresh)?).with_header(SET_COOKIE, cookie))
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
