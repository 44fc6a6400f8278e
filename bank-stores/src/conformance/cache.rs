//! What a [`Cache`] promises.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Numbers, seed, together};
use crate::Cache;
use crate::cache::Message;

const MINUTE: Duration = Duration::from_secs(60);

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn get(cache: &dyn Cache, key: &str) -> Option<(Bytes, u64)> {
    cache.get(key).await.expect("it is read").map(|held| (held.value, held.version))
}

/// A slow reader of an old state does not undo a newer one, whatever the size of versions.
pub async fn an_older_version_never_overwrites(cache: &dyn Cache) {
    for low in [1, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, u64::MAX - 2] {
        let key = low.to_string();
        assert!(cache.set(&key, value("two"), low + 1, MINUTE).await.expect("it is set"), "{low}");
        assert!(!cache.set(&key, value("one"), low, MINUTE).await.expect("it answers"), "{low}");
        assert_eq!(get(cache, &key).await, Some((value("two"), low + 1)));
        assert!(cache.set(&key, value("again"), low + 1, MINUTE).await.expect("it is set"), "{low}");
        assert!(cache.set(&key, value("three"), low + 2, MINUTE).await.expect("it is set"), "{low}");
        assert_eq!(get(cache, &key).await, Some((value("three"), low + 2)));
    }
    assert_eq!(get(cache, "other").await, None);
}

/// What was removed is gone, and an older state does not come back, however late it is set.
pub async fn what_was_removed_stays_so(cache: &dyn Cache) {
    cache.set("k", value("v"), 9, MINUTE).await.expect("it is set");
    for key in ["k", "never"] {
        cache.remove(key, 10, MINUTE).await.expect("it is removed");
        assert_eq!(get(cache, key).await, None);
        assert!(!cache.set(key, value("late"), 9, MINUTE).await.expect("it answers"));
        assert_eq!(get(cache, key).await, None);
        assert!(cache.set(key, value("new"), 11, MINUTE).await.expect("it is set"));
        // A removal that is late spares what is newer.
        cache.remove(key, 10, MINUTE).await.expect("it answers");
        assert_eq!(get(cache, key).await, Some((value("new"), 11)));
    }
}

/// A value is absent when its time is over, and so is the memory of a removal.
pub async fn values_end_with_their_time(cache: &dyn Cache) {
    let short = Duration::from_millis(40);
    cache.set("k", value("v"), 2, short).await.expect("it is set");
    cache.remove("r", 2, short).await.expect("it is removed");
    tokio::time::sleep(short * 2).await;
    assert_eq!(get(cache, "k").await, None);
    for key in ["k", "r"] {
        assert!(cache.set(key, value("v"), 1, MINUTE).await.expect("it is set"));
    }
}

/// Of racing writers the newest version stays.
pub async fn the_newest_of_racing_versions_stays(cache: &dyn Cache) {
    let set = |version: u64| cache.set("k", version.to_string().into(), version, MINUTE);
    for outcome in together((0..64).map(|n| set(n * 37 % 64 + 1))).await {
        outcome.expect("it answers");
    }
    assert_eq!(get(cache, "k").await, Some(("64".into(), 64)));
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

/// Random calls match a model, but for values that are gone: what is there is the newest that was set.
pub async fn random_calls_match_the_model(cache: &dyn Cache) {
    let seed = seed();
    let mut numbers = Numbers::new(seed);
    let mut newest: HashMap<String, (u64, Option<Bytes>)> = HashMap::new();
    for step in 0..400 {
        let (key, version) = (numbers.below(4).to_string(), numbers.below(6) + step / 40);
        let (known, _) = newest.get(&key).cloned().unwrap_or_default();
        let told = format!("step {step} of seed {seed}");
        match numbers.below(4) {
            0 => cache.remove(&key, version, MINUTE).await.expect("it answers"),
            1 => {
                if let Some(found) = get(cache, &key).await {
                    let held = newest.get(&key).cloned().unwrap_or_default();
                    assert_eq!((held.0, held.1), (found.1, Some(found.0)), "{told}");
                }
                continue;
            }
            _ => {
                let text = Bytes::from(step.to_string());
                let set = cache.set(&key, text.clone(), version, MINUTE).await.expect("it answers");
                assert!(set || version < known, "{told}");
                if set {
                    newest.insert(key, (version, Some(text)));
                }
                continue;
            }
        }
        if version >= known {
            newest.insert(key, (version, None));
        }
    }
}
