//! Claims as items: whatever is killed, whatever answer gets lost, a key has one holder at most, and one that holds it for long is
//! told to everybody until it releases the key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bank_stores::conformance::seed;
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::once::ItemsOnce;
use bank_stores::{Clock as _, Once, SystemClock};
use serde_json::{Value, json};

use crate::lives::{LIVES, TASKS, Task, live, say, work};

/// How many keys a life claims; half of them are those of the life before.
const KEYS: u64 = 8;
/// A claim ends by itself within a life, or not within the test.
const SHORT: Duration = Duration::from_millis(15);
const LONG: Duration = Duration::from_secs(3_600);

async fn open(path: &str) -> ItemsOnce {
    ItemsOnce::new(Arc::new(SqliteItems::open(SqliteOptions::new(path)).await.unwrap()), "once")
}

/// In microseconds.
fn now() -> i64 {
    SystemClock::new().now().micros()
}

async fn claim(once: ItemsOnce, mut task: Task) {
    let (life, _) = task.name.split_once('.').unwrap();
    let first = life.parse::<u64>().unwrap() * KEYS / 2;
    for step in 0_u64.. {
        let numbers = &mut task.numbers;
        let (key, value) = (format!("k{}", first + numbers.below(KEYS)), format!("{}.{step}", task.name));
        let ttl = if numbers.below(16) == 0 { LONG } else { SHORT };
        loop {
            say(&json!({ "claim": value, "key": key, "ttl": ttl.as_micros() as u64, "at": now() }));
            let call = once.claim(&key, value.clone().into(), ttl);
            // Now and then the answer gets lost, and the claim is sent again.
            let answer = match numbers.below(4) {
                0 => tokio::time::timeout(Duration::from_micros(numbers.below(2_000)), call).await.ok(),
                _ => Some(call.await),
            };
            let Some(answer) = answer else { continue };
            // Among racers for one key it may be that nobody can tell who holds it.
            let Ok(held) = answer else { break };
            let held = held.map_or_else(|| value.clone(), |held| String::from_utf8(held.to_vec()).unwrap());
            say(&json!({ "told": value, "held": held, "at": now() }));
            if held == value && numbers.below(3) > 0 {
                say(&json!({ "release": value, "at": now() }));
                let released = once.release(&key, value.as_bytes()).await.unwrap();
                say(&json!({ "released": value, "whether": released, "at": now() }));
            }
            break;
        }
    }
}

/// What the other test starts and kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_claims() {
    work(async |path| open(&path).await, claim).await;
}

/// A claim, which each value makes one of.
#[derive(Debug)]
struct Claim {
    key: String,
    ttl: i64,
    /// When it was sent first and last, and when it was told that its value holds the key.
    first: i64,
    last: i64,
    won: Option<i64>,
    /// When its release was asked for, and when that was answered.
    release: Option<i64>,
    released: Option<i64>,
    /// The end of the process that sent it.
    end: i64,
}

impl Claim {
    /// The time in which it held the key for certain.
    fn held(&self) -> Option<(i64, i64)> {
        let until = (self.first + self.ttl).min(self.release.unwrap_or(i64::MAX));
        self.won.filter(|from| *from < until).map(|from| (from, until))
    }

    /// When it can have held the key at the latest.
    fn latest(&self) -> i64 {
        let sent = self.won.unwrap_or(self.end).max(self.last);
        (sent + self.ttl).min(self.released.unwrap_or(i64::MAX))
    }
}

/// What a task was told: who held the key at some time between two.
#[derive(Debug)]
struct Sight {
    key: String,
    held: String,
    from: i64,
    until: i64,
}

#[derive(Debug, Default)]
struct History {
    claims: BTreeMap<String, Claim>,
    sights: Vec<Sight>,
}

impl History {
    fn include(&mut self, lines: &[Value]) {
        let end = now();
        for line in lines {
            let text = |name: &str| line[name].as_str();
            let at = line["at"].as_i64().unwrap();
            if let Some(value) = text("claim") {
                let new = || Claim {
                    key: text("key").unwrap().to_owned(),
                    ttl: line["ttl"].as_i64().unwrap(),
                    first: at,
                    last: at,
                    won: None,
                    release: None,
                    released: None,
                    end,
                };
                self.claims.entry(value.to_owned()).or_insert_with(new).last = at;
            } else if let (Some(value), Some(held)) = (text("told"), text("held")) {
                let claim = self.claims.get_mut(value).unwrap();
                let (key, held) = (claim.key.clone(), held.to_owned());
                self.sights.push(Sight { key, from: claim.last, until: at, held: held.clone() });
                if held == value {
                    claim.won = Some(at);
                }
            } else if let Some(value) = text("release") {
                self.claims.get_mut(value).unwrap().release = Some(at);
            } else if let Some(value) = text("released") {
                let claim = self.claims.get_mut(value).unwrap();
                claim.released = Some(at);
                let early = at < claim.first + claim.ttl;
                assert!(!early || line["whether"] == true, "{value} held the key, and could not release it");
            }
        }
    }

    fn judge(&self) {
        let keys: BTreeSet<&str> = self.claims.values().map(|claim| &*claim.key).collect();
        for key in keys {
            let mut held: Vec<(i64, i64, &str)> = self
                .claims
                .iter()
                .filter(|(_, claim)| claim.key == key)
                .filter_map(|(value, claim)| claim.held().map(|(from, until)| (from, until, &**value)))
                .collect();
            held.sort_unstable();
            for pair in held.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "{key} has two holders: {pair:?}");
            }
            for Sight { held: told, from, until, .. } in self.sights.iter().filter(|sight| sight.key == key) {
                let holder = self.claims.get(told).unwrap_or_else(|| panic!("nobody claimed with {told}"));
                let possible = holder.key == key && holder.first <= *until && holder.latest() >= *from;
                assert!(possible, "{told} was told to hold {key}, from {from} to {until}: {holder:?}");
                // Whoever holds it all the time is the one that is told.
                let other =
                    held.iter().find(|(begin, end, other)| begin <= from && until <= end && other != told);
                assert!(other.is_none(), "{told} was told to hold {key}, and {other:?} does");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_holder_at_most_whoever_is_killed() {
    println!("seed {}", seed());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("once.db");
    let mut history = History::default();
    for life in 0..LIVES {
        history.include(&live("once::a_life_of_claims", &path, life).await);
    }
    history.judge();
    let won = |claim: &&Claim| claim.won.is_some();
    assert!(history.claims.values().filter(won).count() as u64 > LIVES * TASKS);
    let holders: BTreeSet<&str> = history.sights.iter().map(|sight| &*sight.held).collect();
    let lost = history.claims.values().filter(|claim| claim.won.is_none()).count();
    assert!(lost > 0 && holders.len() > LIVES as usize, "{} holders", holders.len());
    // Those who hold for long hold it still.
    let once = open(path.to_str().unwrap()).await;
    for (value, claim) in &history.claims {
        if let Some((_, until)) = claim.held()
            && until > now() + 60_000_000
        {
            let held = once.claim(&claim.key, "judge".into(), SHORT).await.unwrap();
            assert_eq!(held.as_deref(), Some(value.as_bytes()), "{claim:?}");
        }
    }
}
