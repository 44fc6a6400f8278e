//! The notifications of a customer.

use std::sync::Arc;

use bank_sdk::{Call, Empty, Problem, page};
use bank_stores::documents::{Document, DocumentChange, DocumentWrite, Filter, Find};
use bank_stores::{Consistency, Direction, DocumentsExt, ErrorKind, PageRequest, Result};

use crate::note::{Mark, Note};
use crate::service::{INBOXES, NOTIFICATIONS, Partners};
use crate::wire::{Inbox, Notification, NotificationPath, PageOf, ReadBefore};

/// Another tab may mark the same one; after so many times something else is wrong.
const TRIES: usize = 4;

/// So many unread ones are counted.
const COUNTED: u32 = 100;

impl Partners {
    pub(crate) async fn list(self: Arc<Self>, call: Call<PageOf>) -> Result<Inbox, Problem> {
        let (PageOf { limit, after }, customer) = (&call.input, call.subject()?);
        let find = Find::all()
            .filter(Filter::eq("customer", customer))
            .sort("number", Direction::Backward)
            .page(page::newest_first(*limit, after.as_deref())?);
        let page = self.documents.find(NOTIFICATIONS, &find).await?;
        let read_to = self.read_to(customer).await?;
        let wire = |document: Document| Some(Note::read(&document)?.notification(document.id, read_to));
        Ok(Inbox {
            items: page.items.into_iter().filter_map(wire).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
            unread: self.unread(customer, read_to).await?,
        })
    }

    pub(crate) async fn read(self: Arc<Self>, call: Call<NotificationPath>) -> Result<Notification, Problem> {
        let (id, customer) = (&call.input.id, call.subject()?);
        for _ in 0..TRIES {
            let (document, mut note) = self.own(id, customer).await?;
            let read_to = self.read_to(customer).await?;
            if note.read || note.number <= read_to {
                return Ok(note.notification(document.id, read_to));
            }
            note.read = true;
            let change = DocumentChange::replace(&*document.id, document.version, &note)?;
            // Whoever marks it, it is read.
            let write = DocumentWrite::new(format!("{}:read", document.id), change);
            match self.documents.write_one(NOTIFICATIONS, write).await {
                Ok(_) => return Ok(note.notification(document.id, read_to)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    /// Marks everything up to one of them, by one number: however many they are, nothing else is written.
    pub(crate) async fn read_before(self: Arc<Self>, call: Call<ReadBefore>) -> Result<Empty, Problem> {
        let customer = call.subject()?;
        let (_, Note { number, .. }) = self.own(&call.input.before, customer).await?;
        let mark = Mark { customer: customer.to_owned(), read_to: number };
        for _ in 0..TRIES {
            let change = match self.mark(customer).await? {
                // Another tab has read further.
                Some((held, _)) if held.read_to >= number => return Ok(Empty {}),
                Some((_, version)) => DocumentChange::replace(customer, version, &mark)?,
                None => DocumentChange::insert(customer, &mark)?,
            };
            let write = DocumentWrite::new(format!("{customer}:{number}"), change);
            match self.documents.write_one(INBOXES, write).await {
                Ok(_) => return Ok(Empty {}),
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    /// The customer's notification of this id.
    async fn own(&self, id: &str, customer: &str) -> Result<(Document, Note), Problem> {
        if !is_id(id) {
            return Err(Problem::not_found());
        }
        let found = self.documents.get(NOTIFICATIONS, id, Consistency::Current).await?;
        let document = found.ok_or_else(Problem::not_found)?;
        let note = Note::read(&document).ok_or_else(Problem::not_found)?;
        if note.customer == customer { Ok((document, note)) } else { Err(Problem::not_found()) }
    }

    /// Up to which number the customer has read everything.
    pub(crate) async fn read_to(&self, customer: &str) -> Result<u64> {
        Ok(self.mark(customer).await?.map_or(0, |(mark, _)| mark.read_to))
    }

    async fn mark(&self, customer: &str) -> Result<Option<(Mark, u64)>> {
        match self.documents.get(INBOXES, customer, Consistency::Current).await? {
            Some(document) => {
                let mark = document.read().unwrap_or_else(|error| {
                    tracing::error!(%error, customer, "how far a customer has read cannot be read");
                    Mark { customer: customer.to_owned(), read_to: 0 }
                });
                Ok(Some((mark, document.version)))
            }
            None => Ok(None),
        }
    }

    /// How many the customer has not read, counted up to [`COUNTED`].
    async fn unread(&self, customer: &str, read_to: u64) -> Result<u32> {
        let newer = Filter::Range { field: "number".to_owned(), from: Some((read_to + 1).into()), to: None };
        let filter = Filter::eq("customer", customer).and(Filter::eq("read", false)).and(newer);
        // In the order of their unique key, so that no more unread ones are looked at than are counted.
        let mut find =
            Find::all().filter(filter).sort("number", Direction::Forward).page(PageRequest::first(COUNTED));
        let mut count = 0;
        loop {
            let page = self.documents.find(NOTIFICATIONS, &find).await?;
            count += u32::try_from(page.items.len()).unwrap_or(COUNTED);
            match page.next {
                // A page may be short while there are more.
                Some(next) if count < COUNTED => find.page = find.page.after(next),
                _ => return Ok(count.min(COUNTED)),
            }
        }
    }
}

/// What a client sends as an id is checked before the store is asked.
fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix("ntf_").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
