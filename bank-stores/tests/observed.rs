//! Observed stores: each over an embedded one against its role's suite, and what its spans say.

#![cfg(all(feature = "observed", feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_stores::Cache as _;
use bank_stores::embedded::{
    MemoryCache, MemoryLimits, MemoryOnce, SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions,
};
use bank_stores::observed::{CallCounts, Observed};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn observed<R>(store: R) -> (Observed<R>, ()) {
    (Observed::new(Arc::new(store), "tested", Arc::new(CallCounts::new())), ())
}

mod ledger {
    use super::*;

    async fn fresh() -> (Observed<SqliteLedger>, ()) {
        observed(SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::ledger_conformance!(fresh());

    mod outbox {
        use super::*;

        bank_stores::ledger_outbox_conformance!(fresh());
    }
}

mod items {
    use super::*;

    async fn fresh() -> (Observed<SqliteItems>, ()) {
        observed(SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::items_conformance!(fresh());
}

mod documents {
    use super::*;

    async fn fresh() -> (Observed<SqliteDocuments>, ()) {
        observed(SqliteDocuments::open(SqliteOptions::temporary().unwrap()).await.unwrap())
    }

    bank_stores::documents_conformance!(fresh());
}

mod cache {
    use super::*;

    bank_stores::cache_conformance!(async { observed(MemoryCache::new()) });
}

mod limits {
    use super::*;

    bank_stores::limits_conformance!(async { observed(MemoryLimits::new()) });
}

mod claims {
    use super::*;

    bank_stores::once_conformance!(async { observed(MemoryOnce::new()) });
}

#[tokio::test]
async fn a_span_says_which_call_it_was_and_how_it_ended_and_no_value() {
    let spans = Spans::default();
    let _subscribed = tracing::subscriber::set_default(spans.clone());
    let (cache, ()) = observed(MemoryCache::new());
    cache.set("ann@example.com", "17.50".into(), 1, Duration::from_secs(60)).await.unwrap();
    cache.get("ann@example.com").await.unwrap().unwrap();
    let said = spans.0.lock().unwrap();
    let expected = [
        r#" store="tested" role="cache" call="set" outcome=ok"#,
        r#" store="tested" role="cache" call="get" outcome=ok"#,
    ];
    assert_eq!(*said, expected);
}

/// The fields of each span of a call, as text.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "store_call"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut text = String::new();
        attributes.record(&mut Fields(&mut text));
        let mut spans = self.0.lock().unwrap();
        spans.push(text);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()[span.into_u64() as usize - 1]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}
