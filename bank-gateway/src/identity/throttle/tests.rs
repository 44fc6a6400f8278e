use super::*;

const ALICE: Account<'_> = Account::User("cus_alice");

/// A throttle and its time.
struct Bench {
    throttle: Arc<LoginThrottle>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(Throttle::new())
    }

    fn with(options: Throttle) -> Self {
        Self { throttle: LoginThrottle::new(options), now: Instant::now() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn enter(&self, account: Account<'_>, network: u32) -> Entrance {
        self.throttle.enter(account, Origin::Network(Network::test(network)), self.now)
    }

    /// Whether a wrong password was tried.
    fn wrong(&self, account: Account<'_>, network: u32) -> bool {
        match self.enter(account, network) {
            Entrance::Go(attempt) => attempt.fail(self.now),
            _ => return false,
        }
        true
    }

    /// Whether the right one was.
    fn right(&self, account: Account<'_>, network: u32) -> bool {
        match self.enter(account, network) {
            Entrance::Go(attempt) => attempt.succeed(self.now),
            _ => return false,
        }
        true
    }

    fn refused_for(&self, account: Account<'_>, network: u32) -> Option<Duration> {
        match self.enter(account, network) {
            Entrance::Refused(wait) => Some(wait),
            _ => None,
        }
    }
}

#[test]
fn a_network_waits_longer_after_each_failure_beyond_the_free_ones() {
    let mut bench = Bench::new();
    bench.right(ALICE, 1);
    for _ in 0..5 {
        assert!(bench.wrong(ALICE, 1));
    }
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        assert_eq!(bench.refused_for(ALICE, 1), Some(Duration::from_secs(wait)));
        bench.pass(Duration::from_secs(wait));
        assert!(bench.wrong(ALICE, 1));
    }
    bench.pass(FORGOTTEN * 2);
    for _ in 0..5 {
        assert!(bench.wrong(ALICE, 1), "a quarter of an hour forgives");
    }
}

#[test]
fn s33_no_name_is_taken_for_another_s_count() {
    let bench = Bench::new();
    bench.right(ALICE, 1);
    for name in ["cus_alice 0.0.0.1", "cus_alice", "cus_alice\u{0}", "Here(cus_alice)"] {
        for network in 0..10 {
            bench.wrong(Account::Name(name), network);
        }
    }
    for _ in 0..4 {
        assert!(bench.wrong(ALICE, 1) && bench.wrong(ALICE, 2), "her own failures are counted from nothing");
    }
    // Nor does a success of one clear another's.
    bench.wrong(ALICE, 2);
    bench.right(Account::User("cus_alice 0.0.0.2"), 2);
    assert!(!bench.wrong(ALICE, 3));
}

#[test]
fn strangers_elsewhere_do_not_keep_a_user_waiting_where_she_signed_in() {
    let mut bench = Bench::new();
    assert!(bench.right(ALICE, 1));
    for network in 100..2_000 {
        bench.wrong(ALICE, network);
        bench.pass(Duration::from_millis(100));
        assert!(bench.right(ALICE, 1));
    }
}

#[test]
fn a_success_forgives_its_own_network_and_no_other() {
    let mut bench = Bench::new();
    bench.right(ALICE, 1);
    // An attacker from ever new addresses, while she signs in every two seconds.
    let mut tried = 0;
    for tick in 0..850_u32 {
        tried += u32::from(bench.wrong(ALICE, 1_000 + tick));
        if tick % 20 == 0 {
            assert!(bench.right(ALICE, 1));
        }
        bench.pass(Duration::from_millis(100));
    }
    assert!((5..=20).contains(&tried), "{tried} guesses in 85 s");
    // What her own mistakes elsewhere added is taken back by her own success there.
    let bench = Bench::new();
    for _ in 0..4 {
        assert!(bench.wrong(ALICE, 1));
    }
    assert!(bench.right(ALICE, 1));
    for network in 2..7 {
        assert!(bench.wrong(ALICE, network));
    }
    assert!(!bench.wrong(ALICE, 7));
}

#[test]
fn under_attack_from_ever_new_addresses_the_owner_gets_in_from_a_network_that_is_new_to_her() {
    for account in [ALICE, Account::Name("nobody")] {
        let mut bench = Bench::new();
        let mut attacker = 1_000;
        let mut attack = |bench: &mut Bench, seconds: u32| {
            for _ in 0..seconds * 10 {
                attacker += 1;
                bench.wrong(account, attacker);
                bench.pass(Duration::from_millis(100));
            }
        };
        attack(&mut bench, 120);
        for new in 1..=5 {
            // She is told to wait, as everybody; whoever comes back has the next try that is set apart.
            let mut waited = Duration::ZERO;
            while let Some(wait) = bench.refused_for(account, new) {
                let seconds = u32::try_from(wait.as_secs() + 1).unwrap();
                waited += Duration::from_secs(u64::from(seconds));
                assert!(waited < Duration::from_secs(30), "network {new}");
                attack(&mut bench, seconds);
            }
        }
    }
}

#[test]
fn attackers_who_come_back_have_a_bounded_number_of_tries() {
    let mut bench = Bench::new();
    let mut tried = 0;
    for tick in 0..36_000_u32 {
        tried += u32::from(bench.wrong(ALICE, tick % 5_000));
        bench.pass(Duration::from_millis(100));
    }
    assert!(tried <= 5 + 3_600 / 8 + 3_600 / 15 + 10, "{tried} in an hour");
}

#[test]
fn a_known_device_waits_for_nobody_s_failures_but_its_own() {
    let mut bench = Bench::new();
    for network in 0..100 {
        for _ in 0..10 {
            bench.wrong(ALICE, network);
        }
    }
    let mut try_device = |device: &str, right: bool| {
        let entrance = bench.throttle.enter(ALICE, Origin::Device(device), bench.now);
        bench.now += Duration::from_millis(1);
        let Entrance::Go(attempt) = entrance else { return false };
        assert!(attempt.is_known);
        if right {
            attempt.succeed(bench.now)
        } else {
            attempt.fail(bench.now)
        }
        true
    };
    assert!(try_device("laptop", true));
    for _ in 0..5 {
        assert!(try_device("stolen", false));
    }
    assert!(!try_device("stolen", true) && try_device("laptop", true));
}

#[test]
fn what_goes_on_is_no_failure_and_leaves_nothing_when_it_is_given_back() {
    let bench = Bench::new();
    let mut going_on: Vec<_> = (0..5).map(|_| bench.enter(ALICE, 1)).collect();
    assert!(going_on.iter().all(|entrance| matches!(entrance, Entrance::Go(_))));
    let waiting = bench.enter(ALICE, 1);
    assert!(matches!(waiting, Entrance::Wait(_)), "as many at once as may fail");
    assert!(matches!(bench.enter(ALICE, 2), Entrance::Wait(_)), "from wherever");
    going_on.pop();
    assert!(matches!(bench.enter(ALICE, 1), Entrance::Go(_)));
    drop((going_on, waiting));
    assert!(bench.throttle.lock().going_on.is_empty());
    for _ in 0..5 {
        assert!(bench.wrong(ALICE, 1));
    }
    assert!(!bench.wrong(ALICE, 1));
}

#[test]
fn once_a_wait_is_over_one_try_decides_about_the_next() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.wrong(ALICE, 1);
    }
    bench.pass(Duration::from_secs(1));
    let first = bench.enter(ALICE, 1);
    assert!(matches!(first, Entrance::Go(_)));
    assert!(matches!(bench.enter(ALICE, 1), Entrance::Wait(_)));
    if let Entrance::Go(attempt) = first {
        attempt.fail(bench.now);
    }
    assert_eq!(bench.refused_for(ALICE, 1), Some(Duration::from_secs(2)));
}

#[test]
fn s33_a_flood_of_made_up_names_forgets_nobody_s_failures_nor_networks() {
    let mut bench = Bench::with(Throttle::new().users(1_024).names(1_024));
    let names: Vec<String> = (0..20_000).map(|number| format!("made up {number}")).collect();
    let users: Vec<String> = (0..50).map(|number| format!("cus_{number}")).collect();
    bench.right(ALICE, 1);
    for user in &users {
        for network in 10..15 {
            assert!(bench.wrong(Account::User(user), network));
        }
    }
    let started = std::hint::black_box(Instant::now());
    for name in &names {
        bench.wrong(Account::Name(name), 7);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "no scan");
    let tried = users.iter().filter(|user| bench.wrong(Account::User(user), 99)).count();
    assert_eq!(tried, 0, "their failures are not forgotten");
    // Her network is not either, also after attacks on more users than there is room for.
    let many: Vec<String> = (0..5_000).map(|number| format!("cus_x{number}")).collect();
    let tried_all = |user: &&String| (20..25).all(|network| bench.wrong(Account::User(user), network));
    let guessed: Vec<_> = many.iter().filter(tried_all).collect();
    assert!(guessed.len() > 300);
    for network in 200..210 {
        bench.wrong(ALICE, network);
    }
    assert!(bench.right(ALICE, 1));
    assert!(guessed.iter().all(|user| !bench.wrong(Account::User(user), 300)), "nobody is forgotten");
    let state = bench.throttle.lock();
    let sizes = [state.users.len(), state.names.len(), state.networks.len(), state.known.len()];
    drop(state);
    assert!(sizes.iter().all(|size| *size <= 2 * 1_024 + 1_024), "{sizes:?}");
    bench.pass(FORGOTTEN * 2);
    assert!(bench.wrong(Account::User(&users[0]), 99), "what is over gives way");
}
