//! The ledger's writer: a group of commands in one database transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;

use super::session::SqliteSession;
use super::write::write;
use crate::embedded::steady::SteadyClock;
use crate::embedded::writer::Engine;
use crate::ledger::book::{Book, Outcome};
use crate::ledger::remembered::Remembered;
use crate::ledger::sql::load::{earliest_deadline, load, recalled};
use crate::ledger::sql::tables::{Order, rows};
use crate::ledger::sql::{Session as _, outbox, works};
use crate::ledger::work::{Done, Work, receipts, size};
use crate::ledger::{AccountId, Command, Receipt};
use crate::{Result, Timestamp};

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct LedgerEngine {
    clock: Arc<SteadyClock>,
    sequence: u64,
    booked_at: Timestamp,
    /// Whether any refusal is remembered.
    refusals: bool,
    /// The earliest deadline of an open hold, or an earlier time.
    deadline: Option<Timestamp>,
    /// Nobody else writes the file.
    accounts: Remembered,
}

impl LedgerEngine {
    pub(super) fn new(clock: Arc<SteadyClock>) -> Self {
        Self {
            clock,
            sequence: 0,
            booked_at: Timestamp::EPOCH,
            refusals: false,
            deadline: None,
            accounts: Remembered::default(),
        }
    }

    async fn commands(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[&Command],
    ) -> Result<Vec<Result<Receipt>>> {
        let booked_at = match self.clock.checked() {
            // Booking time never goes back, even where the clock does.
            Ok(now) => now.max(self.booked_at),
            Err(error) => return Ok(commands.iter().map(|_| Err(error.clone())).collect()),
        };
        let mut session = SqliteSession(connection);
        let mut book = Book::new(self.sequence, booked_at);
        let due = self.deadline.is_some_and(|deadline| deadline <= booked_at);
        let accounts = &mut self.accounts;
        let remembered = |id: &AccountId, book: &mut Book| accounts.load(id, book);
        load(&mut session, commands, &mut book, remembered, (self.refusals, due)).await?;
        let outcomes = book.evaluate(commands);
        let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
        if refused || book.sequence() > self.sequence {
            let rows = rows(commands, &outcomes, &book, self.sequence, Order::Posting);
            write(session.0, rows).await?;
        }
        if book.changed_holds().next().is_some() || due {
            self.deadline = earliest_deadline(&mut session).await?;
        }
        let stored = recalled(&mut session, &outcomes).await?;
        (self.sequence, self.booked_at) = (book.sequence(), booked_at);
        self.refusals |= refused;
        let receipts = receipts(outcomes, &stored);
        self.accounts.keep(book);
        Ok(receipts)
    }
}

impl Engine for LedgerEngine {
    type Command = Work;
    type Outcome = Done;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        self.accounts.clear();
        let mut session = SqliteSession(connection);
        let newest = session.number("SELECT {newest} AS number", Vec::new()).await?.unwrap_or_default();
        self.sequence = newest as u64;
        let booked_at = outbox::booked_at(&mut session, newest).await?;
        self.booked_at = booked_at.unwrap_or(Timestamp::from_micros(i64::MIN));
        let ahead = self.booked_at.since(self.clock.now());
        if ahead > Duration::from_secs(1) {
            let seconds = ahead.as_secs();
            tracing::warn!(
                seconds,
                "the last booking lies ahead of the clock: booking time stands still until then"
            );
        }
        self.deadline = earliest_deadline(&mut session).await?;
        self.refusals = session.row("SELECT 1 FROM {refusals} LIMIT 1", Vec::new()).await?.is_some();
        Ok(())
    }

    async fn begin(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        outbox::begin_epoch(&mut SqliteSession(connection)).await
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        works: &[Work],
    ) -> Result<Vec<Result<Done>>> {
        let commands = works::commands(works);
        let expires = works.iter().any(|work| matches!(work, Work::Expire));
        let receipts = if commands.is_empty() && !expires {
            Vec::new()
        } else {
            self.commands(connection, &commands).await?
        };
        works::outcomes(&mut SqliteSession(connection), works, receipts).await
    }

    fn size(work: &Work) -> usize {
        size(work)
    }

    fn joins_next(work: &Work) -> bool {
        matches!(work, Work::Command(command) if command.is_linked())
    }

    fn position(&self) -> u64 {
        self.sequence
    }
}
