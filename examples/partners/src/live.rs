//! Live events: what is written to a customer's notifications, streamed as it is written.

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::{EventSender, ReaderGone, event_stream};
use bank_sdk::{Call, Empty, Outage, Problem, Reply};
use bank_stores::documents::{Filter, Find};
use bank_stores::{Direction, Error, PageRequest};
use http::{HeaderMap, HeaderName};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, interval};

use crate::note::{Note, Numbered};
use crate::service::{NOTIFICATIONS, Partners};
use crate::wire::Notification;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often the store is looked at without having been woken: another copy of this service may have written.
const LOOK: Duration = Duration::from_secs(1);
/// How often an event keeps the connection open, and shows its reader that it is. A comment would not reach a page's script.
const PING: Duration = Duration::from_secs(10);
/// A stream ends after this and is opened again by its reader, whose credential is then checked again.
const LONGEST: Duration = Duration::from_secs(600);
/// How many are read at once.
const BATCH: u32 = 100;

/// What the log says while live events have to wait.
static LIVE: Outage = Outage::new("the store of live events");

#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Gone(#[from] ReaderGone),
    #[error(transparent)]
    Store(#[from] Error),
    #[error("a notification cannot be serialized")]
    Json(#[from] serde_json::Error),
}

impl Partners {
    /// From the notification after `Last-Event-ID`, or from now on.
    pub(crate) async fn live(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Notification>, Problem> {
        let customer = call.subject()?.to_owned();
        let open = self.streams.enter(&customer)?;
        // Before looking, so that nothing in between is missed.
        let changed = self.changed.subscribe();
        let newest = self.stored_number(&customer).await?;
        // Nobody has read further than there is.
        let after = last_event_id(&call.headers).map_or(newest, |read| read.min(newest));
        let (events, response) = event_stream();
        tokio::spawn(async move {
            let _open = open;
            self.stream(&events, &customer, after, changed).await;
        });
        Ok(Reply::raw(response))
    }

    async fn stream(
        &self,
        events: &EventSender,
        customer: &str,
        mut after: u64,
        mut changed: Receiver<Arc<str>>,
    ) {
        let end = Instant::now() + LONGEST;
        let (mut look, mut pings) = (interval(LOOK), interval(PING));
        // The first one comes at once.
        pings.tick().await;
        if ping(events).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = events.closed() => return,
                () = tokio::time::sleep_until(end) => return,
                () = for_customer(&mut changed, customer) => {}
                _ = look.tick() => {}
                _ = pings.tick() => if ping(events).await.is_err() { return },
            }
            match self.send_after(events, customer, &mut after).await {
                Ok(()) => LIVE.recovered(),
                Err(Interrupted::Gone(_)) => return,
                Err(error) => LIVE.failed(&error),
            }
        }
    }

    /// Sends what is there after `after`, and moves it on with each that was sent.
    async fn send_after(
        &self,
        events: &EventSender,
        customer: &str,
        after: &mut u64,
    ) -> Result<(), Interrupted> {
        loop {
            let newer =
                Filter::Range { field: "number".to_owned(), from: Some((*after + 1).into()), to: None };
            let find = Find::all()
                .filter(Filter::eq("customer", customer).and(newer))
                .sort("number", Direction::Forward)
                .page(PageRequest::first(BATCH));
            let page = self.documents.find(NOTIFICATIONS, &find).await?;
            let read_to = if page.items.is_empty() { 0 } else { self.read_to(customer).await? };
            for document in page.items {
                let number = document.read::<Numbered>()?.number;
                let Some(note) = Note::read(&document) else {
                    *after = number;
                    continue;
                };
                if let Some(transfer) = &note.transfer {
                    // Without an id: a reader who breaks off here is sent both again.
                    events.send(None, "transfer", &serde_json::to_string(transfer)?).await?;
                }
                let data = serde_json::to_string(&note.notification(document.id, read_to))?;
                events.send(Some(&number.to_string()), "notification", &data).await?;
                *after = number;
            }
            if page.next.is_none() {
                return Ok(());
            }
        }
    }
}

/// Says nothing but that the stream is there.
async fn ping(events: &EventSender) -> Result<(), ReaderGone> {
    events.send(None, "ping", "{}").await
}

/// Completes when this customer may have something new. A stream that was too slow to hear of everybody looks as well.
async fn for_customer(changed: &mut Receiver<Arc<str>>, customer: &str) {
    loop {
        match changed.recv().await {
            Ok(other) if *other != *customer => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // The service is gone; the other ways to wake up end the stream.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// What is not one of our ids is as none at all.
fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.trim().parse().ok()
}
