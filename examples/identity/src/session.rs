//! Sessions as they are stored: in the items for good, in the cache for a second.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bank_stores::items::{Change, Condition, Item, Key, Query, Transaction};
use bank_stores::{Cache, Consistency, ErrorKind, Items, ItemsExt, Page, PageRequest, Result, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::session_entry::{ENTRIES, SessionEntry, entry_key, partition};
use crate::user::{User, Users, known};

/// The cache's channel on which the ids of ended sessions are told, several of them with commas between.
pub const SESSIONS_ENDED: &str = "sessions.ended";

/// How long a session lasts, however often it is refreshed.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// A session that was ended is believed so much longer, at most, where a shared cache missed that. A gateway believes what it read for
/// 700 ms: within a second, in all.
const CACHED: Duration = Duration::from_millis(250);
/// A use is noted when the last note is so old. Gateways tell of a session every five minutes.
const NOTED_EVERY: Duration = Duration::from_secs(4 * 60);
/// So many sessions of a customer go on at most: the oldest ends when another is opened. As many more as are opened at the same moment
/// go on until the next one is.
pub(crate) const MOST: usize = 100;
/// So many entries are read at once.
const PAGE: u32 = 200;
/// So many are removed in one transaction, and told of in one message.
const AT_ONCE: usize = 90;

/// A session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// The id, `ses_…`.
    pub id: String,
    /// Whose it is.
    pub customer: String,
    /// The user's name to sign in with.
    pub username: String,
    /// What the customer is in the bank.
    pub roles: Vec<String>,
    /// What the session may be used for.
    pub scopes: Vec<String>,
    /// SHA-256 of the secret in the cookie, which has 256 random bits of its own.
    pub secret_hash: [u8; 32],
    /// What a browser repeats in `X-CSRF-Token`. Worth nothing without the cookie, so that it is kept as it is.
    pub csrf: String,
    /// When the customer signed in.
    pub auth_time: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether it was ended by itself. It has ended as well where its user does not [admit](crate::User::admits) it any more.
    pub ended: bool,
    /// The epoch of its user in which it was opened.
    #[serde(default)]
    pub epoch: u64,
    /// SHA-256 of the part of a refresh token that stays the same.
    pub(crate) family_hash: [u8; 32],
    /// SHA-256 of the part that is new each time.
    pub(crate) refresh_hash: [u8; 32],
    /// Counts the writes; the cache keeps the newest.
    pub(crate) revision: u64,
}

impl Session {
    /// Whether it can be used now.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.ended && now < self.expires_at
    }

    /// Whether this is the secret of its cookie, in constant time.
    #[must_use]
    pub fn has_secret(&self, secret: &[u8]) -> bool {
        bool::from(sha256(secret).ct_eq(&self.secret_hash))
    }

    /// Whether this is its CSRF token, in constant time.
    #[must_use]
    pub fn has_csrf(&self, token: &str) -> bool {
        bool::from(self.csrf.as_bytes().ct_eq(token.as_bytes()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("customer", &self.customer)
            .field("expires_at", &self.expires_at)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Reads sessions, and ends them. For reading, a store opened read-only is enough.
#[derive(Clone, Debug)]
pub struct Sessions {
    items: Arc<dyn Items>,
    cache: Option<Arc<dyn Cache>>,
}

impl Sessions {
    /// The sessions in `items`.
    #[must_use]
    pub fn new(items: Arc<dyn Items>) -> Self {
        Self { items, cache: None }
    }

    /// Asks the cache first. What it holds is at most a quarter of a second old, and an ended session is told to it at once.
    #[must_use]
    pub fn cached(mut self, cache: Arc<dyn Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The session of this id, if there is one. Look at [`Session::is_live`] before believing it.
    ///
    /// # Errors
    /// Where the store cannot be read; a cache that is away is passed by.
    pub async fn find(&self, id: &str) -> Result<Option<Session>> {
        if !is_id(id) {
            return Ok(None);
        }
        if let Some(session) = self.recalled(id).await {
            return Ok(Some(session));
        }
        let session = self.stored(id).await?.map(|(session, _)| session);
        if let Some(session) = &session {
            self.remember(session).await;
        }
        Ok(session)
    }

    /// The session of this id, where it goes on: it was not ended, and its user admits it. Look at [`Session::is_live`] for whether its
    /// time is over.
    ///
    /// # Errors
    /// Where the store cannot be read; a cache that is away is passed by.
    pub async fn admitted(&self, id: &str) -> Result<Option<Session>> {
        let found = self.find(id).await?.filter(|session| !session.ended);
        self.if_admitted(found).await
    }

    /// The same, as it is in the items now.
    pub(crate) async fn admitted_now(&self, id: &str) -> Result<Option<Session>> {
        let found = self.stored(id).await?.filter(|(session, _)| !session.ended);
        self.if_admitted(found.map(|(session, _)| session)).await
    }

    /// The user is read after the session, and never from a copy: whatever ends all sessions of a user is written there.
    async fn if_admitted(&self, session: Option<Session>) -> Result<Option<Session>> {
        let Some(session) = session else { return Ok(None) };
        let user = Users::new(self.items.clone()).by_username(&session.username).await?;
        Ok(user.is_some_and(|user| user.admits(&session)).then_some(session))
    }

    /// The session and its version, from the items.
    pub(crate) async fn stored(&self, id: &str) -> Result<Option<(Session, u64)>> {
        if !is_id(id) {
            return Ok(None);
        }
        known(self.items.get_json(&key(id), Consistency::Current).await)
    }

    /// Opens a session, and enters it in its customer's list, if what `user` checks holds.
    pub(crate) async fn insert(&self, session: &Session, entry: &SessionEntry, user: Change) -> Result<()> {
        let entry = Change::put(key_of_entry(session), entry)?.expires_at(session.expires_at);
        self.write(session, Condition::Absent, [entry, user]).await
    }

    /// Replaces the session, if it is still the one that was read; with other changes, or not at all.
    pub(crate) async fn replace(
        &self,
        session: &Session,
        version: u64,
        others: impl IntoIterator<Item = Change>,
    ) -> Result<()> {
        self.write(session, Condition::Version(version), others).await
    }

    async fn write(
        &self,
        session: &Session,
        condition: Condition,
        others: impl IntoIterator<Item = Change>,
    ) -> Result<()> {
        let Session { id, revision, expires_at, refresh_hash, .. } = session;
        // Two that write the same revision are not the same write.
        let mark = u64::from_be_bytes(std::array::from_fn(|at| refresh_hash[at]));
        let change = Change::put(key(id), session)?.when(condition).expires_at(*expires_at);
        let transaction = Transaction::new(format!("{id}:{revision}:{mark:x}")).change(change);
        let transaction = others.into_iter().fold(transaction, Transaction::change);
        self.items.commit_one(transaction).await?;
        self.remember(session).await;
        Ok(())
    }

    /// Ends the session, and tells every gateway.
    pub(crate) async fn end(&self, id: &str) -> Result<()> {
        loop {
            let Some((mut session, version)) = self.stored(id).await? else { break };
            if session.ended {
                break;
            }
            session.ended = true;
            session.revision += 1;
            let entry = Change::delete(key_of_entry(&session));
            match self.write(&session, Condition::Version(version), [entry]).await {
                // Refreshed at the same moment: read it again. Each round somebody gets on.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        self.tell(id.to_owned()).await;
        Ok(())
    }

    /// The entries of a customer's sessions, by when they were opened.
    pub(crate) async fn of_customer(&self, customer: &str, page: PageRequest) -> Result<Page<SessionEntry>> {
        let query = Query::partition(partition(customer)).prefix(ENTRIES).page(page);
        let found = self.items.query(&query).await?;
        let items = found.items.iter().map(Item::json).collect::<Result<_>>()?;
        Ok(Page { items, next: found.next })
    }

    /// Tells every gateway of the sessions that ended with an epoch of their user, and takes them out of the list; gives their ids.
    /// They have ended before, with the one write that began the new epoch: what cannot be done here is done at the next login.
    pub(crate) async fn sweep(&self, user: &User) -> Vec<String> {
        match self.entries(user).await {
            Ok((_, past)) => {
                for some in past.chunks(AT_ONCE) {
                    let ids: Vec<&str> = some.iter().map(|entry| &*entry.id).collect();
                    self.tell(ids.join(",")).await;
                }
                self.remove(user, &past).await;
                past.into_iter().map(|entry| entry.id).collect()
            }
            Err(error) => {
                tracing::warn!(%error, "sessions have ended, and which they are could not be told");
                Vec::new()
            }
        }
    }

    /// Ends the oldest sessions of a user, where there would be too many with another one.
    pub(crate) async fn make_room(&self, user: &User) -> Result<()> {
        let (live, past) = self.entries(user).await?;
        self.remove(user, &past).await;
        let over = (live.len() + 1).saturating_sub(MOST);
        for entry in &live[..over] {
            self.end(&entry.id).await?;
        }
        Ok(())
    }

    /// Those that go on, the oldest first, and those that ended with an epoch. What was opened since the user was read is no past one.
    async fn entries(&self, user: &User) -> Result<(Vec<SessionEntry>, Vec<SessionEntry>)> {
        let (mut next, mut live, mut past) = (None, Vec::new(), Vec::new());
        loop {
            let found = self.of_customer(&user.id, PageRequest::first(PAGE).after(next)).await?;
            for entry in found.items {
                let kind = if user.is_past(&entry.id, entry.epoch) { &mut past } else { &mut live };
                kind.push(entry);
            }
            next = found.next;
            if next.is_none() {
                return Ok((live, past));
            }
        }
    }

    /// Removes entries of sessions that have ended.
    async fn remove(&self, user: &User, past: &[SessionEntry]) {
        for some in past.chunks(AT_ONCE) {
            let (first, last) = (&some[0].id, &some[some.len() - 1].id);
            let write = Transaction::new(format!("swept:{first}:{last}:{}", some.len()));
            let write = some.iter().fold(write, |write, entry| {
                write.change(Change::delete(entry_key(&user.id, &entry.id, entry.created_at)))
            });
            if let Err(error) = self.items.commit_one(write).await {
                tracing::warn!(%error, "sessions that have ended could not be taken out of the list");
            }
        }
    }

    /// Notes that a session was used at this time, if the last note is some minutes old.
    pub(crate) async fn note_use(&self, id: &str, now: Timestamp) -> Result<()> {
        let Some((session, _)) = self.stored(id).await?.filter(|(session, _)| session.is_live(now)) else {
            return Ok(());
        };
        let key = key_of_entry(&session);
        let entry = known(self.items.get_json::<SessionEntry>(&key, Consistency::Current).await)?;
        let Some((mut entry, version)) = entry else { return Ok(()) };
        if now.since(entry.last_used_at) < NOTED_EVERY {
            return Ok(());
        }
        entry.last_used_at = now;
        let change =
            Change::put(key, &entry)?.when(Condition::Version(version)).expires_at(session.expires_at);
        let write = Transaction::new(format!("{id}:used:{}", now.micros())).change(change);
        match self.items.commit_one(write).await {
            // It has just ended, or another gateway was first.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// A cache that is away costs no more than the second for which others still believe what they have.
    async fn tell(&self, ids: String) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.publish(SESSIONS_ENDED, ids.into()).await {
            tracing::warn!(%error, "the end of a session could not be told");
        }
    }

    async fn recalled(&self, id: &str) -> Option<Session> {
        let held = self.cache.as_ref()?.get(&cache_key(id)).await.ok()??;
        serde_json::from_slice(&held.value).ok()
    }

    async fn remember(&self, session: &Session) {
        let Some(cache) = &self.cache else { return };
        let Ok(value) = serde_json::to_vec(session) else { return };
        if let Err(error) = cache.set(&cache_key(&session.id), value.into(), session.revision, CACHED).await {
            tracing::debug!(%error, "a session could not be cached");
        }
    }
}

fn key(id: &str) -> Key {
    Key::new(format!("session#{id}"), "session")
}

fn key_of_entry(session: &Session) -> Key {
    entry_key(&session.customer, &session.id, session.auth_time)
}

fn cache_key(id: &str) -> String {
    format!("session:{id}")
}

/// What a client sends as an id is checked before it becomes a key.
fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix("ses_").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
