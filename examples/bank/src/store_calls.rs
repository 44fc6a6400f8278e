//! What the stores of this process are asked: counted, for the admin listener, and traced.

use std::sync::Arc;

use bank_stores::observed::{CallCounts, Observed};
use bank_stores::{Cache, Documents, Items, Ledger, Limits};

/// The counts of all stores of this process. Each store is named after the part whose data it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreCalls(Arc<CallCounts>);

impl StoreCalls {
    pub(crate) fn ledger(&self, store: &'static str, ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        Arc::new(self.observed(store, ledger))
    }

    pub(crate) fn items(&self, store: &'static str, items: Arc<dyn Items>) -> Arc<dyn Items> {
        Arc::new(self.observed(store, items))
    }

    pub(crate) fn documents(&self, store: &'static str, documents: Arc<dyn Documents>) -> Arc<dyn Documents> {
        Arc::new(self.observed(store, documents))
    }

    pub(crate) fn cache(&self, store: &'static str, cache: Arc<dyn Cache>) -> Arc<dyn Cache> {
        Arc::new(self.observed(store, cache))
    }

    pub(crate) fn limits(&self, store: &'static str, limits: Arc<dyn Limits>) -> Arc<dyn Limits> {
        Arc::new(self.observed(store, limits))
    }

    /// The lines for `/metrics`.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    fn observed<R: ?Sized>(&self, store: &'static str, inner: Arc<R>) -> Observed<R> {
        Observed::new(inner, store, self.0.clone())
    }
}
