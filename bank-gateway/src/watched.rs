//! A value that is read from a source and kept up to date, such as a key set.
//!
//! | What happens | What is served |
//! | --- | --- |
//! | the last look is younger than [`Schedule::every`] | the value, without a wait |
//! | it is older | the value, while one look runs in the background |
//! | it is older than [`Schedule::overdue`], as after a quiet hour | nothing until one look has ended; all callers wait for the same one |
//! | the source fails, or takes longer than [`Schedule::patience`] | the value as it was; the error is logged when it changes, and shown by [`Watched::status`] |

mod files;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

pub(crate) use files::{FileError, Files, read};

/// What a look at a source returns: a new value, or `None` where it has not changed.
pub(crate) type Loaded<'a, T> = Pin<Box<dyn Future<Output = Result<Option<T>, String>> + Send + 'a>>;

/// Where a value comes from.
pub(crate) trait Source<T>: Send + Sync + 'static {
    /// Looks at the source. `current` is the value in force, parts of which the new one may share.
    fn load(&self, current: Arc<T>) -> Loaded<'_, T>;
}

/// How often a source is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// A look is due so long after the last one.
    pub(crate) every: Duration,
    /// After so long nobody is served what was not looked at again.
    pub(crate) overdue: Duration,
    /// [`Watched::ask_again`] asks at most once in this time.
    pub(crate) cool_down: Duration,
    /// How long the source may take.
    pub(crate) patience: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            overdue: Duration::from_secs(3),
            cool_down: Duration::from_secs(1),
            patience: Duration::from_secs(2),
        }
    }
}

/// How a watched value stands.
#[derive(Clone, Debug)]
pub(crate) struct WatchStatus {
    /// How long ago the source was looked at, whatever came of it. Zero where there is nothing to look at.
    pub(crate) checked: Duration,
    /// How long the value in force has been the same.
    pub(crate) unchanged: Duration,
    /// Why the last look failed; `None` where it did not.
    pub(crate) error: Option<String>,
}

/// A value with its source. Clones share both.
pub(crate) struct Watched<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    name: String,
    value: ArcSwap<T>,
    source: Option<Box<dyn Source<T>>>,
    schedule: Schedule,
    start: Instant,
    /// Milliseconds from `start` to the end of the last look.
    checked: AtomicU64,
    changed: AtomicU64,
    /// Held while the source is looked at; holds when it was last asked out of turn.
    looking: tokio::sync::Mutex<Option<Instant>>,
    in_background: AtomicBool,
    error: Mutex<Option<String>>,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// A value that never changes.
    pub(crate) fn fixed(value: T) -> Self {
        Self::build("fixed", value, None, Schedule::default())
    }

    /// A value that was just read from this source. `name` stands in log lines.
    pub(crate) fn new(name: impl Into<String>, value: T, source: impl Source<T>, schedule: Schedule) -> Self {
        Self::build(name, value, Some(Box::new(source)), schedule)
    }

    fn build(
        name: impl Into<String>,
        value: T,
        source: Option<Box<dyn Source<T>>>,
        schedule: Schedule,
    ) -> Self {
        let shared = Shared {
            name: name.into(),
            value: ArcSwap::from_pointee(value),
            source,
            schedule,
            start: Instant::now(),
            checked: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            looking: tokio::sync::Mutex::new(None),
            in_background: AtomicBool::new(false),
            error: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The value as it stands, however old.
    pub(crate) fn peek(&self) -> Arc<T> {
        self.shared.value.load_full()
    }

    /// Whether the value is young enough to be used. One that is due is looked at in the background.
    pub(crate) fn is_current(&self) -> bool {
        let Shared { source, schedule, checked, .. } = &*self.shared;
        if source.is_some() && self.shared.age_of(checked) >= schedule.overdue {
            return false;
        }
        self.look_soon();
        true
    }

    /// Looks at the source in the background, where a look is due.
    pub(crate) fn look_soon(&self) {
        let Shared { source, schedule, checked, .. } = &*self.shared;
        if source.is_none() || self.shared.age_of(checked) < schedule.every {
            return;
        }
        if !self.shared.in_background.swap(true, Ordering::AcqRel) {
            let shared = self.shared.clone();
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move {
                    shared.look(shared.schedule.every).await;
                    shared.in_background.store(false, Ordering::Release);
                })),
                Err(_) => shared.in_background.store(false, Ordering::Release),
            }
        }
    }

    /// Puts what somebody else read in force, or notes why it cannot be.
    pub(crate) fn put(&self, read: Result<T, String>) {
        self.shared.conclude(read.map(Some));
    }

    /// The value, after a look where one is overdue.
    pub(crate) async fn current(&self) -> Arc<T> {
        if !self.is_current() {
            self.shared.look(self.shared.schedule.every).await;
        }
        self.peek()
    }

    /// The value after a look out of turn, for a caller that misses something in it: at most one in a cool-down.
    pub(crate) async fn ask_again(&self) -> Arc<T> {
        if self.shared.source.is_some() {
            let mut asked = self.shared.looking.lock().await;
            if asked.is_none_or(|at| at.elapsed() >= self.shared.schedule.cool_down) {
                *asked = Some(Instant::now());
                self.shared.load().await;
            }
        }
        self.peek()
    }

    /// How it stands.
    pub(crate) fn status(&self) -> WatchStatus {
        let shared = &*self.shared;
        let checked = shared.source.as_ref().map(|_| shared.age_of(&shared.checked));
        WatchStatus {
            checked: checked.unwrap_or_default(),
            unchanged: shared.age_of(&shared.changed),
            error: shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn age_of(&self, at: &AtomicU64) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(at.load(Ordering::Acquire)))
    }

    /// Looks at the source, unless somebody has while this caller waited for its turn.
    async fn look(&self, at_most_every: Duration) {
        let _turn = self.looking.lock().await;
        if self.age_of(&self.checked) >= at_most_every {
            self.load().await;
        }
    }

    async fn load(&self) {
        let Some(source) = &self.source else { return };
        let loading = tokio::time::timeout(self.schedule.patience, source.load(self.value.load_full()));
        self.conclude(loading.await.unwrap_or_else(|_| Err("the source takes too long".to_owned())));
    }

    fn conclude(&self, outcome: Result<Option<T>, String>) {
        let error = match outcome {
            Ok(Some(value)) => {
                self.value.store(Arc::new(value));
                self.changed.store(self.millis(), Ordering::Release);
                tracing::info!(source = %self.name, "read again: it has changed");
                None
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        match &error {
            Some(error) if last.as_ref() != Some(error) => {
                tracing::warn!(source = %self.name, %error, "cannot be read; what is in force stays");
            }
            None if last.is_some() => tracing::info!(source = %self.name, "can be read again"),
            _ => {}
        }
        *last = error;
        drop(last);
        self.checked.store(self.millis(), Ordering::Release);
    }
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Clone, Default)]
    struct Counted {
        loads: Arc<AtomicUsize>,
        fails: Arc<AtomicBool>,
        hangs: Arc<AtomicBool>,
    }

    impl Source<usize> for Counted {
        fn load(&self, _: Arc<usize>) -> Loaded<'_, usize> {
            Box::pin(async {
                let loads = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
                if self.hangs.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
                if self.fails.load(Ordering::SeqCst) { Err("away".to_owned()) } else { Ok(Some(loads)) }
            })
        }
    }

    fn watched() -> (Watched<usize>, Counted) {
        let source = Counted::default();
        (Watched::new("test", 0, source.clone(), Schedule::default()), source)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_is_due_is_read_in_the_background_and_one_overdue_before_it_is_used() {
        let (watched, source) = watched();
        assert_eq!((*watched.current().await, source.loads.load(Ordering::SeqCst)), (0, 0));
        tokio::time::advance(Duration::from_millis(1_100)).await;
        assert_eq!(*watched.current().await, 0, "nobody waits");
        while *watched.peek() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(!watched.is_current());
        let all = futures(&watched, 20).await;
        assert!(all.iter().all(|value| *value == 2), "{all:?}");
        assert_eq!(source.loads.load(Ordering::SeqCst), 2, "one look for all");
    }

    async fn futures(watched: &Watched<usize>, count: usize) -> Vec<usize> {
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let watched = watched.clone();
                tokio::spawn(async move { *watched.current().await })
            })
            .collect();
        let mut values = Vec::new();
        for task in tasks {
            values.push(task.await.unwrap());
        }
        values
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_or_hangs_leaves_the_value_and_its_error_can_be_read() {
        let (watched, source) = watched();
        source.fails.store(true, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(*watched.current().await, 0);
        assert_eq!(watched.status().error.as_deref(), Some("away"));
        assert!(watched.status().unchanged >= Duration::from_secs(60));
        source.hangs.store(true, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(*watched.current().await, 0);
        assert_eq!(watched.status().error.as_deref(), Some("the source takes too long"));
        source.hangs.store(false, Ordering::SeqCst);
        source.fails.store(false, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((*watched.current().await, watched.status().error), (3, None));
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_turn_a_source_is_asked_once_in_a_cool_down() {
        let (watched, source) = watched();
        for _ in 0..10 {
            watched.ask_again().await;
        }
        assert_eq!(source.loads.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        watched.ask_again().await;
        assert_eq!(source.loads.load(Ordering::SeqCst), 2);
    }
}
