//! Claims: whatever is killed, whatever answer gets lost, a key has one holder at most, and one that holds it for long is told to
//! everybody until it releases the key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bank_stores::{Clock as _, Once, SystemClock};
use serde_json::{Value, json};

use crate::lives::{Engine, History, TASKS, Task, is_away, opened, pause, say, work};

/// How many keys a life claims; half of them are those of the life before.
const KEYS: u64 = 8;
/// A claim ends by itself within a life, see `short`, or not within the test.
const LONG: Duration = Duration::from_secs(3_600);
/// By so many microseconds a server's clock may be read otherwise than ours, which is the same one: Redis counts milliseconds.
const GRAIN: i64 = 2_000;
/// For so long after its end what a process has sent may still take effect on a server.
const LATE: i64 = 5_000_000;

/// Long enough that it does not always end before its answer comes.
fn short<E: Engine>() -> Duration {
    Duration::from_millis(if E::IS_SERVER { 100 } else { 15 })
}

/// In microseconds.
fn now() -> i64 {
    SystemClock::new().now().micros()
}

async fn claim<E: Engine<Store: Once>>(once: Arc<E::Store>, mut task: Task) {
    let (life, _) = task.name.split_once('.').unwrap();
    let first = life.parse::<u64>().unwrap() * KEYS / 2;
    for step in 0_u64.. {
        let numbers = &mut task.numbers;
        let (key, value) = (format!("k{}", first + numbers.below(KEYS)), format!("{}.{step}", task.name));
        let ttl = if numbers.below(16) == 0 { LONG } else { short::<E>() };
        loop {
            say(&json!({ "claim": value, "key": key, "ttl": ttl.as_micros() as u64, "at": now() }));
            let call = once.claim(&key, value.clone().into(), ttl);
            // Now and then the answer gets lost, and the claim is sent again.
            let answer = match numbers.below(4) {
                0 => tokio::time::timeout(Duration::from_micros(numbers.below(2_000)), call).await.ok(),
                _ => Some(call.await),
            };
            let Some(answer) = answer else { continue };
            let held = match answer {
                Ok(held) => held,
                Err(error) => {
                    say(&json!({ "lost": value, "kind": error.kind().as_str(), "at": now() }));
                    // Among racers for one key it may be that nobody can tell who holds it.
                    assert!(is_away(&error), "{error:?}");
                    pause().await;
                    // On a server the answer got lost, or it is away: half of the claims are sent again.
                    if E::IS_SERVER && numbers.below(2) == 0 {
                        continue;
                    }
                    break;
                }
            };
            let held = held.map_or_else(|| value.clone(), |held| String::from_utf8(held.to_vec()).unwrap());
            say(&json!({ "told": value, "held": held, "at": now() }));
            if held == value && numbers.below(3) > 0 {
                say(&json!({ "release": value, "at": now() }));
                match once.release(&key, value.as_bytes()).await {
                    Ok(released) => say(&json!({ "released": value, "whether": released, "at": now() })),
                    Err(error) => {
                        assert!(is_away(&error), "{error:?}");
                        say(&json!({ "lost": value, "kind": error.kind().as_str(), "at": now() }));
                        pause().await;
                    }
                }
            }
            break;
        }
    }
}

/// In a child.
pub(crate) async fn live_on<E: Engine<Store: Once>>() {
    let open = async |place: String| opened::<E>(&place).await;
    work(open, claim::<E>).await;
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
    /// How often it was sent.
    sent: usize,
    is_on_server: bool,
}

impl Claim {
    /// The time in which it held the key for certain.
    fn held(&self) -> Option<(i64, i64)> {
        let until = self.ends_early().min(self.release.unwrap_or(i64::MAX));
        self.won.filter(|from| *from < until).map(|from| (from, until))
    }

    /// Until when it holds for certain, where it is not released.
    fn ends_early(&self) -> i64 {
        self.first + self.ttl - if self.is_on_server { GRAIN } else { 0 }
    }

    /// When it can have held the key at the latest.
    fn latest(&self) -> i64 {
        let sent = match self.won {
            // An earlier sending, whose answer was given up, may reach a server last, and behind the release.
            Some(_) if self.is_on_server && self.sent > 1 => self.end + LATE,
            Some(won) => won.max(self.last),
            None if self.is_on_server => self.end + LATE,
            None => self.end,
        };
        let released = self.released.filter(|_| !self.is_on_server || self.sent == 1);
        let grain = if self.is_on_server { GRAIN } else { 0 };
        (sent + self.ttl + grain).min(released.unwrap_or(i64::MAX))
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
struct Account {
    claims: BTreeMap<String, Claim>,
    sights: Vec<Sight>,
    is_on_server: bool,
}

impl Account {
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
                    sent: 0,
                    is_on_server: self.is_on_server,
                };
                let claim = self.claims.entry(value.to_owned()).or_insert_with(new);
                claim.last = at;
                claim.sent += 1;
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
                let early = at < claim.ends_early();
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

/// In the parent: lets children live, and judges what they said.
pub(crate) async fn judge<E: Engine<Store: Once>>(history: &History, child: &'static str) {
    println!("seed {}", history.seed);
    let mut account = Account { is_on_server: E::IS_SERVER, ..Account::default() };
    for life in 0..history.lives {
        account.include(&history.live(child, life).await);
    }
    account.judge();
    let won = |claim: &&Claim| claim.won.is_some();
    assert!(account.claims.values().filter(won).count() as u64 > history.lives * TASKS);
    let holders: BTreeSet<&str> = account.sights.iter().map(|sight| &*sight.held).collect();
    let lost = account.claims.values().filter(|claim| claim.won.is_none()).count();
    assert!(lost > 0 && holders.len() > history.lives as usize, "{} holders", holders.len());
    // Those who hold for long hold it still.
    let once = opened::<E>(&history.place).await;
    for (value, claim) in &account.claims {
        if let Some((_, until)) = claim.held()
            && until > now() + 60_000_000
        {
            let held = E::answer(|| once.claim(&claim.key, "judge".into(), short::<E>())).await;
            assert_eq!(held.as_deref(), Some(value.as_bytes()), "{claim:?}");
        }
    }
    E::close(&once).await;
}
