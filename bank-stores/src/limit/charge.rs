//! What is charged, and the answer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::time::Duration;

use super::Rate;

/// Names a bucket: 128 bits of a keyed hash.
///
/// The keys are drawn when the process starts, so that nobody outside can make two callers collide; a `LimitKey` means
/// nothing in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(pub(crate) [u64; 2]);

impl LimitKey {
    /// The bucket of `subject` (an address, a principal) for the purpose `scope` (a route, a policy).
    pub fn of(scope: &str, subject: &str) -> Self {
        Self::of_parts(scope, &[subject.as_bytes()])
    }

    /// The bucket of a subject that is named by several parts, such as a tenant and a user. Parts are kept apart: `a` and `bc`
    /// is another bucket than `ab` and `c`.
    pub fn of_parts(scope: &str, parts: &[&[u8]]) -> Self {
        LimitScope::new(scope).key(parts)
    }
}

/// A purpose for which many subjects are counted: the part that their keys have in common, hashed once.
///
/// ```
/// use bank_stores::limit::{LimitKey, LimitScope, LimitSubject};
///
/// let scope = LimitScope::new("login");
/// assert_eq!(scope.key(&[b"ann"]), LimitKey::of("login", "ann"));
/// assert_ne!(scope.key(&[b"a", b"bc"]), scope.key(&[b"ab", b"c"]));
/// assert_eq!(scope.bucket(LimitSubject::of(&[b"ann"])), scope.key(&[b"ann"]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LimitScope([u64; 2]);

impl LimitScope {
    /// The purpose of this name: a route, a policy.
    pub fn new(scope: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(hash(&KEY, &[scope.as_bytes()]))
    }

    /// The bucket of a subject that is named by these parts, which are kept apart.
    pub fn key(&self, parts: &[&[u8]]) -> LimitKey {
        self.bucket(LimitSubject::of(parts))
    }

    /// The bucket of a subject.
    pub const fn bucket(&self, subject: LimitSubject) -> LimitKey {
        // Both are hashes under keys of their own: two pairs meet as rarely as two hashes do. Never all zero, which marks a
        // free slot.
        LimitKey([(self.0[0] ^ subject.0[0]) | 1, self.0[1] ^ subject.0[1]])
    }
}

/// A subject that is counted for several purposes, or often, hashed once.
#[derive(Clone, Copy, Debug)]
pub struct LimitSubject([u64; 2]);

impl LimitSubject {
    /// The subject that is named by these parts, which are kept apart.
    pub fn of(parts: &[&[u8]]) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(hash(&KEY, parts))
    }
}

/// 128 bits of a keyed hash.
fn hash(key: &RandomState, parts: &[&[u8]]) -> [u64; 2] {
    let mut hasher = key.build_hasher();
    // The hash takes one long text faster than many short ones.
    let (mut text, mut length) = ([0; 128], 0);
    for part in parts {
        for piece in [&part.len().to_le_bytes()[..], part] {
            if let Some(place) = text.get_mut(length..length + piece.len()) {
                place.copy_from_slice(piece);
                length += piece.len();
            } else {
                hasher.write(&text[..length]);
                hasher.write(piece);
                length = 0;
            }
        }
    }
    hasher.write(&text[..length]);
    let one = hasher.finish();
    // No list of parts has this text, so that its hash tells nothing of the other one, and is another for other parts.
    hasher.write_u8(1);
    [one, hasher.finish()]
}

/// So many units from one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The bucket; one bucket has one rate.
    pub key: LimitKey,
    /// The bucket's rate.
    pub rate: Rate,
    /// How many units; 0 only looks.
    pub cost: u32,
}

impl Charge {
    /// One unit from the bucket `key`.
    pub const fn one(key: LimitKey, rate: Rate) -> Self {
        Self { key, rate, cost: 1 }
    }
}

/// How one charge stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this bucket had enough.
    pub allowed: bool,
    /// The size of the bucket.
    pub limit: u32,
    /// What is left in it after this call.
    pub remaining: u32,
    /// Until it is full.
    pub reset_after: Duration,
    /// Until the same charge would be allowed; `None` when it was, or when it costs more than the bucket ever holds.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// `filled` is when the bucket will be full, after this call.
    pub(crate) fn new(rate: Rate, cost: u32, allowed: bool, filled: u64, now: u64) -> Self {
        Self::of(rate, rate.interval(), cost, allowed, filled.saturating_sub(now))
    }

    /// Of a bucket in which a unit flows back in `interval`, and that is full in `used`, after this call; in nanoseconds.
    pub(crate) fn of(rate: Rate, interval: u64, cost: u32, allowed: bool, used: u64) -> Self {
        let free = interval.saturating_mul(u64::from(rate.quota().get())).saturating_sub(used);
        let need = interval.saturating_mul(u64::from(cost));
        let retry = !allowed && cost <= rate.quota().get();
        Self {
            allowed,
            limit: rate.quota().get(),
            remaining: u32::try_from(free / interval).unwrap_or(u32::MAX),
            reset_after: Duration::from_nanos(used),
            retry_after: retry.then(|| Duration::from_nanos(need.saturating_sub(free))),
        }
    }
}

/// How many verdicts are held without allocating.
const INLINE: usize = 4;

/// The answer to a call: whether all charges were taken, and how each stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decision {
    /// Whether every bucket had enough; if not, nothing was taken from any.
    pub allowed: bool,
    inline: [Verdict; INLINE],
    len: usize,
    /// All of them, where there are more than fit inline.
    spilled: Vec<Verdict>,
}

impl Decision {
    pub(crate) fn new(charges: usize) -> Self {
        let spilled = if charges > INLINE { Vec::with_capacity(charges) } else { Vec::new() };
        Self { allowed: true, inline: [Verdict::default(); INLINE], len: 0, spilled }
    }

    pub(crate) fn push(&mut self, verdict: Verdict) {
        self.allowed &= verdict.allowed;
        if self.spilled.capacity() > 0 {
            self.spilled.push(verdict);
        } else {
            self.inline[self.len] = verdict;
            self.len += 1;
        }
    }

    /// How each charge stands, in the order of the charges.
    pub fn verdicts(&self) -> &[Verdict] {
        if self.spilled.is_empty() { &self.inline[..self.len] } else { &self.spilled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_subject_do_not_run_together() {
        assert_eq!(LimitKey::of("a", "b"), LimitKey::of("a", "b"));
        assert_ne!(LimitKey::of("a", "bc"), LimitKey::of("ab", "c"));
        assert_ne!(LimitKey::of("", ""), LimitKey::of("", "\0"));
    }
}
