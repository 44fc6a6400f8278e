//! What is known of sessions, and for how long. Those that are live and those that have ended are apart: nothing that
//! strangers or many users do makes a gateway forget that one has ended (S33).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::identity::cache::ByteCache;
use crate::identity::short_memory::ShortMemory;

/// How old an answer of the store may be: a session that ended elsewhere is refused after this at the latest.
pub(super) const MAX_AGE: Duration = Duration::from_millis(700);
/// How long a session that has ended is refused without asking: longer than any answer about it may be on its way.
pub(super) const ENDED: Duration = Duration::from_secs(10);
/// So many ended in that time are remembered each for itself, and so many made-up ids; about 40 bytes each, twice.
pub(super) const MAX_MARKS: usize = 65_536;

/// Sessions that are live, that have ended, and ids that nobody has.
pub(super) struct KnownSessions {
    pub(super) live: ByteCache<String, LiveSession>,
    marks: Mutex<Marks>,
    start: Instant,
    /// Nanoseconds from `start`: what was asked before says nothing any more.
    doubted_before: AtomicU64,
}

pub(super) struct LiveSession {
    pub(super) session: Session,
    /// When the store was asked.
    pub(super) asked: u64,
}

struct Marks {
    ended: ShortMemory,
    /// Ids that nobody has.
    unknown: ShortMemory,
}

/// What is remembered of a session.
pub(super) enum Recalled {
    Live(Session),
    Gone,
    /// The store has to be asked. It was live when it was asked last, or nothing is known.
    Ask {
        was_live: bool,
    },
}

impl KnownSessions {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let marks = Marks {
            ended: ShortMemory::new(ENDED, MAX_MARKS),
            unknown: ShortMemory::new(MAX_AGE, MAX_MARKS),
        };
        Arc::new(Self {
            live: ByteCache::new(bytes),
            marks: Mutex::new(marks),
            start: Instant::now(),
            doubted_before: AtomicU64::new(0),
        })
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn recall(&self, id: &str) -> Recalled {
        {
            let (marks, now) = (self.marks(), Instant::now());
            if marks.ended.noted(id, now).is_some() || marks.unknown.noted(id, now).is_some() {
                return Recalled::Gone;
            }
        }
        let (now, doubted) = (self.now(), self.doubted_before.load(Ordering::Acquire));
        let live = self.live.read(id, |live| {
            let is_fresh =
                live.asked >= doubted && u128::from(now - live.asked.min(now)) < MAX_AGE.as_nanos();
            is_fresh.then(|| live.session.clone())
        });
        match live {
            Some(Some(session)) => Recalled::Live(session),
            known => Recalled::Ask { was_live: known.is_some() },
        }
    }

    pub(super) fn is_ended(&self, id: &str) -> bool {
        self.marks().ended.noted(id, Instant::now()).is_some()
    }

    pub(super) fn mark_ended(&self, id: &str) {
        let has_room = self.marks().ended.note(id, Instant::now());
        self.live.remove(id);
        if !has_room {
            // No place to note it: everything is asked for anew, what is being asked included.
            self.doubt();
        }
    }

    pub(super) fn mark_unknown(&self, id: &str) {
        // Without room the store is asked again.
        let _ = self.marks().unknown.note(id, Instant::now());
    }

    pub(super) fn doubt(&self) {
        self.doubted_before.fetch_max(self.now() + 1, Ordering::AcqRel);
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
