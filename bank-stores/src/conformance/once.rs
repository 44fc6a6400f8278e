//! What [`Once`] promises.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Numbers, seed, together};
use crate::ErrorKind;
use crate::once::{MAX_KEY, MAX_VALUE, Once};

const MINUTE: Duration = Duration::from_secs(60);

async fn claim(once: &dyn Once, key: &str, value: &str) -> Option<Bytes> {
    once.claim(key, value.to_owned().into(), MINUTE).await.expect("it answers")
}

/// Of many that claim a key at once, one does, and the others are told its value.
pub async fn a_key_is_claimed_by_one_racer(once: &dyn Once) {
    let values: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let claims = together(values.iter().map(|value| claim(once, "nonce", value))).await;
    let winners: Vec<usize> = (0..30).filter(|n| claims[*n].is_none()).collect();
    assert_eq!(winners.len(), 1);
    let held = Bytes::from(values[winners[0]].clone());
    assert!(claims.into_iter().flatten().all(|told| told == held));
}

/// A claim that is sent again, since its reply was lost, finds its own value.
pub async fn a_claim_may_be_sent_again(once: &dyn Once) {
    assert_eq!(claim(once, "k", "mine").await, None);
    for _ in 0..2 {
        assert_eq!(claim(once, "k", "mine").await.expect("it is held"), "mine");
        assert_eq!(claim(once, "k", "other").await.expect("it is held"), "mine");
    }
    assert_eq!(claim(once, "other", "mine").await, None);
}

/// Only who holds a key releases it; then it is free.
pub async fn only_the_holder_releases(once: &dyn Once) {
    assert_eq!(claim(once, "k", "mine").await, None);
    for (value, released) in [("other", false), ("mine", true), ("mine", false)] {
        assert_eq!(once.release("k", value.as_bytes()).await.expect("it answers"), released, "{value}");
        assert_eq!(claim(once, "never", "x").await.is_some(), value != "other");
    }
    assert_eq!(claim(once, "k", "other").await, None);
}

/// A claim ends with its time, and not before.
pub async fn a_claim_ends_with_its_time(once: &dyn Once) {
    let short = Duration::from_millis(300);
    assert_eq!(once.claim("k", "a".into(), short).await.expect("it answers"), None);
    assert!(once.claim("k", "b".into(), short).await.expect("it answers").is_some());
    tokio::time::sleep(short * 2).await;
    assert!(!once.release("k", b"a").await.expect("it answers"));
    assert_eq!(claim(once, "k", "b").await, None);
}

/// What is wrong is refused and named.
pub async fn bad_claims_are_refused_and_named(once: &dyn Once) {
    let (long, large) = ("x".repeat(MAX_KEY + 1), "x".repeat(MAX_VALUE + 1));
    for (key, value, field) in [("", "v", "key"), (&*long, "v", "key"), ("k", &*large, "value")] {
        let error = once.claim(key, value.to_owned().into(), MINUTE).await.expect_err("it has to be refused");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)));
    }
    assert_eq!(claim(once, &long[1..], &large[1..]).await, None);
}

/// Random claims and releases match a model.
pub async fn random_claims_match_the_model(once: &dyn Once) {
    let seed = seed();
    let mut numbers = Numbers::new(seed);
    let mut held: HashMap<String, String> = HashMap::new();
    for step in 0..300 {
        let (key, value) = (numbers.below(4).to_string(), numbers.below(3).to_string());
        if numbers.below(3) == 0 {
            let released = held.get(&key) == Some(&value);
            if released {
                held.remove(&key);
            }
            let told = once.release(&key, value.as_bytes()).await.expect("it answers");
            assert_eq!(told, released, "step {step} of seed {seed}");
        } else {
            let told = claim(once, &key, &value).await;
            let expected = held.get(&key).map(|held| Bytes::from(held.clone()));
            assert_eq!(told, expected, "step {step} of seed {seed}");
            held.entry(key).or_insert(value);
        }
    }
}
