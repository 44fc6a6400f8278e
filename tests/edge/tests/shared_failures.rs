//! Failed logins that several gateways count together, and what becomes of them without their store.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::identity::password::{PasswordStore, StoredPassword};
use bank_gateway::identity::{Passwords, Throttle};
use bank_gateway::{Quota, Upstream};
use bank_sdk::Principal;
use bank_stores::limit::{Charge, LimitKey, LimitTable, NamedCharge, Verdict};
use bank_stores::{Error, ErrorKind, Limits};
use edge_tests::{Client, Edge, OneKey, Recorder, Request, identity_keys};
use serde_json::json;
use tokio::time::Instant;

/// A store of limits in which no time passes.
#[derive(Debug)]
struct Store {
    table: LimitTable,
    state: Mutex<State>,
    calls: AtomicUsize,
    groups: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Here,
    Away,
    Silent,
    /// It falls silent behind the first call.
    SilentNext,
}

impl Store {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: LimitTable::new(1_024),
            state: Mutex::new(State::Here),
            calls: AtomicUsize::new(0),
            groups: Mutex::default(),
        })
    }

    fn is(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Limits for Store {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>, Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.groups.lock().unwrap().insert(group.to_owned());
        let state = *self.state.lock().unwrap();
        match state {
            State::Here => {}
            State::Away => return Err(Error::new(ErrorKind::Unavailable, "the store is away")),
            State::Silent => std::future::pending().await,
            State::SilentNext => self.is(State::Silent),
        }
        let charges: Vec<Charge> = charges
            .iter()
            .map(|charge| Charge {
                key: LimitKey::of_parts("shared", &[group.as_bytes(), charge.key.as_bytes()]),
                rate: charge.rate,
                cost: charge.cost,
            })
            .collect();
        Ok(self.table.take(0, &charges).verdicts().to_vec())
    }
}

/// Two users with one password.
#[derive(Debug)]
struct Users(String);

#[async_trait]
impl PasswordStore for Users {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        let known = ["ann", "bea"].contains(&username);
        let principal = || Arc::new(Principal::customer(format!("cus_{username}")));
        Ok(known.then(|| StoredPassword::new(self.0.clone(), principal())))
    }
}

fn hash() -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    hasher.hash_password_with_salt(b"a long password", &[3; 16]).unwrap().to_string()
}

/// A gateway at which a wait outlasts every test.
fn gateway(store: &Arc<Store>, upstream: &Recorder) -> Edge {
    let long = Duration::from_secs(15 * 60);
    let throttle = Throttle::new().first_wait(long).longest_wait_elsewhere(long).returning_every(long);
    let passwords = Passwords::new(Arc::new(Users(hash()))).shared_failures(store.clone()).throttle(throttle);
    let url = upstream.url();
    Edge::start(move |builder| {
        builder
            .authenticate(OneKey::of([]))
            .passwords(passwords)
            .rate_limit("login", Quota::per_second(1_000))
            .rate_limit("registration", Quota::per_second(1_000))
            .service(identity::api(), Upstream::at([url]).identity_keys(identity_keys()))
    })
}

fn login(client: &Client, username: &str, password: &str) -> u16 {
    let body = json!({ "username": username, "password": password });
    client.send(Request::post("/v1/sessions").json(&body)).status
}

/// How many of so many wrong passwords are tried there, each from an address of its own.
fn wrong(edge: &Edge, username: &str, of: usize) -> usize {
    let statuses = (0..of).map(|_| login(&edge.client(), username, "wrong"));
    statuses.filter(|status| *status == 401).count()
}

#[test]
fn wrong_passwords_at_two_gateways_add_up_for_users_and_for_made_up_names() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (here, there) = (gateway(&store, &upstream), gateway(&store, &upstream));
    for username in ["ann", "nobody"] {
        assert_eq!((wrong(&here, username, 3), wrong(&there, username, 6)), (3, 2), "{username}");
        assert_eq!(wrong(&here, username, 3), 0, "{username}");
        let body = json!({ "username": username, "password": "a long password" });
        let refused = here.client().send(Request::post("/v1/sessions").json(&body));
        assert_eq!(refused.problem(429), "too_many_failures");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(wrong(&here, "bea", 3), 3, "each user has their own");
    let groups = store.groups.lock().unwrap();
    assert!(groups.iter().all(|group| !group.contains("ann") && !group.contains("nobody")), "{groups:?}");
}

#[test]
fn a_right_password_takes_nothing_and_its_network_does_not_wait_for_others() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (here, there) = (gateway(&store, &upstream), gateway(&store, &upstream));
    for _ in 0..20 {
        assert_eq!(login(&here.client(), "ann", "a long password"), 200);
    }
    let at_home = here.client();
    assert_eq!(login(&at_home, "ann", "a long password"), 200);
    assert_eq!(wrong(&there, "ann", 10), 5);
    store.calls();
    // The store is not even asked: what is failed here counts here.
    assert_eq!(login(&at_home, "ann", "wrong"), 401);
    assert_eq!(login(&at_home, "ann", "a long password"), 200);
    assert_eq!(store.calls(), 0);
    // Elsewhere it is as at one gateway.
    assert_eq!(login(&here.client(), "ann", "a long password"), 429);
}

#[test]
fn whoever_comes_back_has_the_try_that_is_set_apart_at_all_gateways_together() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (here, there) = (gateway(&store, &upstream), gateway(&store, &upstream));
    assert_eq!(wrong(&here, "ann", 5), 5);
    let come_back = |edge: &Edge| {
        let client = edge.client();
        assert_eq!(login(&client, "ann", "wrong"), 429);
        std::thread::sleep(Duration::from_millis(2_100));
        login(&client, "ann", "a long password")
    };
    assert_eq!(come_back(&there), 200, "her failures elsewhere keep her waiting for two seconds");
    assert_eq!(come_back(&here), 429, "it is taken for now, wherever one comes back");
}

#[test]
fn without_the_store_each_gateway_counts_by_itself_and_then_together_again() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (here, there) = (gateway(&store, &upstream), gateway(&store, &upstream));
    store.is(State::Away);
    assert_eq!((wrong(&here, "ann", 8), wrong(&there, "ann", 8)), (5, 5), "neither open nor closed");
    store.is(State::Here);
    assert_eq!((wrong(&here, "bea", 3), wrong(&there, "bea", 8)), (3, 2));
    // What this gateway has seen it remembers while the store is away.
    store.is(State::Away);
    assert_eq!((wrong(&here, "bea", 8), wrong(&there, "bea", 8)), (2, 3));
}

#[test]
fn a_login_waits_once_for_a_store_that_does_not_answer() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let edge = gateway(&store, &upstream);
    store.is(State::Silent);
    let start = Instant::now();
    assert_eq!(login(&edge.client(), "ann", "wrong"), 401);
    assert_eq!(store.calls(), 1, "it is not asked again for this login");
    assert!(start.elapsed() >= Duration::from_millis(250));
    store.is(State::SilentNext);
    assert_eq!(login(&edge.client(), "ann", "wrong"), 401);
    assert_eq!(store.calls(), 2);
    // What the store did not count, the gateway did.
    store.is(State::Away);
    assert_eq!(wrong(&edge, "ann", 8), 3);
}
