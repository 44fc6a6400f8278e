//! What a read-through cache promises.

#![cfg(all(feature = "embedded", feature = "read-through"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::cache::{
    CacheMetrics, Cached, Load, Loaded, Message, Messages, ReadThrough, ReadThroughOptions, Subscription,
};
use bank_stores::embedded::MemoryCache;
use bank_stores::{Cache, Clock as _, Error, ErrorKind, ManualClock, Random, Result, SystemRandom};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

const SECOND: Duration = Duration::from_secs(1);

/// A store whose answer is set; a load waits for a permit.
#[derive(Clone)]
struct Store(Arc<Inside>);

struct Inside {
    answer: Mutex<Result<Loaded<String>>>,
    loads: AtomicU64,
    permits: Semaphore,
}

impl Store {
    fn of(value: &str, version: u64) -> Self {
        let store = Self(Arc::new(Inside {
            answer: Mutex::new(Ok(Loaded::nothing())),
            loads: AtomicU64::new(0),
            permits: Semaphore::new(1_000_000),
        }));
        store.holds(value, version);
        store
    }

    fn answers(&self, answer: Result<Loaded<String>>) {
        *self.0.answer.lock().unwrap() = answer;
    }

    fn holds(&self, value: &str, version: u64) {
        self.answers(Ok(Loaded::found(value.to_owned(), version)));
    }

    fn loads(&self) -> u64 {
        self.0.loads.load(Ordering::SeqCst)
    }

    /// Loads have their answer from now on, and wait with it.
    fn stall(&self) {
        self.0.permits.forget_permits(usize::MAX);
    }

    fn go_on(&self) {
        self.0.permits.add_permits(1_000_000);
    }

    async fn has_begun(&self, loads: u64) {
        until(|| self.loads() >= loads).await;
    }
}

#[async_trait]
impl Load<String> for Store {
    async fn load(&self, _key: &str) -> Result<Loaded<String>> {
        let answer = self.0.answer.lock().unwrap().clone();
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let _permit = self.0.permits.acquire().await.unwrap();
        answer
    }
}

/// A cache that is away when it is told to be, and whose subscribers may lose messages.
#[derive(Debug)]
struct Shared {
    cache: MemoryCache,
    away: AtomicBool,
    silent: AtomicBool,
    losing: AtomicBool,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Message>>>,
}

impl Shared {
    fn new(clock: &ManualClock) -> Arc<Self> {
        Arc::new(Self {
            cache: MemoryCache::new().clock(Arc::new(clock.clone())),
            away: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            losing: AtomicBool::new(false),
            subscribers: Mutex::default(),
        })
    }

    async fn check(&self) -> Result<()> {
        // Somebody else may run first, as over a network.
        tokio::task::yield_now().await;
        if self.silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the cache is away"));
        }
        Ok(())
    }

    fn tell(&self, message: &Message) {
        self.subscribers.lock().unwrap().retain(|subscriber| subscriber.send(message.clone()).is_ok());
    }

    fn subscribers(&self) -> usize {
        self.subscribers.lock().unwrap().len()
    }
}

#[async_trait]
impl Cache for Shared {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        self.check().await?;
        self.cache.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        self.check().await?;
        self.cache.set(key, value, version, ttl).await
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        self.check().await?;
        self.cache.remove(key, version, ttl).await
    }

    async fn publish(&self, _channel: &str, message: Bytes) -> Result<()> {
        self.check().await?;
        if !self.losing.load(Ordering::SeqCst) {
            self.tell(&Message::Message(message));
        }
        Ok(())
    }

    async fn subscribe(&self, _channel: &str) -> Result<Subscription> {
        self.check().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribers.lock().unwrap().push(sender);
        Ok(Subscription::new(Received(receiver)))
    }
}

struct Received(mpsc::UnboundedReceiver<Message>);

#[async_trait]
impl Messages for Received {
    async fn next(&mut self) -> Option<Message> {
        self.0.recv().await
    }
}

/// The byte that shortens times: 0 leaves them as they are.
#[derive(Debug)]
struct Always(u8);

impl Random for Always {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn options() -> ReadThroughOptions {
    ReadThroughOptions::new("names").unwrap()
}

/// Of another process, too: they share the cache.
async fn process(shared: &Arc<Shared>, store: &Store, clock: &ManualClock) -> ReadThrough<String> {
    process_with(shared, store, clock, options(), Always(0)).await
}

async fn process_with(
    shared: &Arc<Shared>,
    store: &Store,
    clock: &ManualClock,
    options: ReadThroughOptions,
    random: impl Random,
) -> ReadThrough<String> {
    let cache: Arc<dyn Cache> = shared.clone();
    let before = shared.subscribers();
    let clock = Arc::new(clock.clone());
    let names = ReadThrough::with_sources(cache, store.clone(), options, clock, Arc::new(random));
    if !shared.away.load(Ordering::SeqCst) {
        until(|| shared.subscribers() > before).await;
    }
    names
}

async fn until(holds: impl Fn() -> bool + Send + Sync) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it happens");
}

/// As it stands in the shared cache when it is loaded now.
fn shared_value(name: &str, clock: &ManualClock) -> Bytes {
    format!("v{} \"{name}\"", clock.now().micros()).into()
}

async fn get(names: &ReadThrough<String>) -> Option<String> {
    names.get_or_load("ann").await.expect("it is had").map(|name| (*name).clone())
}

fn is(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[tokio::test]
async fn a_copy_is_used_until_its_time_is_over_and_then_the_shared_value() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    for _ in 0..5 {
        assert_eq!(get(&names).await, is("Ann"));
    }
    assert_eq!((store.loads(), names.counts().hits, names.counts().misses), (1, 4, 1));
    // Another process finds it in the shared cache.
    let other = process(&shared, &store, &clock).await;
    assert_eq!(get(&other).await, is("Ann"));
    clock.advance(SECOND * 11);
    assert_eq!(get(&names).await, is("Ann"));
    assert_eq!((store.loads(), names.counts().shared_hits), (1, 1));
    clock.advance(SECOND * 600);
    assert_eq!(get(&names).await, is("Ann"));
    assert_eq!(store.loads(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_that_miss_one_key_cause_one_load() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let names = process(&Shared::new(&clock), &store, &clock).await;
    store.stall();
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let names = names.clone();
            tokio::spawn(async move { get(&names).await })
        })
        .collect();
    until(|| names.counts().misses == 1_000).await;
    // The one that began it goes away; the others do not notice.
    callers[0].abort();
    store.go_on();
    for caller in callers.into_iter().skip(1) {
        assert_eq!(caller.await.unwrap(), is("Ann"));
    }
    assert_eq!((store.loads(), names.counts().loads), (1, 1));
}

#[tokio::test]
async fn a_copy_close_to_its_end_is_refreshed_behind_the_callers() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    get(&names).await;
    shared.cache.remove("names/ann", 1, SECOND).await.unwrap();
    store.holds("Anna", 2);
    clock.advance(Duration::from_millis(7_400));
    assert_eq!(get(&names).await, is("Ann"));
    assert_eq!((store.loads(), names.counts().refreshes), (1, 0));
    clock.advance(Duration::from_millis(200));
    store.stall();
    for _ in 0..5 {
        assert_eq!(get(&names).await, is("Ann"));
    }
    store.has_begun(2).await;
    store.go_on();
    let refreshed = async {
        while get(&names).await == is("Ann") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SECOND * 30, refreshed).await.expect("it is refreshed");
    assert_eq!(get(&names).await, is("Anna"));
    assert_eq!((store.loads(), names.counts().refreshes), (2, 1));
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_copy_and_is_not_made_again_at_once() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    get(&names).await;
    shared.cache.remove("names/ann", 1, SECOND).await.unwrap();
    store.answers(Err(Error::new(ErrorKind::Unavailable, "the store is away")));
    clock.advance(Duration::from_millis(7_600));
    assert_eq!(get(&names).await, is("Ann"));
    until(|| names.counts().failures == 1).await;
    for _ in 0..5 {
        assert_eq!(get(&names).await, is("Ann"));
    }
    assert_eq!(store.loads(), 2);
    clock.advance(SECOND);
    assert_eq!(get(&names).await, is("Ann"));
    until(|| names.counts().failures == 2).await;
    // Its end stays where it was.
    clock.advance(SECOND * 2);
    assert_eq!(names.get_or_load("ann").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_for_a_shorter_time() {
    let (clock, store) = (ManualClock::default(), Store::of("", 0));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    store.answers(Ok(Loaded::nothing()));
    for _ in 0..3 {
        assert_eq!(get(&names).await, None);
    }
    assert_eq!(get(&process(&shared, &store, &clock).await).await, None);
    assert_eq!(store.loads(), 1);
    store.holds("Ann", 1);
    clock.advance(Duration::from_millis(5_001));
    assert_eq!(get(&names).await, is("Ann"));
}

#[tokio::test]
async fn an_error_is_told_to_all_who_wait_and_not_kept() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let names = process(&Shared::new(&clock), &store, &clock).await;
    store.answers(Err(Error::new(ErrorKind::Denied, "not for you")));
    let (one, two) = tokio::join!(names.get_or_load("ann"), names.get_or_load("ann"));
    for outcome in [one, two] {
        assert_eq!(outcome.unwrap_err().to_string(), "not for you");
    }
    assert_eq!(store.loads(), 1);
    store.holds("Ann", 1);
    assert_eq!(get(&names).await, is("Ann"));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_or_panics_holds_up_nobody_for_good() {
    struct Broken(AtomicU64);

    #[async_trait]
    impl Load<String> for Broken {
        async fn load(&self, _key: &str) -> Result<Loaded<String>> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => std::future::pending().await,
                1 => panic!("it is broken"),
                _ => Ok(Loaded::found("Ann".to_owned(), 1)),
            }
        }
    }

    let names = ReadThrough::new(Arc::new(MemoryCache::new()), Broken(AtomicU64::new(0)), options());
    for told in ["within 5000 ms", "without an answer"] {
        let error = names.get_or_load("ann").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(told), "{error}");
    }
    assert_eq!(get(&names).await, is("Ann"));
}

#[tokio::test]
async fn who_invalidates_sees_the_new_state_and_so_do_the_others_when_told() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let (here, there) = (process(&shared, &store, &clock).await, process(&shared, &store, &clock).await);
    assert_eq!((get(&here).await, get(&there).await), (is("Ann"), is("Ann")));
    store.holds("Anna", 2);
    here.invalidate("ann", 2).await.unwrap();
    assert_eq!(get(&here).await, is("Anna"));
    until(|| there.counts().invalidations == 1).await;
    assert_eq!(get(&there).await, is("Anna"));
    // A message that comes late spares what is newer.
    here.invalidate("ann", 2).await.unwrap();
    until(|| there.counts().invalidations == 2).await;
    let loads = store.loads();
    get(&there).await;
    assert_eq!((store.loads(), there.counts().hits), (loads, 1));
}

#[tokio::test]
async fn what_is_loaded_while_it_changes_is_not_kept() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    store.stall();
    let before = tokio::spawn({
        let names = names.clone();
        async move { get(&names).await }
    });
    store.has_begun(1).await;
    store.holds("Anna", 2);
    names.invalidate("ann", 2).await.unwrap();
    // It does not join the look-up that has read the old state.
    let after = tokio::spawn({
        let names = names.clone();
        async move { get(&names).await }
    });
    store.has_begun(2).await;
    store.go_on();
    assert_eq!((before.await.unwrap(), after.await.unwrap()), (is("Ann"), is("Anna")));
    assert_eq!((get(&names).await, store.loads()), (is("Anna"), 2));
    assert_eq!(get(&process(&shared, &store, &clock).await).await, is("Anna"));
}

#[tokio::test]
async fn where_messages_are_lost_all_copies_are_dropped_or_end_with_their_time() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let (here, there) = (process(&shared, &store, &clock).await, process(&shared, &store, &clock).await);
    assert_eq!((get(&here).await, get(&there).await), (is("Ann"), is("Ann")));
    shared.losing.store(true, Ordering::SeqCst);
    store.holds("Anna", 2);
    here.invalidate("ann", 2).await.unwrap();
    assert_eq!(get(&there).await, is("Ann"));
    shared.tell(&Message::Lost);
    until(|| there.counts().lost == 1).await;
    assert_eq!(get(&there).await, is("Anna"));
    // Without any word of it: until the copy's time is over.
    store.holds("Anne", 3);
    here.invalidate("ann", 3).await.unwrap();
    assert_eq!(get(&there).await, is("Anna"));
    clock.advance(SECOND * 10);
    assert_eq!(get(&there).await, is("Anne"));
}

#[tokio::test]
async fn without_the_shared_cache_the_loader_answers_and_copies_go_on() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    shared.away.store(true, Ordering::SeqCst);
    let names = process(&shared, &store, &clock).await;
    for _ in 0..3 {
        assert_eq!(get(&names).await, is("Ann"));
    }
    assert_eq!(store.loads(), 1);
    assert!(names.counts().shared_failures >= 1, "{:?}", names.counts());
    assert_eq!(names.invalidate("ann", 2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.holds("Anna", 2);
    assert_eq!(get(&names).await, is("Anna"));
    // It is subscribed to when it is back.
    shared.away.store(false, Ordering::SeqCst);
    until(|| shared.subscribers() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_cache_that_never_answers_holds_nobody_up_for_good() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    shared.silent.store(true, Ordering::SeqCst);
    assert_eq!(get(&names).await, is("Ann"));
    assert_eq!(names.invalidate("ann", 2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((get(&names).await, store.loads()), (is("Ann"), 2));
}

#[tokio::test]
async fn an_old_shared_value_is_not_believed_where_the_new_one_is_known_of() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    get(&names).await;
    // It could not be removed there.
    shared.away.store(true, Ordering::SeqCst);
    store.holds("Anna", 2);
    assert!(names.invalidate("ann", 2).await.is_err());
    shared.away.store(false, Ordering::SeqCst);
    assert_eq!(get(&names).await, is("Anna"));
    // Nor where a copy is newer than it: it went back, as it does when it fails over.
    shared.cache.remove("names/ann", u64::MAX, Duration::ZERO).await.unwrap();
    shared.cache.set("names/ann", shared_value("Ann", &clock), 1, SECOND * 60).await.unwrap();
    clock.advance(SECOND * 8);
    assert_eq!(get(&names).await, is("Anna"));
    until(|| names.counts().refreshes == 1 && names.counts().loads == 3).await;
    clock.advance(SECOND * 8);
    assert_eq!(get(&names).await, is("Anna"));
}

#[tokio::test]
async fn an_invalidation_is_told_though_its_caller_goes_away() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let (here, there) = (process(&shared, &store, &clock).await, process(&shared, &store, &clock).await);
    assert_eq!((get(&here).await, get(&there).await), (is("Ann"), is("Ann")));
    store.holds("Anna", 2);
    tokio::select! {
        biased;
        _ = here.invalidate("ann", 2) => panic!("it waits for the cache"),
        () = std::future::ready(()) => {}
    }
    until(|| there.counts().invalidations == 1).await;
    assert_eq!((get(&here).await, get(&there).await), (is("Anna"), is("Anna")));
}

#[tokio::test]
async fn a_copy_that_is_known_to_be_old_is_not_used_to_its_end() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    get(&names).await;
    // Another process has removed it, and its message was lost; a replica gives what was before.
    shared.cache.remove("names/ann", 2, SECOND * 60).await.unwrap();
    clock.advance(SECOND * 8);
    assert_eq!(get(&names).await, is("Ann"));
    store.has_begun(2).await;
    store.holds("Anna", 2);
    let renewed = async {
        while get(&names).await == is("Ann") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SECOND * 30, renewed).await.expect("it is not kept");
    assert_eq!(store.loads(), 3);
}

#[tokio::test]
async fn what_was_removed_is_kept_as_nothing_where_the_loader_says_since_when() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    get(&names).await;
    store.answers(Ok(Loaded::nothing_at(2)));
    names.invalidate("ann", 2).await.unwrap();
    assert_eq!((get(&names).await, get(&names).await, store.loads()), (None, None, 2));
}

#[tokio::test]
async fn a_shared_value_that_cannot_be_read_is_replaced() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 2));
    let shared = Shared::new(&clock);
    for foreign in ["", "v", "v1 {}", "v\"Ann\"", "x1 \"Ann\"", "n1 x"] {
        shared.cache.set("names/ann", foreign.into(), 1, SECOND * 60).await.unwrap();
        let names = process(&shared, &store, &clock).await;
        assert_eq!(get(&names).await, is("Ann"), "{foreign}");
        let value = shared.cache.get("names/ann").await.unwrap().unwrap().value;
        assert_eq!(value, shared_value("Ann", &clock));
        shared.cache.remove("names/ann", 2, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn a_state_older_than_a_known_one_is_not_kept() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let names = process(&shared, &store, &clock).await;
    shared.cache.remove("names/ann", 2, SECOND * 60).await.unwrap();
    // A replica gives it.
    assert_eq!(get(&names).await, is("Ann"));
    store.holds("Anna", 2);
    assert_eq!((get(&names).await, store.loads()), (is("Anna"), 2));
    assert_eq!((get(&names).await, store.loads()), (is("Anna"), 2));
}

#[tokio::test]
async fn what_was_loaded_together_does_not_end_together() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let options = options().local_ttl(SECOND * 100).unwrap();
    let long = process_with(&shared, &store, &clock, options.clone(), Always(0)).await;
    let short = process_with(&shared, &store, &clock, options, Always(255)).await;
    assert_eq!((get(&long).await, get(&short).await), (is("Ann"), is("Ann")));
    clock.advance(SECOND * 95);
    assert_eq!((get(&long).await, get(&short).await), (is("Ann"), is("Ann")));
    assert_eq!((long.counts().hits, short.counts().hits), (1, 0));
}

#[tokio::test]
async fn no_more_copies_are_kept_than_said() {
    let clock = ManualClock::default();
    let (shared, store) = (Shared::new(&clock), Store::of("Ann", 1));
    let options = options().local_capacity(100);
    let names = process_with(&shared, &store, &clock, options, SystemRandom::new()).await;
    for number in 0..2_000 {
        names.get_or_load(&number.to_string()).await.unwrap();
    }
    let copies = names.counts().copies;
    assert!((1..=200).contains(&copies), "{copies}");
}

#[tokio::test]
async fn a_served_value_is_as_old_as_its_load_whichever_process_loaded_it() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let here = process(&shared, &store, &clock).await;
    get(&here).await;
    assert_eq!(here.counts().oldest_served, Duration::ZERO);
    clock.advance(SECOND * 4);
    get(&here).await;
    assert_eq!(here.counts().oldest_served, SECOND * 4);
    // Another process finds it in the shared cache much later, and copies it for ten seconds.
    clock.advance(SECOND * 496);
    let there = process(&shared, &store, &clock).await;
    get(&there).await;
    assert_eq!((store.loads(), there.counts().oldest_served), (1, SECOND * 500));
    clock.advance(SECOND * 7);
    get(&there).await;
    assert_eq!(there.counts().oldest_served, SECOND * 507);
    // 600 s there, 10 s here, 5 s for the loader and a quarter of that to put it there.
    assert_eq!(there.counts().staleness_bound, Duration::from_millis(616_250));
    // It is not told for ever.
    clock.advance(SECOND * 400);
    get(&there).await;
    assert_eq!((store.loads(), there.counts().oldest_served), (2, Duration::ZERO));
}

#[tokio::test]
async fn the_clock_of_another_process_makes_no_value_older_than_the_bound_or_younger_than_new() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let shared = Shared::new(&clock);
    let (now, day) = (clock.now().micros(), 86_400_000_000);
    for (loaded_at, oldest) in [(now - day, 606_250), (now + day, 0)] {
        shared.cache.set("names/ann", format!("v{loaded_at} \"Ann\"").into(), 1, SECOND * 60).await.unwrap();
        let names = process(&shared, &store, &clock).await;
        assert_eq!(get(&names).await, is("Ann"));
        let counts = names.counts();
        assert_eq!((counts.shared_hits, counts.oldest_served), (1, Duration::from_millis(oldest)));
        assert!(counts.oldest_served <= counts.staleness_bound);
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_a_hit_and_no_failure() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let names = process(&Shared::new(&clock), &store, &clock).await;
    store.answers(Err(Error::new(ErrorKind::NotFound, "there is no such name")));
    assert_eq!(names.get_or_load("ann").await.unwrap_err().kind(), ErrorKind::NotFound);
    store.answers(Ok(Loaded::nothing()));
    assert_eq!((get(&names).await, get(&names).await), (None, None));
    let counts = names.counts();
    assert_eq!((counts.hits, counts.negative_hits, counts.failures), (1, 1, 0));
    assert_eq!((counts.misses, counts.loads, counts.copies), (2, 2, 1));
}

#[tokio::test]
async fn metrics_tell_each_cache_by_its_name_and_no_key_or_value() {
    let (clock, store) = (ManualClock::default(), Store::of("Ann", 1));
    let names = process(&Shared::new(&clock), &store, &clock).await;
    let alone = ReadThrough::local(store, ReadThroughOptions::new("aliases").unwrap());
    let metrics = CacheMetrics::new();
    metrics.add(&names);
    metrics.add(&alone);
    // The same cache once more: it stands there once.
    metrics.add(&names.clone());
    get(&names).await;
    clock.advance(Duration::from_millis(2_500));
    get(&names).await;
    let text = metrics.render();
    for line in [
        "# TYPE bank_cache_hits counter",
        r#"bank_cache_hits_total{cache="names"} 1"#,
        r#"bank_cache_hits_total{cache="aliases"} 0"#,
        r#"bank_cache_negative_hits_total{cache="names"} 0"#,
        r#"bank_cache_misses_total{cache="names"} 1"#,
        r#"bank_cache_shared_hits_total{cache="names"} 0"#,
        r#"bank_cache_loads_total{cache="names"} 1"#,
        r#"bank_cache_failures_total{cache="names"} 0"#,
        "# TYPE bank_cache_entries gauge",
        r#"bank_cache_entries{cache="names"} 1"#,
        r#"bank_cache_oldest_served_seconds{cache="names"} 2.500"#,
        r#"bank_cache_staleness_bound_seconds{cache="names"} 616.250"#,
        r#"bank_cache_staleness_bound_seconds{cache="aliases"} 10.000"#,
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "`{line}` in\n{text}");
    }
    assert!(!text.contains("ann") && !text.contains("Ann"), "{text}");
    assert_eq!(format!("{metrics:?}"), r#"CacheMetrics(["aliases", "names"])"#);
}

#[tokio::test]
async fn a_process_alone_keeps_copies_too() {
    let store = Store::of("Ann", 1);
    let names = ReadThrough::local(store.clone(), options());
    assert_eq!((get(&names).await, get(&names).await, store.loads()), (is("Ann"), is("Ann"), 1));
    store.holds("Anna", 2);
    names.invalidate("ann", 2).await.unwrap();
    assert_eq!(get(&names).await, is("Anna"));
}

#[tokio::test]
async fn the_last_clone_ends_the_subscription() {
    let clock = ManualClock::default();
    let (shared, store) = (Shared::new(&clock), Store::of("Ann", 1));
    let names = process(&shared, &store, &clock).await;
    let clone = names.clone();
    drop(names);
    get(&clone).await;
    drop(clone);
    until(|| {
        shared.tell(&Message::Lost);
        shared.subscribers() == 0
    })
    .await;
}

#[test]
fn a_wrong_setting_is_named() {
    let named = |result: Result<ReadThroughOptions>| result.unwrap_err().field().map(ToOwned::to_owned);
    for name in ["", "a b", "a/b", &"a".repeat(65)] {
        assert_eq!(named(ReadThroughOptions::new(name)).as_deref(), Some("name"), "{name}");
    }
    for time in [Duration::ZERO, Duration::MAX] {
        assert_eq!(named(options().ttl(time)).as_deref(), Some("ttl"));
        assert_eq!(named(options().local_ttl(time)).as_deref(), Some("local_ttl"));
        assert_eq!(named(options().negative_ttl(time)).as_deref(), Some("negative_ttl"));
        assert_eq!(named(options().load_timeout(time)).as_deref(), Some("load_timeout"));
    }
}

#[test]
fn debug_shows_no_values() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let names = ReadThrough::new(Arc::new(MemoryCache::new()), Store::of("Ann", 1), options());
    runtime.block_on(get(&names));
    assert!(!format!("{names:?}").contains("Ann"));
    assert!(!format!("{:?}", Loaded::found("Ann".to_owned(), 1)).contains("Ann"));
}
