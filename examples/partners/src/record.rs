//! Writes notifications, each once, in an order without gaps.

use std::collections::{BTreeMap, VecDeque};

use bank_stores::documents::{DocumentChange, DocumentWrite, Filter, Find};
use bank_stores::{Direction, ErrorKind, PageRequest, Result};

use crate::note::{Note, Numbered};
use crate::service::{NOTIFICATIONS, PLACE, Partners};

impl Partners {
    /// Writes the notifications that are not written yet. Of each customer one is written at a time, after the one
    /// before it; customers do not wait for each other.
    pub(crate) async fn record(&self, notes: Vec<(String, Note)>) -> Result<()> {
        let mut waiting: BTreeMap<String, VecDeque<(String, Note)>> = BTreeMap::new();
        for (id, note) in notes {
            waiting.entry(note.customer.clone()).or_default().push_back((id, note));
        }
        while !waiting.is_empty() {
            let mut writes = Vec::with_capacity(waiting.len());
            for (customer, queue) in &waiting {
                let number = self.last_number(customer).await? + 1;
                if let Some((id, note)) = queue.front() {
                    writes.push((
                        customer.clone(),
                        number,
                        DocumentWrite::new(
                            format!("{id}:{number}"),
                            DocumentChange::insert(id, &Note { number, ..note.clone() })?,
                        ),
                    ));
                }
            }
            let (places, writes): (Vec<_>, Vec<_>) =
                writes.into_iter().map(|(customer, number, write)| ((customer, number), write)).unzip();
            let outcomes = self.documents.write(NOTIFICATIONS, writes).await;
            let mut failure = None;
            for ((customer, number), outcome) in places.into_iter().zip(outcomes) {
                match outcome {
                    Ok(_) => self.written(&customer, number),
                    // The same write as before, whose answer was lost. It says the same of its event, though not always in the
                    // same words: a name may be known now that was not known then.
                    Err(error) if error.kind() == ErrorKind::Conflict && error.field() == Some("write") => {
                        self.written(&customer, number);
                    }
                    // Another copy of this service has taken the number: try the next one.
                    Err(error)
                        if error.kind() == ErrorKind::AlreadyExists && error.field() == Some(PLACE) =>
                    {
                        self.last.invalidate(&customer);
                        continue;
                    }
                    // Written before, perhaps by another copy of this service just now: that has woken its own streams, and not those here.
                    // Its number is not used up.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => self.wake(&customer),
                    // The others of this batch were written all the same, and are noted.
                    Err(error) => {
                        failure.get_or_insert(error);
                        continue;
                    }
                }
                if let Some(queue) = waiting.get_mut(&customer) {
                    queue.pop_front();
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            waiting.retain(|_, queue| !queue.is_empty());
        }
        Ok(())
    }

    fn written(&self, customer: &str, number: u64) {
        self.last.insert(customer.to_owned(), number);
        self.wake(customer);
    }

    /// Has the customer's streams look for what is new.
    fn wake(&self, customer: &str) {
        // Nobody listening is no error.
        let _ = self.changed.send(customer.into());
    }

    /// The number of the customer's last notification. It may be an old one: then writing the next one fails.
    async fn last_number(&self, customer: &str) -> Result<u64> {
        match self.last.get(customer) {
            Some(number) => Ok(number),
            None => self.stored_number(customer).await,
        }
    }

    /// The number of the customer's last notification, from the store; 0 where there is none.
    pub(crate) async fn stored_number(&self, customer: &str) -> Result<u64> {
        let newest = Find::all()
            .filter(Filter::eq("customer", customer))
            .sort("number", Direction::Backward)
            .page(PageRequest::first(1));
        let found = self.documents.find(NOTIFICATIONS, &newest).await?;
        // Nothing but the number matters, whatever release has written the rest.
        found.items.first().map_or(Ok(0), |document| Ok(document.read::<Numbered>()?.number))
    }
}
