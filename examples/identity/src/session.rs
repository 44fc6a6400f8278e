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
use crate::user::known;

/// The cache's channel on which the ids of ended sessions are told.
pub const SESSIONS_ENDED: &str = "sessions.ended";

/// How long a session lasts, however often it is refreshed.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// A session that was ended is believed so much longer, at most, where a shared cache missed that. A gateway believes what it read for
/// 700 ms: within a second, in all.
const CACHED: Duration = Duration::from_millis(250);
/// A use is noted when the last note is so old. Gateways tell of a session every five minutes.
const NOTED_EVERY: Duration = Duration::from_secs(4 * 60);
/// So many entries are read at once.
const PAGE: u32 = 100;

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
    /// Whether it was ended.
    pub ended: bool,
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

    /// The session and its version, from the items.
    pub(crate) async fn stored(&self, id: &str) -> Result<Option<(Session, u64)>> {
        if !is_id(id) {
            return Ok(None);
        }
        known(self.items.get_json(&key(id), Consistency::Current).await)
    }

    /// Opens a session, and enters it in its customer's list.
    pub(crate) async fn insert(&self, session: &Session, entry: &SessionEntry) -> Result<()> {
        let entry = Change::put(entry_key(session), entry)?.expires_at(session.expires_at);
        self.write(session, Condition::Absent, Some(entry)).await
    }

    /// Replaces the session, if it is still the one that was read.
    pub(crate) async fn replace(&self, session: &Session, version: u64) -> Result<()> {
        self.write(session, Condition::Version(version), None).await
    }

    async fn write(&self, session: &Session, condition: Condition, entry: Option<Change>) -> Result<()> {
        let Session { id, revision, expires_at, refresh_hash, .. } = session;
        // Two that write the same revision are not the same write.
        let mark = u64::from_be_bytes(std::array::from_fn(|at| refresh_hash[at]));
        let change = Change::put(key(id), session)?.when(condition).expires_at(*expires_at);
        let transaction = Transaction::new(format!("{id}:{revision}:{mark:x}")).change(change);
        let transaction = entry.into_iter().fold(transaction, Transaction::change);
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
            let entry = Change::delete(entry_key(&session));
            match self.write(&session, Condition::Version(version), Some(entry)).await {
                // Refreshed at the same moment: read it again. Each round somebody gets on.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        self.tell(id).await;
        Ok(())
    }

    /// A customer's live sessions, by when they were opened.
    pub(crate) async fn of_customer(&self, customer: &str, page: PageRequest) -> Result<Page<SessionEntry>> {
        let query = Query::partition(partition(customer)).prefix(ENTRIES).page(page);
        let found = self.items.query(&query).await?;
        let items = found.items.iter().map(Item::json).collect::<Result<_>>()?;
        Ok(Page { items, next: found.next })
    }

    /// Ends all sessions of a customer but this one; gives those that have ended.
    pub(crate) async fn end_others(&self, customer: &str, own: Option<&str>) -> Result<Vec<String>> {
        let (mut page, mut ended) = (PageRequest::first(PAGE), Vec::new());
        loop {
            let found = self.of_customer(customer, page.clone()).await?;
            for entry in found.items {
                if own != Some(entry.id.as_str()) {
                    self.end(&entry.id).await?;
                    ended.push(entry.id);
                }
            }
            match found.next {
                Some(next) => page = page.after(next),
                None => return Ok(ended),
            }
        }
    }

    /// Notes that a session was used at this time, if the last note is some minutes old.
    pub(crate) async fn note_use(&self, id: &str, now: Timestamp) -> Result<()> {
        let Some((session, _)) = self.stored(id).await?.filter(|(session, _)| session.is_live(now)) else {
            return Ok(());
        };
        let key = entry_key(&session);
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
    async fn tell(&self, id: &str) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.publish(SESSIONS_ENDED, id.to_owned().into()).await {
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

fn cache_key(id: &str) -> String {
    format!("session:{id}")
}

/// What a client sends as an id is checked before it becomes a key.
fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix("ses_").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
