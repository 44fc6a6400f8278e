//! Counters and histograms of calls, as lines for Prometheus.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::{Called, Observer, Outcome};

/// The upper bounds of the histogram's buckets, and how each is written, in seconds.
const BOUNDS: [(Duration, &str); 14] = [
    (Duration::from_micros(50), "0.00005"),
    (Duration::from_micros(100), "0.0001"),
    (Duration::from_micros(250), "0.00025"),
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_secs(1), "1.0"),
    (Duration::from_secs(10), "10.0"),
];

/// An [`Observer`] that counts calls and their times, for all stores of a process.
///
/// | Metric | Labels | What |
/// | --- | --- | --- |
/// | `bank_store_calls_total` | store, role, call, outcome | calls; each write of a call with many counts |
/// | `bank_store_call_seconds` | store, role, call | histogram of the time of calls |
///
/// Every label is one of a few words that stand in the program, so that the number of series is bounded.
#[derive(Default)]
pub struct CallCounts {
    series: RwLock<BTreeMap<Labels, Arc<Series>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    store: &'static str,
    role: &'static str,
    call: &'static str,
}

#[derive(Default)]
struct Series {
    /// By the outcome's index.
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// One for each bound, and one for what takes longer; not cumulative.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl CallCounts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in the OpenMetrics text format, without the `# EOF` at its end: more may follow.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let series: Vec<_> = self.read().iter().map(|(labels, series)| (*labels, series.clone())).collect();
        writeln!(text, "# HELP bank_store_calls Calls of stores; each write of a call with many counts.")?;
        writeln!(text, "# TYPE bank_store_calls counter")?;
        for (labels, series) in &series {
            series.write_outcomes(text, labels)?;
        }
        writeln!(text, "# HELP bank_store_call_seconds Time of calls of stores.")?;
        writeln!(text, "# TYPE bank_store_call_seconds histogram")?;
        for (labels, series) in &series {
            series.write_times(text, labels)?;
        }
        Ok(())
    }

    fn series(&self, labels: Labels) -> Arc<Series> {
        if let Some(series) = self.read().get(&labels) {
            return series.clone();
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        series.entry(labels).or_default().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Labels, Arc<Series>>> {
        self.series.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for CallCounts {
    fn called(&self, call: &Called) {
        self.series(Labels { store: call.store, role: call.role, call: call.call }).add(call);
    }
}

impl Series {
    fn add(&self, call: &Called) {
        for (outcome, times) in call.outcomes.iter() {
            self.outcomes[outcome.index()].fetch_add(times, Ordering::Relaxed);
        }
        let bucket = BOUNDS.iter().position(|(bound, _)| call.took <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(call.took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The outcomes that there were, and `ok` in any case: a rate needs a zero to begin with.
    fn write_outcomes(&self, text: &mut String, labels: &Labels) -> fmt::Result {
        for outcome in Outcome::ALL {
            let times = self.outcomes[outcome.index()].load(Ordering::Relaxed);
            if times > 0 || outcome == Outcome::Ok {
                writeln!(text, "bank_store_calls_total{{{labels},outcome=\"{outcome}\"}} {times}")?;
            }
        }
        Ok(())
    }

    fn write_times(&self, text: &mut String, labels: &Labels) -> fmt::Result {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            writeln!(text, "bank_store_call_seconds_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        let (seconds, nanos) = (sum.as_secs(), sum.subsec_nanos());
        writeln!(text, "bank_store_call_seconds_sum{{{labels}}} {seconds}.{nanos:09}")?;
        writeln!(text, "bank_store_call_seconds_count{{{labels}}} {count}")
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Roles and calls are names of ours; a store's name is the caller's.
        f.write_str("store=\"")?;
        for letter in self.store.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}")?,
                '\n' => f.write_str("\\n")?,
                letter => f.write_char(letter)?,
            }
        }
        write!(f, "\",role=\"{}\",call=\"{}\"", self.role, self.call)
    }
}

impl fmt::Debug for CallCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallCounts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Outcomes;
    use crate::{Error, ErrorKind, Result};

    fn called(store: &'static str, results: &[Result<()>], took: Duration) -> Called {
        Called { store, role: "items", call: "commit", outcomes: Outcomes::of(results), took }
    }

    fn conflict() -> Result<()> {
        Err(Error::new(ErrorKind::Conflict, "order 17 was changed"))
    }

    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no `{line}` in\n{text}");
        }
    }

    #[test]
    fn outcomes_count_one_by_one_and_the_call_once() {
        let counts = CallCounts::new();
        counts.called(&called("orders", &[Ok(()), conflict(), Ok(())], Duration::from_millis(3)));
        counts.called(&called("orders", &[Ok(())], Duration::from_micros(50)));
        let text = counts.render();
        assert_lines(
            &text,
            &[
                "# TYPE bank_store_calls counter",
                r#"bank_store_calls_total{store="orders",role="items",call="commit",outcome="ok"} 3"#,
                r#"bank_store_calls_total{store="orders",role="items",call="commit",outcome="conflict"} 1"#,
                "# TYPE bank_store_call_seconds histogram",
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="0.00005"} 1"#,
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="0.0025"} 1"#,
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="0.005"} 2"#,
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="+Inf"} 2"#,
                r#"bank_store_call_seconds_sum{store="orders",role="items",call="commit"} 0.003050000"#,
                r#"bank_store_call_seconds_count{store="orders",role="items",call="commit"} 2"#,
            ],
        );
        assert!(!text.contains("17") && !text.contains("unavailable"), "{text}");
    }

    #[test]
    fn stores_stand_apart_under_one_type_line() {
        let counts = CallCounts::new();
        for store in ["orders", "users", "orders"] {
            counts.called(&called(store, &[Ok(())], Duration::from_secs(60)));
        }
        let text = counts.render();
        assert_lines(
            &text,
            &[
                r#"bank_store_calls_total{store="orders",role="items",call="commit",outcome="ok"} 2"#,
                r#"bank_store_calls_total{store="users",role="items",call="commit",outcome="ok"} 1"#,
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="10.0"} 0"#,
                r#"bank_store_call_seconds_bucket{store="orders",role="items",call="commit",le="+Inf"} 2"#,
            ],
        );
        assert_eq!(text.matches("# TYPE").count(), 2);
    }

    #[test]
    fn a_call_without_a_success_shows_a_zero() {
        let counts = CallCounts::new();
        counts.called(&called("orders", &[conflict()], Duration::ZERO));
        let zero = r#"bank_store_calls_total{store="orders",role="items",call="commit",outcome="ok"} 0"#;
        assert_lines(&counts.render(), &[zero]);
    }

    #[test]
    fn a_name_breaks_no_line() {
        let counts = CallCounts::new();
        counts.called(&called("a\"b\\c\nd", &[Ok(())], Duration::ZERO));
        assert!(counts.render().contains(r#"store="a\"b\\c\nd",role="#));
    }

    #[test]
    fn the_bounds_are_written_as_they_are_and_rise() {
        for (bound, text) in BOUNDS {
            assert_eq!(bound, Duration::from_secs_f64(text.parse().unwrap()));
        }
        assert!(BOUNDS.is_sorted());
    }
}
