//! What a customer sees of their sessions, and how they end them.

use std::sync::Arc;

use bank_sdk::http::BANK_SESSION_ENDED;
use bank_sdk::{Call, Empty, List, Principal, Problem, Reply, page};
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::{ErrorKind, ItemsExt as _, random};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, SET_COOKIE};

use crate::CSRF_SCOPE;
use crate::browser::is_same_origin;
use crate::cookie::SessionCookie;
use crate::refresh::ended;
use crate::service::{Identity, RACES};
use crate::session::Session;
use crate::user::{User, user_key};
use crate::wire::{CurrentSession, PageOf, SessionPath, SessionView, UsedSessions};

/// So many sessions a gateway names at once.
const MOST_USED: usize = 200;
/// So many ids of ended sessions are named to the gateway in an answer, which has a bounded head. It learns of others by the
/// message, or by asking, within a second.
const NAMED: usize = 100;

impl Identity {
    pub(crate) async fn current_session(
        self: Arc<Self>,
        call: Call<Empty>,
    ) -> Result<Reply<CurrentSession>, Problem> {
        let principal = call.principal.as_deref().ok_or_else(Problem::not_found)?;
        let id = principal.session.as_deref().ok_or_else(Problem::not_found)?;
        // Not from a copy: the token is another one after a new password.
        let session = self.sessions.admitted_now(id).await?;
        let session = session.filter(|session| session.is_live(self.clock.now())).ok_or_else(|| ended(id))?;
        // A name is no reason to fail.
        let profile = self.profiles.by_id(&session.customer).await.ok().flatten();
        let gives_token = principal.has_scope(CSRF_SCOPE) && is_same_origin(&call.headers);
        let current = CurrentSession {
            id: session.id,
            username: session.username,
            name: profile.map(|profile| profile.customer().name),
            customer: session.customer,
            csrf_token: gives_token.then(|| session.csrf.into()),
            created_at: session.auth_time,
            expires_at: session.expires_at,
        };
        Ok(Reply::new(current).with_header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }

    pub(crate) async fn own_sessions(
        self: Arc<Self>,
        call: Call<PageOf>,
    ) -> Result<Reply<List<SessionView>>, Problem> {
        let PageOf { limit, after } = &call.input;
        let page = page::newest_first(*limit, after.as_deref())?;
        let own = session_of(call.principal.as_deref());
        let user = self.users.by_id(call.subject()?).await?.ok_or_else(Problem::not_found)?;
        let found = self.sessions.of_customer(&user.id, page).await?;
        let next = found.next.map(|cursor| cursor.as_str().to_owned());
        let live = found.items.into_iter().filter(|entry| user.admits_id(&entry.id, entry.epoch));
        let items = live.map(|entry| entry.view(own)).collect();
        let no_store = HeaderValue::from_static("no-store");
        Ok(Reply::new(List { items, next }).with_header(CACHE_CONTROL, no_store))
    }

    pub(crate) async fn end_session(
        self: Arc<Self>,
        call: Call<SessionPath>,
    ) -> Result<Reply<Empty>, Problem> {
        let (id, subject) = (&call.input.id, call.subject()?);
        let (session, _) = self.sessions.stored(id).await?.ok_or_else(Problem::not_found)?;
        if session.customer != subject {
            return Err(Problem::not_found());
        }
        self.sessions.end(id).await?;
        let reply = named(Reply::new(Empty {}), std::slice::from_ref(id));
        if session_of(call.principal.as_deref()) == Some(id.as_str()) {
            return Ok(reply.with_header(SET_COOKIE, SessionCookie::of(&call.headers).clear()?));
        }
        Ok(reply)
    }

    pub(crate) async fn end_other_sessions(
        self: Arc<Self>,
        call: Call<Empty>,
    ) -> Result<Reply<Empty>, Problem> {
        let (customer, own) = (call.subject()?, session_of(call.principal.as_deref()));
        for _ in 0..RACES {
            let (mut user, version) = self.users.stored(customer).await?.ok_or_else(Problem::not_found)?;
            if let Some(own) = own {
                self.own_session(&user, own).await?;
            }
            user.begin_epoch(own);
            let change = Change::put(user_key(&user.username), &user)?.when(Condition::Version(version));
            let write = Transaction::new(random::id(&*self.random, "sessions:")).change(change);
            match self.users.items.commit_one(write).await {
                Ok(_) => return Ok(named(Reply::new(Empty {}), &self.sessions.sweep(&user).await)),
                // The user was changed at the same moment.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    /// The session that the caller came by and its version, where it goes on. A gateway may go on believing in one that has ended
    /// for a moment: it must not be the one that others end by.
    pub(crate) async fn own_session(&self, user: &User, own: &str) -> Result<(Session, u64), Problem> {
        let now = self.clock.now();
        let is_own =
            |session: &Session| session.customer == user.id && session.is_live(now) && user.admits(session);
        let found = self.sessions.stored(own).await?.filter(|(session, _)| is_own(session));
        found.ok_or_else(|| ended(own))
    }

    /// The caller's own session ends.
    pub(crate) async fn sign_out(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Empty>, Problem> {
        // A caller without a session, with an API key say, has none to end.
        let session = session_of(call.principal.as_deref()).ok_or_else(Problem::not_found)?;
        self.sessions.end(session).await?;
        let reply = Reply::new(Empty {}).with_header(SET_COOKIE, SessionCookie::of(&call.headers).clear()?);
        Ok(named(reply, &[session.to_owned()]))
    }

    /// A gateway tells which sessions were used lately.
    pub(crate) async fn note_used(self: Arc<Self>, call: Call<UsedSessions>) -> Result<Empty, Problem> {
        let now = self.clock.now();
        for id in call.input.ids.iter().take(MOST_USED) {
            self.sessions.note_use(id, now).await?;
        }
        Ok(Empty {})
    }
}

pub(crate) fn session_of(principal: Option<&Principal>) -> Option<&str> {
    principal?.session.as_deref()
}

/// Names sessions that have ended: the gateway that passes this on refuses them at once.
pub(crate) fn named<O>(reply: Reply<O>, sessions: &[String]) -> Reply<O> {
    let sessions = &sessions[..sessions.len().min(NAMED)];
    match HeaderValue::try_from(sessions.join(",")) {
        Ok(ids) if !sessions.is_empty() => reply.with_header(BANK_SESSION_ENDED, ids),
        _ => reply,
    }
}
