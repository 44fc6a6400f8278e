//! Follows the events of transactions and accounts, with a position that outlives the process.

use std::time::Duration;

use bank_sdk::Endpoint;
use bank_sdk::events::{EventList, EventsAfter, follow};
use bank_stores::documents::{DocumentChange, DocumentWrite};
use bank_stores::{Consistency, DocumentsExt, ErrorKind, Event, Position, Result};
use serde::{Deserialize, Serialize};

use crate::notice::notices;
use crate::service::{POSITIONS, Partners};

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Transactions,
    Accounts,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Accounts => "accounts",
        }
    }

    const fn endpoint(self) -> Endpoint<EventsAfter, EventList> {
        match self {
            Self::Transactions => transactions::endpoints::EVENTS,
            Self::Accounts => accounts::endpoints::EVENTS,
        }
    }
}

/// Up to where the events of a source were taken.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    position: Position,
}

impl Partners {
    /// Follows both services' events for ever, from where the store says that they were taken. It survives every error:
    /// what could not be done is asked for again.
    pub async fn follow_events(self) {
        tokio::join!(self.follow_source(Source::Transactions), self.follow_source(Source::Accounts));
    }

    async fn follow_source(&self, source: Source) {
        let mut pause = Duration::from_millis(50);
        let start = loop {
            match self.taken(source).await {
                Ok((position, _)) => break position,
                Err(error) => {
                    tracing::warn!(%error, source = source.name(), "the position cannot be read now")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        };
        follow(self.client.clone(), source.endpoint(), start, |events| self.take(source, events)).await;
    }

    /// The effect first, then the position: what is taken twice has its effect once, since each notification's id is
    /// derived from its event.
    async fn take(&self, source: Source, events: Vec<Event>) -> Result<Position> {
        let mut notes = Vec::with_capacity(events.len() * 2);
        for event in &events {
            notes.extend(notices(source, event, &self.names).await);
        }
        self.record(notes).await?;
        let last = events.last().map(|event| event.position).unwrap_or_default();
        self.keep(source, last).await?;
        Ok(last)
    }

    async fn taken(&self, source: Source) -> Result<(Position, Option<u64>)> {
        match self.documents.get(POSITIONS, source.name(), Consistency::Current).await? {
            Some(document) => Ok((document.read::<Taken>()?.position, Some(document.version))),
            None => Ok((Position::START, None)),
        }
    }

    /// Moves the position on; never back, where another copy of this service was faster.
    async fn keep(&self, source: Source, position: Position) -> Result<()> {
        loop {
            let (held, version) = self.taken(source).await?;
            if held >= position {
                return Ok(());
            }
            let taken = Taken { position };
            let write = match version {
                Some(version) => DocumentChange::replace(source.name(), version, &taken)?,
                None => DocumentChange::insert(source.name(), &taken)?,
            };
            // Two copies that move to the same position do the same.
            let write = DocumentWrite::new(format!("{}:{position}", source.name()), write);
            match self.documents.write_one(POSITIONS, write).await {
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                outcome => return outcome.map(drop),
            }
        }
    }
}
