//! Can this gateway serve? Its parts are asked side by side, at most four times a second, whoever wants to know.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a part may think.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(250);

/// Whether a part is able to serve; the reason otherwise.
#[derive(Clone)]
pub struct ReadyCheck(Arc<dyn Fn() -> Checking + Send + Sync>);

type Checking = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl ReadyCheck {
    /// Asks this function.
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }
}

impl fmt::Debug for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadyCheck")
    }
}

/// The parts, and what they said last.
#[derive(Debug)]
pub(crate) struct Readiness {
    checks: Vec<(String, ReadyCheck)>,
    last: Mutex<Option<(Instant, Reasons)>>,
    asking: tokio::sync::Mutex<()>,
}

/// Which parts cannot serve, and why.
pub(crate) type Reasons = Arc<[(String, String)]>;

impl Readiness {
    pub(crate) fn of(checks: Vec<(String, ReadyCheck)>) -> Arc<Self> {
        Arc::new(Self { checks, last: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// What the parts say now, or said a moment ago.
    pub(crate) async fn reasons(&self) -> Reasons {
        if let Some(reasons) = self.fresh() {
            return reasons;
        }
        let _asking = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(reasons) = self.fresh() {
            return reasons;
        }
        let mut asked = JoinSet::new();
        for (at, (_, check)) in self.checks.iter().enumerate() {
            let check = (check.0)();
            asked.spawn(async move { (at, tokio::time::timeout(PATIENCE, check).await) });
        }
        let mut reasons = Vec::new();
        while let Some(checked) = asked.join_next().await {
            let (at, said) = match checked {
                Ok((at, Ok(said))) => (at, said),
                Ok((at, Err(_))) => (at, Err("no answer within two seconds".to_owned())),
                Err(error) => {
                    tracing::error!(%error, "a readiness check panicked");
                    reasons.push((usize::MAX, "a check panicked".to_owned()));
                    continue;
                }
            };
            if let Err(reason) = said {
                reasons.push((at, reason));
            }
        }
        reasons.sort();
        let name =
            |at: usize| self.checks.get(at).map_or_else(|| "gateway".to_owned(), |(name, _)| name.clone());
        let reasons: Reasons = reasons.into_iter().map(|(at, reason)| (name(at), reason)).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.as_ref().is_some_and(|(_, reasons)| reasons.is_empty());
        match (&*reasons, before) {
            ([], false) if last.is_some() => tracing::info!("ready again"),
            ([_, ..], true) => tracing::warn!(?reasons, "not ready"),
            _ => {}
        }
        *last = Some((Instant::now(), reasons.clone()));
        reasons
    }

    fn fresh(&self) -> Option<Reasons> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, reasons)| reasons.clone())
    }
}
