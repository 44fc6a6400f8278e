//! What [`Limits`] promise.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::{Numbers, seed, together};
use crate::ErrorKind;
use crate::limit::{Limits, NamedCharge, Rate, Verdict};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// So slow that nothing flows back while a test runs.
fn per_day(limit: u32) -> Rate {
    Rate::per_day(number(limit))
}

async fn take(limits: &dyn Limits, group: &str, charges: &[NamedCharge]) -> Vec<Verdict> {
    limits.take(group, charges).await.expect("it answers")
}

/// When one limit refuses, nothing is taken from the others.
pub async fn limits_are_taken_all_or_none(limits: &dyn Limits) {
    let both = [NamedCharge::new("wide", per_day(10), 1), NamedCharge::new("narrow", per_day(2), 1)];
    for left in [9, 8] {
        let verdicts = take(limits, "g", &both).await;
        assert!(verdicts.iter().all(|verdict| verdict.allowed));
        assert_eq!(verdicts[0].remaining, left);
    }
    for _ in 0..5 {
        let verdicts = take(limits, "g", &both).await;
        assert!(verdicts[0].allowed && !verdicts[1].allowed);
        assert!(verdicts[1].retry_after.is_some());
        assert_eq!((verdicts[0].remaining, verdicts[1].remaining), (8, 0));
    }
    let wide = take(limits, "g", &both[..1]).await;
    assert_eq!((wide[0].allowed, wide[0].remaining), (true, 7));
    let never = take(limits, "g", &[NamedCharge::new("small", per_day(2), 3)]).await;
    assert!(!never[0].allowed && never[0].retry_after.is_none());
}

/// Buckets of one name in two groups are two.
pub async fn groups_are_apart(limits: &dyn Limits) {
    let charge = [NamedCharge::new("k", per_day(1), 1)];
    // Names that would run together if they were put one behind the other.
    for (group, key) in [("a", "bc"), ("ab", "c"), ("a:b", "c"), ("a", "b:c"), ("{a}", "b"), ("a}", "{b")] {
        let charge = [NamedCharge::new(key, per_day(1), 1)];
        assert!(take(limits, group, &charge).await[0].allowed, "{group} {key}");
        assert!(!take(limits, group, &charge).await[0].allowed, "{group} {key}");
    }
    assert!(take(limits, "a", &charge).await[0].allowed);
}

/// However many take at once, never more gets through than the bucket holds and what flows back meanwhile; and that much does.
pub async fn a_limit_holds_among_racers(limits: &dyn Limits) {
    let charge = [NamedCharge::new("still", per_day(20), 1)];
    let taken = together((0..100).map(|_| take(limits, "g", &charge))).await;
    assert_eq!(taken.into_iter().filter(|taken| taken[0].allowed).count(), 20);
    let wide = NamedCharge::new("wide", Rate::per_second(number(100)).burst(number(50)), 1);
    let narrow = NamedCharge::new("narrow", Rate::per_second(number(50)).burst(number(10)), 1);
    let (start, charges) = (Instant::now(), [wide, narrow]);
    let racer = |_| async {
        let mut got = 0;
        while start.elapsed() < Duration::from_millis(500) {
            got += u32::from(take(limits, "flows", &charges).await.iter().all(|verdict| verdict.allowed));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        got
    };
    let got: u32 = together((0..32).map(racer)).await.into_iter().sum();
    let flowed = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX) / 20;
    // A step of the clock more at each end.
    assert!(got <= 10 + flowed + 2, "{got} got through, and {} may", 10 + flowed);
    assert!(got >= 10 + 15, "{got} got through, where some 35 may");
}

/// Sixteen charges are taken together, and a seventeenth is too much. What is wrong is refused and named.
pub async fn bad_charges_are_refused_and_named(limits: &dyn Limits) {
    let charge = |n: usize| NamedCharge::new(n.to_string(), per_day(5), 1);
    let many: Vec<_> = (0..17).map(charge).collect();
    assert_eq!(take(limits, "g", &many[..16]).await.len(), 16);
    let wide = Rate::per_day(NonZeroU32::MIN).burst(NonZeroU32::MAX);
    for (group, charges, field) in [
        ("g", &many[..], "charges"),
        ("g", &[], "charges"),
        ("", &many[..1], "group"),
        ("g", &[charge(1), charge(1)], "charges[1].key"),
        ("g", &[NamedCharge::new("", per_day(1), 1)], "charges[0].key"),
        ("g", &[charge(1), NamedCharge::new("w", wide, 1)], "charges[1].rate"),
    ] {
        let error = limits.take(group, charges).await.expect_err("it has to be refused");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)));
    }
    assert_eq!(take(limits, "g", &many[..1]).await[0].remaining, 3, "nothing was taken by what was refused");
}

/// Random charges match a model that counts; a cost of 0 only looks.
pub async fn random_charges_match_the_model(limits: &dyn Limits) {
    let seed = seed();
    let mut numbers = Numbers::new(seed);
    let mut left: HashMap<(u64, u64), u32> = HashMap::new();
    for step in 0..400 {
        let group = numbers.below(2);
        let first = numbers.below(4);
        let keys: Vec<u64> = (0..=numbers.below(3)).map(|offset| (first + offset) % 4).collect();
        let size = |key: u64| 20 + 10 * key as u32;
        let charges: Vec<NamedCharge> = keys
            .iter()
            .map(|key| NamedCharge::new(key.to_string(), per_day(size(*key)), numbers.below(4) as u32))
            .collect();
        let has: Vec<u32> = keys.iter().map(|key| *left.entry((group, *key)).or_insert(size(*key))).collect();
        let all = charges.iter().zip(&has).all(|(charge, has)| charge.cost <= *has);
        let verdicts = take(limits, &group.to_string(), &charges).await;
        for (((charge, key), has), verdict) in charges.iter().zip(&keys).zip(&has).zip(&verdicts) {
            let remaining = if all { has - charge.cost } else { *has };
            left.insert((group, *key), remaining);
            let told = (verdict.allowed, verdict.remaining, verdict.limit);
            assert_eq!(told, (charge.cost <= *has, remaining, size(*key)), "step {step} of seed {seed}");
        }
    }
}
