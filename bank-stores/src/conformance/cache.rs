//! What a [`Cache`] promises.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use super::together;
use crate::Cache;
use crate::cache::{Message, NamedCharge};
use crate::limit::Rate;

const MINUTE: Duration = Duration::from_secs(60);

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn rate(limit: u32) -> Rate {
    Rate::per_day(NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN))
}

/// A slow reader of an old state does not undo a newer one.
pub async fn an_older_version_never_overwrites(cache: &dyn Cache) {
    assert!(cache.set("k", value("two"), 2, MINUTE).await.expect("it is set"));
    assert!(!cache.set("k", value("one"), 1, MINUTE).await.expect("it answers"));
    let held = cache.get("k").await.expect("it is read").expect("it is there");
    assert_eq!((held.value, held.version), (value("two"), 2));
    assert!(cache.set("k", value("again"), 2, MINUTE).await.expect("it is set"));
    assert!(cache.set("k", value("three"), 3, MINUTE).await.expect("it is set"));
    assert_eq!(cache.get("k").await.expect("it is read").expect("it is there").value, value("three"));
    assert_eq!(cache.get("other").await.expect("it is read"), None);
}

/// Of many that set a once-only value at once, one does.
pub async fn a_once_only_value_is_set_by_one_racer(cache: &dyn Cache) {
    let set = together((0..30).map(|_| cache.set_if_absent("nonce", value("x"), MINUTE))).await;
    assert_eq!(set.into_iter().filter(|set| *set.as_ref().expect("it answers")).count(), 1);
    assert_eq!(cache.get("nonce").await.expect("it is read").expect("it is there").value, value("x"));
}

/// What was removed is gone, and may be set again with any version.
pub async fn what_was_removed_is_gone(cache: &dyn Cache) {
    cache.set("k", value("v"), 9, MINUTE).await.expect("it is set");
    cache.set_if_absent("once", value("v"), MINUTE).await.expect("it is set");
    for key in ["k", "once", "never"] {
        cache.remove(key).await.expect("it is removed");
        assert_eq!(cache.get(key).await.expect("it is read"), None);
    }
    assert!(cache.set("k", value("v"), 1, MINUTE).await.expect("it is set"));
    assert!(cache.set_if_absent("once", value("v"), MINUTE).await.expect("it is set"));
}

/// A value is absent when its time is over.
pub async fn values_end_with_their_time(cache: &dyn Cache) {
    let short = Duration::from_millis(40);
    cache.set("k", value("v"), 1, short).await.expect("it is set");
    assert!(cache.set_if_absent("once", value("v"), short).await.expect("it is set"));
    tokio::time::sleep(short * 2).await;
    assert_eq!(cache.get("k").await.expect("it is read"), None);
    assert_eq!(cache.get("once").await.expect("it is read"), None);
    assert!(cache.set_if_absent("once", value("v"), MINUTE).await.expect("it is set"));
}

/// When one limit refuses, nothing is taken from the others.
pub async fn limits_are_taken_all_or_none(cache: &dyn Cache) {
    let both = [NamedCharge::new("wide", rate(10), 1), NamedCharge::new("narrow", rate(2), 1)];
    for left in [9, 8] {
        let verdicts = cache.take(&both).await.expect("it answers");
        assert!(verdicts.iter().all(|verdict| verdict.allowed));
        assert_eq!(verdicts[0].remaining, left);
    }
    for _ in 0..5 {
        let verdicts = cache.take(&both).await.expect("it answers");
        assert!(verdicts[0].allowed && !verdicts[1].allowed);
        assert!(verdicts[1].retry_after.is_some());
        assert_eq!((verdicts[0].remaining, verdicts[1].remaining), (8, 0));
    }
    let wide = cache.take(&both[..1]).await.expect("it answers");
    assert_eq!((wide[0].allowed, wide[0].remaining), (true, 7));
    let never = cache.take(&[NamedCharge::new("small", rate(2), 3)]).await.expect("it answers");
    assert!(!never[0].allowed && never[0].retry_after.is_none());
}

/// However many take at once, the limit is given out and no more.
pub async fn a_limit_holds_among_racers(cache: &dyn Cache) {
    let charge = [NamedCharge::new("k", rate(20), 1)];
    let taken = together((0..100).map(|_| cache.take(&charge))).await;
    assert_eq!(taken.into_iter().filter(|taken| taken.as_ref().expect("it answers")[0].allowed).count(), 20);
}

/// Subscribers get what is published after they subscribed, in order, and of their channel only.
pub async fn messages_reach_who_subscribed(cache: &dyn Cache) {
    cache.publish("c", value("before")).await.expect("it is published");
    let mut one = cache.subscribe("c").await.expect("it subscribes");
    let mut two = cache.subscribe("c").await.expect("it subscribes");
    cache.publish("other", value("elsewhere")).await.expect("it is published");
    for text in ["a", "b"] {
        cache.publish("c", value(text)).await.expect("it is published");
    }
    for subscription in [&mut one, &mut two] {
        for text in ["a", "b"] {
            assert_eq!(subscription.next().await, Some(Message::Message(value(text))));
        }
    }
}
