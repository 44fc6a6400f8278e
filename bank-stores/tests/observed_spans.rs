//! What the spans of observed stores say. Alone in its program: a place in the code that another thread reaches first, one without a
//! subscriber, may be taken for one that nobody wants to hear of.

#![cfg(all(feature = "observed", feature = "embedded"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_stores::Cache as _;
use bank_stores::embedded::MemoryCache;
use bank_stores::observed::{CallCounts, Observed};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[tokio::test]
async fn a_span_says_which_call_it_was_and_how_it_ended_and_no_value() {
    let spans = Spans::default();
    let _subscribed = tracing::subscriber::set_default(spans.clone());
    let cache = Observed::new(Arc::new(MemoryCache::new()), "tested", Arc::new(CallCounts::new()));
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
