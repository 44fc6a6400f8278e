//! What a customer sees of their sessions, and how they end them.

use std::sync::Arc;

use bank_sdk::http::BANK_SESSION_ENDED;
use bank_sdk::{Call, Empty, List, Principal, Problem, Reply, page};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderValue, StatusCode};

use crate::CSRF_SCOPE;
use crate::browser::is_same_origin;
use crate::cookie::SessionCookie;
use crate::service::Identity;
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
        let session = self.sessions.find(id).await?.filter(|session| session.is_live(self.clock.now()));
        let session = session.ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "this session has ended; sign in again")
                .with_code("session_ended")
        })?;
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
        let found = self.sessions.of_customer(call.subject()?, page).await?;
        let next = found.next.map(|cursor| cursor.as_str().to_owned());
        let items = found.items.into_iter().map(|entry| entry.view(own)).collect();
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
        let reply = ended(Reply::new(Empty {}), &[id]);
        if session_of(call.principal.as_deref()) == Some(id.as_str()) {
            return Ok(reply.with_header(SET_COOKIE, SessionCookie::of(&call.headers).clear()?));
        }
        Ok(reply)
    }

    pub(crate) async fn end_other_sessions(
        self: Arc<Self>,
        call: Call<Empty>,
    ) -> Result<Reply<Empty>, Problem> {
        self.end_others(call.subject()?, call.principal.as_deref()).await
    }

    /// Ends all sessions of a customer but the caller's own.
    pub(crate) async fn end_others(
        &self,
        customer: &str,
        caller: Option<&Principal>,
    ) -> Result<Reply<Empty>, Problem> {
        let others = self.sessions.end_others(customer, session_of(caller)).await?;
        let named: Vec<&str> = others.iter().take(NAMED).map(String::as_str).collect();
        Ok(ended(Reply::new(Empty {}), &named))
    }

    /// The caller's own session ends.
    pub(crate) async fn sign_out(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Empty>, Problem> {
        // A caller without a session, with an API key say, has none to end.
        let session = session_of(call.principal.as_deref()).ok_or_else(Problem::not_found)?;
        self.sessions.end(session).await?;
        let reply = Reply::new(Empty {}).with_header(SET_COOKIE, SessionCookie::of(&call.headers).clear()?);
        Ok(ended(reply, &[session]))
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

fn session_of(principal: Option<&Principal>) -> Option<&str> {
    principal?.session.as_deref()
}

/// The gateway that passes this on refuses them at once.
fn ended(reply: Reply<Empty>, sessions: &[&str]) -> Reply<Empty> {
    match HeaderValue::try_from(sessions.join(",")) {
        Ok(ids) if !sessions.is_empty() => reply.with_header(BANK_SESSION_ENDED, ids),
        _ => reply,
    }
}
