//! Each call of a store counted, timed and traced, without a word of what is in it.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::sync::Arc;
//!
//! use bank_stores::observed::{CallCounts, Observed};
//! use bank_stores::{Cache, connect};
//!
//! let counts = Arc::new(CallCounts::new());
//! let cache = Observed::new(connect::cache("memory:").await?, "sessions", counts.clone());
//! cache.get("ann").await?;
//! let line = r#"bank_store_calls_total{store="sessions",role="cache",call="get",outcome="ok"} 1"#;
//! assert!(counts.render().contains(line));
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! [`Observed`] is a store around another one, in every role that the other has. Each call tells an [`Observer`] once, when it ends,
//! and has a `tracing` span, `store_call`, at level debug. Both say the store's name, the role, the call, how it ended and nothing else:
//! no id, key, amount or text, and no message of an error.
//!
//! | Call | Outcomes | Time |
//! | --- | --- | --- |
//! | `execute`, `commit`, `write` | one for each command, transaction or document | one, of the whole call |
//! | every other | one | one |
//! | a call that its caller gave up | `cancelled`, as many as it would have had | one, until then |
//!
//! `Once::strength` asks no store, and is passed on as it is. Of a subscription the call that begins it is told, not its messages.
//!
//! A wrapper that seals values stands outside, `SealedItems` over `Observed` say, so that what is timed is the store.

mod calls;
mod counts;
mod outcomes;
mod roles;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use counts::CallCounts;
pub use outcomes::{Outcome, Outcomes};

use calls::Calls;

/// Is told of each call of a store when it ends.
///
/// ```
/// use bank_stores::observed::{Called, Observer};
///
/// #[derive(Debug)]
/// struct SlowCalls;
///
/// impl Observer for SlowCalls {
///     fn called(&self, call: &Called) {
///         if call.took.as_millis() > 100 {
///             eprintln!("{} {} {}: {}", call.store, call.role, call.call, call.outcomes);
///         }
///     }
/// }
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A call ended. It must neither wait nor panic: the caller's task runs it.
    fn called(&self, call: &Called);
}

/// A call that ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Called {
    /// The store's name, as [`Observed::new`] was given it.
    pub store: &'static str,
    /// The role: `ledger`, `items`, `outbox`, `documents`, `cache`, `limits` or `once`.
    pub role: &'static str,
    /// The name of the role's method, such as `execute`.
    pub call: &'static str,
    /// How it ended: one outcome, or one for each write of a call with many.
    pub outcomes: Outcomes,
    /// From the first poll to the end.
    pub took: Duration,
}

/// A store whose calls are told to an [`Observer`]; it has the roles of the store that it is around.
pub struct Observed<R: ?Sized> {
    inner: Arc<R>,
    calls: Calls,
}

impl<R: ?Sized> Observed<R> {
    /// Tells `observer` of each call of `inner`, under the name `store`. The name is a label of metrics: one for each store of a
    /// process.
    pub fn new(inner: Arc<R>, store: &'static str, observer: Arc<dyn Observer>) -> Self {
        Self { inner, calls: Calls::new(store, observer) }
    }

    /// The store itself: called on the `Arc`, its methods would be those of the role's implementation for `Arc`.
    fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: ?Sized> Clone for Observed<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), calls: self.calls.clone() }
    }
}

impl<R: fmt::Debug + ?Sized> fmt::Debug for Observed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.calls.store()).field(&&*self.inner).finish()
    }
}
