//! The notifications of a customer.

use std::sync::Arc;

use bank_sdk::{Call, List, Problem, page};
use bank_stores::documents::{DocumentChange, DocumentWrite, Filter, Find};
use bank_stores::{Consistency, Direction, DocumentsExt, ErrorKind, Result};

use crate::note::Note;
use crate::service::{NOTIFICATIONS, Partners};
use crate::wire::{Notification, NotificationPath, PageOf};

/// Another tab may mark the same one; after so many times something else is wrong.
const TRIES: usize = 4;

impl Partners {
    pub(crate) async fn list(self: Arc<Self>, call: Call<PageOf>) -> Result<List<Notification>, Problem> {
        let PageOf { limit, after } = &call.input;
        let find = Find::all()
            .filter(Filter::eq("customer", call.subject()?))
            .sort("number", Direction::Backward)
            .page(page::newest_first(*limit, after.as_deref())?);
        let page = self.documents.find(NOTIFICATIONS, &find).await?;
        let read = |document: bank_stores::documents::Document| {
            Ok(document.read::<Note>()?.notification(document.id))
        };
        let next = page.next.map(|cursor| cursor.to_string());
        Ok(List { items: page.items.into_iter().map(read).collect::<Result<_>>()?, next })
    }

    pub(crate) async fn read(self: Arc<Self>, call: Call<NotificationPath>) -> Result<Notification, Problem> {
        let (id, subject) = (&call.input.id, call.subject()?);
        if !is_id(id) {
            return Err(Problem::not_found());
        }
        for _ in 0..TRIES {
            let document = self
                .documents
                .get(NOTIFICATIONS, id, Consistency::Current)
                .await?
                .ok_or_else(Problem::not_found)?;
            let mut note: Note = document.read()?;
            if note.customer != subject {
                return Err(Problem::not_found());
            }
            if note.read {
                return Ok(note.notification(document.id));
            }
            note.read = true;
            let change = DocumentChange::replace(&*document.id, document.version, &note)?;
            // Whoever marks it, it is read.
            let write = DocumentWrite::new(format!("{}:read", document.id), change);
            match self.documents.write_one(NOTIFICATIONS, write).await {
                Ok(_) => return Ok(note.notification(document.id)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }
}

/// What a client sends as an id is checked before the store is asked.
fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix("ntf_").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
