//! How far this service is behind the events that it follows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bank_stores::{Clock as _, SystemClock, Timestamp};

use crate::follow::Source;

/// The name under which it follows them.
const CONSUMER: &str = "partners";

/// How far this copy of the service is behind the events of each service that it follows. Clones are one and the same.
///
/// | Metric | What |
/// | --- | --- |
/// | `bank_events_handled_total` | events whose effect is stored; one that comes again counts again |
/// | `bank_events_lag_seconds` | how old the newest of them was when its effect was stored, by this clock and that of its writer |
/// | `bank_events_newest_timestamp_seconds` | when it was committed |
///
/// Each has the labels `consumer`, which is `partners`, and `source`. Nothing is told of a source before its first event. The lag does
/// not grow while nothing arrives: whether events have stopped is seen by the source's own commits, beside the timestamp.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<BTreeMap<Source, Handled>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Handled {
    events: u64,
    newest: Timestamp,
    lag: Duration,
}

impl Lag {
    /// The effects of these events, of the times at which they were committed, are stored now.
    pub(crate) fn handled(&self, source: Source, events: impl Iterator<Item = Timestamp>) {
        self.handled_at(SystemClock::new().now(), source, events);
    }

    fn handled_at(&self, now: Timestamp, source: Source, events: impl Iterator<Item = Timestamp>) {
        let (count, newest) = events.fold((0, None), |(count, newest), at| (count + 1, newest.max(Some(at))));
        let Some(newest) = newest else { return };
        let mut sources = self.lock();
        let handled = sources.entry(source).or_default();
        *handled = Handled { events: handled.events + count, newest, lag: now.since(newest) };
    }

    /// Everything in the OpenMetrics text format, without the `# EOF` at its end: more may follow.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// The lag behind each source, by its name.
    #[must_use]
    pub fn behind(&self) -> Vec<(&'static str, Duration)> {
        self.lock().iter().map(|(source, handled)| (source.name(), handled.lag)).collect()
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let sources = self.lock().clone();
        let labels = |source: &Source| format!("{{consumer=\"{CONSUMER}\",source=\"{}\"}}", source.name());
        writeln!(text, "# HELP bank_events_handled Events whose effect is stored.")?;
        writeln!(text, "# TYPE bank_events_handled counter")?;
        for (source, handled) in &sources {
            writeln!(text, "bank_events_handled_total{} {}", labels(source), handled.events)?;
        }
        writeln!(text, "# HELP bank_events_lag_seconds Age of the newest event when its effect was stored.")?;
        writeln!(text, "# TYPE bank_events_lag_seconds gauge")?;
        for (source, handled) in &sources {
            let (seconds, micros) = (handled.lag.as_secs(), handled.lag.subsec_micros());
            writeln!(text, "bank_events_lag_seconds{} {seconds}.{micros:06}", labels(source))?;
        }
        writeln!(
            text,
            "# HELP bank_events_newest_timestamp_seconds When the newest handled event was committed."
        )?;
        writeln!(text, "# TYPE bank_events_newest_timestamp_seconds gauge")?;
        for (source, handled) in &sources {
            writeln!(
                text,
                "bank_events_newest_timestamp_seconds{} {}",
                labels(source),
                handled.newest.seconds()
            )?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Source, Handled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_newest_event_of_each_source() {
        let (lag, second) = (Lag::default(), Timestamp::from_seconds);
        lag.handled_at(second(103), Source::Transactions, [second(100), second(101)].into_iter());
        lag.handled_at(second(104), Source::Transactions, std::iter::empty());
        lag.handled_at(second(90), Source::Accounts, [second(91)].into_iter());
        let text = lag.render();
        for line in [
            r#"bank_events_handled_total{consumer="partners",source="transactions"} 2"#,
            r#"bank_events_lag_seconds{consumer="partners",source="transactions"} 2.000000"#,
            r#"bank_events_newest_timestamp_seconds{consumer="partners",source="transactions"} 101"#,
            // Its writer's clock is ahead of this one.
            r#"bank_events_lag_seconds{consumer="partners",source="accounts"} 0.000000"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert_eq!(lag.behind(), [("transactions", Duration::from_secs(2)), ("accounts", Duration::ZERO)]);
    }

    #[test]
    fn nothing_is_told_before_the_first_event() {
        assert!(Lag::default().render().lines().all(|line| line.starts_with('#')));
    }
}
