//! Follows the events of transactions and accounts, with positions that outlive the process.

use bank_sdk::Endpoint;
use bank_sdk::events::{Consumer, EventList, EventsAfter, follow};
use bank_stores::documents::{DocumentChange, DocumentWrite};
use bank_stores::outbox::{Event, Position, ShardId};
use bank_stores::{Consistency, DocumentsExt, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::notice::notices;
use crate::service::{POSITIONS, Partners};

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Up to where the events of a shard were taken.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    position: Position,
}

/// This service as the consumer of one source.
#[derive(Clone, Debug)]
struct Follower {
    partners: Partners,
    source: Source,
}

impl Partners {
    /// Follows both services' events for ever, from where the store says that they were taken. It survives every error:
    /// what could not be done is asked for again.
    pub async fn follow_events(self) {
        let follow = |source: Source| {
            let follower = Follower { partners: self.clone(), source };
            follow(self.client.clone(), source.endpoint(), follower)
        };
        tokio::join!(follow(Source::Transactions), follow(Source::Accounts));
    }
}

impl Consumer for Follower {
    async fn kept(&self, shard: ShardId) -> Result<Option<Position>> {
        Ok(self.taken(shard).await?.and_then(|(position, _)| position))
    }

    /// The effect first, then the position: what is taken twice has its effect once, since each notification's id is
    /// derived from its event.
    async fn take(&self, events: Vec<Event>, next: Position) -> Result<()> {
        let mut notes = Vec::with_capacity(events.len());
        for event in &events {
            notes.extend(notices(self.source, event, &self.partners.names).await);
        }
        self.partners.record(notes).await?;
        self.partners.lag.handled(self.source, events.iter().map(|event| event.at));
        self.keep(next).await
    }
}

impl Follower {
    fn document(&self, shard: ShardId) -> String {
        format!("{}:{shard}", self.source.name())
    }

    /// The position, where it can be read, and the version of its document. What cannot be read is as none: the events are taken
    /// again from the oldest on, and have their effect once.
    async fn taken(&self, shard: ShardId) -> Result<Option<(Option<Position>, u64)>> {
        let document = self.document(shard);
        let Some(document) = self.partners.documents.get(POSITIONS, &document, Consistency::Current).await?
        else {
            return Ok(None);
        };
        let position = document.read::<Taken>().inspect_err(|error| {
            tracing::error!(%error, document = %document.id, "a position cannot be read, and is replaced");
        });
        Ok(Some((position.ok().map(|taken| taken.position), document.version)))
    }

    /// Moves the position on; not back, where another copy of this service was faster. One of another epoch is replaced.
    async fn keep(&self, position: Position) -> Result<()> {
        let document = self.document(position.shard());
        loop {
            let taken = Taken { position };
            let write = match self.taken(position.shard()).await? {
                Some((Some(held), _)) if held >= position => return Ok(()),
                Some((_, version)) => DocumentChange::replace(&document, version, &taken)?,
                None => DocumentChange::insert(&document, &taken)?,
            };
            // Two copies that move to the same position do the same.
            let write = DocumentWrite::new(format!("{document}:{position}"), write);
            match self.partners.documents.write_one(POSITIONS, write).await {
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                outcome => return outcome.map(drop),
            }
        }
    }
}
