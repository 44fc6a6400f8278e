//! What caches count, as lines for Prometheus.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::State;
use super::{ReadThrough, ReadThroughCounts};

/// The read-through caches of a process, each under its name. Clones are one and the same.
///
/// | Metric | What |
/// | --- | --- |
/// | `bank_cache_hits_total` | reads that a copy in this process answered |
/// | `bank_cache_negative_hits_total` | those of them that said that there is nothing |
/// | `bank_cache_misses_total` | reads that waited for a look-up |
/// | `bank_cache_shared_hits_total` | look-ups that the shared cache answered |
/// | `bank_cache_loads_total` | look-ups that asked the loader |
/// | `bank_cache_failures_total` | look-ups that failed |
/// | `bank_cache_shared_failures_total` | calls to the shared cache that failed |
/// | `bank_cache_entries` | copies in this process |
/// | `bank_cache_oldest_served_seconds` | how old the oldest value was that was served in the last five minutes |
/// | `bank_cache_staleness_bound_seconds` | how old a value may be at most |
///
/// Each has the label `cache`, the name that [`ReadThroughOptions::new`](super::ReadThroughOptions::new) was given.
///
/// ```
/// # #[cfg(feature = "embedded")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bank_stores::cache::{CacheMetrics, Load, Loaded, ReadThrough, ReadThroughOptions};
///
/// struct Shouted;
///
/// #[async_trait::async_trait]
/// impl Load<String> for Shouted {
///     async fn load(&self, key: &str) -> bank_stores::Result<Loaded<String>> {
///         Ok(Loaded::found(key.to_uppercase(), 1))
///     }
/// }
///
/// let words = ReadThrough::local(Shouted, ReadThroughOptions::new("words")?);
/// let metrics = CacheMetrics::new();
/// metrics.add(&words);
/// words.get_or_load("hello").await?;
/// words.get_or_load("hello").await?;
/// assert!(metrics.render().contains(r#"bank_cache_hits_total{cache="words"} 1"#));
/// # Ok::<(), bank_stores::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct CacheMetrics(Arc<RwLock<BTreeMap<String, Arc<dyn Counted>>>>);

/// A cache of whatever values.
trait Counted: Send + Sync {
    fn counts(&self) -> ReadThroughCounts;
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> Counted for State<V> {
    fn counts(&self) -> ReadThroughCounts {
        Self::counts(self)
    }
}

impl CacheMetrics {
    /// Of no cache yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cache, in the place of another one of the same name. Its copies stay in memory as long as this does.
    pub fn add<V>(&self, cache: &ReadThrough<V>)
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let name = cache.state.options.name.clone();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name, cache.state.clone());
    }

    /// What each cache counts, by its name.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, ReadThroughCounts)> {
        let caches = self.0.read().unwrap_or_else(PoisonError::into_inner);
        caches.iter().map(|(name, cache)| (name.clone(), cache.counts())).collect()
    }

    /// Everything in the OpenMetrics text format, without the `# EOF` at its end: more may follow.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write(&mut text, &self.counts());
        text
    }
}

impl fmt::Debug for CacheMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caches = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("CacheMetrics").field(&caches.keys()).finish()
    }
}

/// A name is of letters, digits, `_` and `-`: it breaks no line.
fn write(text: &mut String, caches: &[(String, ReadThroughCounts)]) -> fmt::Result {
    type Count = fn(&ReadThroughCounts) -> u64;
    let counters: [(&str, &str, Count); 7] = [
        ("hits", "Reads that a copy in this process answered.", |counts| counts.hits),
        ("negative_hits", "Hits that said that there is nothing.", |counts| counts.negative_hits),
        ("misses", "Reads that waited for a look-up.", |counts| counts.misses),
        ("shared_hits", "Look-ups that the shared cache answered.", |counts| counts.shared_hits),
        ("loads", "Look-ups that asked the loader.", |counts| counts.loads),
        ("failures", "Look-ups that failed.", |counts| counts.failures),
        ("shared_failures", "Calls to the shared cache that failed.", |counts| counts.shared_failures),
    ];
    for (metric, help, count) in counters {
        writeln!(text, "# HELP bank_cache_{metric} {help}\n# TYPE bank_cache_{metric} counter")?;
        for (name, counts) in caches {
            writeln!(text, "bank_cache_{metric}_total{{cache=\"{name}\"}} {}", count(counts))?;
        }
    }
    writeln!(text, "# HELP bank_cache_entries Copies in this process.\n# TYPE bank_cache_entries gauge")?;
    for (name, counts) in caches {
        writeln!(text, "bank_cache_entries{{cache=\"{name}\"}} {}", counts.copies)?;
    }
    type Age = fn(&ReadThroughCounts) -> Duration;
    let ages: [(&str, &str, Age); 2] = [
        ("oldest_served_seconds", "Age of the oldest value served in the last five minutes.", |counts| {
            counts.oldest_served
        }),
        ("staleness_bound_seconds", "Age that a served value has at most.", |counts| counts.staleness_bound),
    ];
    for (metric, help, age) in ages {
        writeln!(text, "# HELP bank_cache_{metric} {help}\n# TYPE bank_cache_{metric} gauge")?;
        for (name, counts) in caches {
            let age = age(counts);
            let (seconds, millis) = (age.as_secs(), age.subsec_millis());
            writeln!(text, "bank_cache_{metric}{{cache=\"{name}\"}} {seconds}.{millis:03}")?;
        }
    }
    Ok(())
}
