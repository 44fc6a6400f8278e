//! The ledger's writer: a group of commands in one database transaction, whoever else writes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::known::{Known, LastGroup};
use super::locked::{Begun, execute};
use super::outbox::begin_epoch;
use super::ready::{Ready, Tried};
use crate::aurora::database::Database;
use crate::aurora::error::{commit_is_unknown, damaged, from_sqlx, may_go_again};
use crate::ledger::Command;
use crate::ledger::sql::Session as _;
use crate::ledger::work::{Done, Work, size};
use crate::writer::{Group, Next};
use crate::{Error, ErrorKind, Random as _, Result, SystemRandom, Timestamp};

/// How often a group is executed that failed without effect, the first time among them.
const TRIES: u32 = 3;

/// After a group that another process came before, so many are executed under the lock at once.
const WARY: u32 = 32;

/// So many rows of groups are kept at least.
const KEPT: i64 = 1_000;

/// The writer's connection, and what it knows of the ledger.
pub(super) struct LedgerGroup {
    database: Arc<Database>,
    /// None after a failure, until there is another.
    connection: Option<PgConnection>,
    sequence: u64,
    /// What the last group left, unless it failed.
    known: Option<Known>,
    /// So many groups are executed under the lock before another tries without.
    wary: u32,
    /// Whether a group may still be on its way to the server whose answer nobody waits for: the next adds a group in any case.
    adrift: bool,
    /// Below which number groups were removed.
    pruned: i64,
}

/// Why a group failed.
pub(super) enum Failure {
    /// Nothing happened, and it may be executed again on another connection.
    Again(Error),
    /// Whether it happened is not known: it may be executed again under the lock, where its commands are looked up first.
    Unknown(Error),
    /// It is every command's outcome.
    For(Error),
}

impl Failure {
    pub(super) fn of(error: sqlx::Error) -> Self {
        if may_go_again(&error) { Self::Again(from_sqlx(error)) } else { Self::For(from_sqlx(error)) }
    }
}

impl From<Error> for Failure {
    /// An error of our own reading and writing keeps what the driver said.
    fn from(error: Error) -> Self {
        let source = std::error::Error::source(&error);
        let again = source.and_then(|source| source.downcast_ref::<sqlx::Error>()).is_some_and(may_go_again);
        if again { Self::Again(error) } else { Self::For(error) }
    }
}

impl LedgerGroup {
    pub(super) async fn open(database: Arc<Database>) -> Result<Self> {
        let mut connection = connect(&database).await?;
        let newest = "SELECT {newest} AS number";
        let sequence = database.connected(&mut connection).number(newest, Vec::new()).await?;
        let sequence = sequence.unwrap_or_default();
        Ok(Self {
            database,
            connection: Some(connection),
            sequence: sequence as u64,
            known: None,
            wary: 0,
            adrift: false,
            pruned: i64::MIN,
        })
    }

    async fn try_commit(
        &mut self,
        works: &[Work],
        ready: Option<Ready>,
        next: &mut Next<'_, Self>,
    ) -> Result<Vec<Result<Done>>, Failure> {
        if let Some(done) = self.try_at_once(works, ready, next).await? {
            return Ok(done);
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.database).await?),
        };
        // One round trip: a lock that every group takes first, so that groups of all processes take turns. What is read from
        // here on is read in later statements, and sees all that the groups before have done.
        let begin = self.database.sql(
            "BEGIN; SELECT pg_advisory_xact_lock({lock});
             SELECT number, nonce, sequence, booked_at FROM {groups} ORDER BY number DESC LIMIT 1;
             SELECT EXISTS (SELECT 1 FROM {refusals}),
                    (SELECT min(deadline) FROM {holds} WHERE status = 0 AND deadline IS NOT NULL),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        );
        let begun = sqlx::raw_sql(begin).fetch_all(&mut *connection).await.map_err(Failure::of)?;
        let [_, last, facts] = &begun[..] else { return Err(Failure::For(damaged(no_state()))) };
        let now = self.database.clock().is(Timestamp::from_micros(facts.get(2)));
        let begin = Begun {
            sequence: last.get::<i64, _>(2) as u64,
            // Booking time never goes back, even where the server's clock does.
            booked_at: now.max(Timestamp::from_micros(last.get(3))),
            last: LastGroup { number: last.get(0), nonce: last.get(1) },
            refusals: facts.get(0),
            deadline: facts.get::<Option<i64>, _>(1).map(Timestamp::from_micros),
        };
        let commands = works.iter().any(|work| matches!(work, Work::Command(_)));
        if commands && begin.sequence == self.sequence {
            // Somebody looked something up in vain, and nobody else writes.
            self.wary = 0;
        }
        let known = self.known.take();
        let (outcomes, mut after) = execute(&self.database, connection, works, &begin, known).await?;
        let fence = self.adrift || works.iter().any(|work| matches!(work, Work::Fence));
        if fence && after.as_ref().is_none_or(|after| after.last == begin.last) {
            // What may still be on its way, of any process, is to find another group: what is not there now never comes of it.
            let next = begin.last.next();
            let sql = "INSERT INTO {groups} (number, nonce, sequence, booked_at)
                       SELECT $1, $2, sequence, booked_at FROM {groups} ORDER BY number DESC LIMIT 1";
            let values = vec![next.number.into(), next.nonce.into()];
            self.database.connected(&mut *connection).execute(sql, values).await?;
            if let Some(after) = &mut after {
                after.last = next;
            }
        }
        let chained = |(work, outcome): (&Work, &Result<Done>)| {
            matches!(work, Work::Chain(_)) && matches!(outcome, Ok(Done::Count(1..)))
        };
        let mut pruned = self.pruned;
        // Only where blocks were added. Those that are still on their way name a group that has to be there, so that removing groups
        // costs one process its blocks only where another's were added.
        if std::iter::zip(works, &outcomes).any(chained) {
            // Only from where it ended last: what is deleted is still in the way of whoever comes past it.
            let sql = "DELETE FROM {groups} WHERE number >= $1 AND number < $2";
            let until = begin.last.number.saturating_sub(KEPT).max(self.pruned);
            let values = vec![self.pruned.into(), until.into()];
            self.database.connected(&mut *connection).execute(sql, values).await?;
            pruned = until;
        }
        if let Err(error) = sqlx::raw_sql("COMMIT").execute(&mut *connection).await {
            if !commit_is_unknown(&error) {
                return Err(Failure::of(error));
            }
            let message = "the connection was lost around the commit: look the outcome up";
            return Err(Failure::For(Error::new(ErrorKind::Indeterminate, message).with_source(error)));
        }
        self.sequence = after.as_ref().map_or(begin.sequence, |after| after.sequence);
        self.known = after;
        self.pruned = pruned;
        self.adrift = false;
        self.wary = self.wary.saturating_sub(u32::from(commands));
        Ok(outcomes)
    }

    /// Executes a group of postings in one statement, without the lock, where this process knows what they are about and no
    /// other has written meanwhile. While the server does so, the next group is evaluated.
    async fn try_at_once(
        &mut self,
        works: &[Work],
        ready: Option<Ready>,
        next: &mut Next<'_, Self>,
    ) -> Result<Option<Vec<Result<Done>>>, Failure> {
        let (Some(connection), 0) = (&mut self.connection, self.wary) else { return Ok(None) };
        let clock = self.database.clock();
        let now = clock.now();
        let ready = match ready {
            Some(ready) if ready.still_holds(works.len(), now) => {
                tracing::trace!(commands = works.len(), "a group was ready");
                Some(ready)
            }
            // A hold ends first.
            Some(_) => return Ok(None),
            None => {
                let Some(commands) = only_postings(works) else { return Ok(None) };
                let Some(known) = self.known.take_if(|known| known.is_enough(now)) else { return Ok(None) };
                Ready::in_turn(&self.database, connection, known, &commands, now).await?
            }
        };
        let Some(Ready { execution, receipts, known }) = ready else {
            self.wary = WARY;
            return Ok(None);
        };
        let (sequence, mut after, mut behind) = (known.sequence, Some(known), None);
        let mut executing = pin!(execution.execute(&self.database, connection));
        let tried = tokio::select! {
            biased;
            tried = &mut executing => tried,
            works = next.group() => {
                let commands = only_postings(works);
                let groups = self.database.groups();
                behind =
                    commands.and_then(|commands| Ready::ahead(&groups, &mut after, &commands, clock.now()));
                executing.await
            }
        }?;
        Ok(match tried {
            Tried::Done => {
                (self.sequence, self.known) = (sequence, after);
                if let Some(behind) = behind {
                    next.set_ready(behind);
                }
                Some(receipts.into_iter().map(|receipt| receipt.map(Done::Receipt)).collect())
            }
            Tried::Late => {
                self.wary = WARY;
                None
            }
            Tried::Repeated => None,
        })
    }
}

/// Connects, perhaps to a server that lacks what was last committed on the one before: so an epoch begins.
async fn connect(database: &Database) -> Result<PgConnection> {
    let mut connection = database.connect_writer().await?;
    begin_epoch(database, &mut connection).await?;
    Ok(connection)
}

fn no_state() -> Error {
    Error::invalid("groups", "no row")
}

/// The commands, where they are postings and nothing else is asked for.
fn only_postings(works: &[Work]) -> Option<Vec<&Command>> {
    fn posting(work: &Work) -> Option<&Command> {
        match work {
            Work::Command(command) => matches!(command.plain(), Command::Post(_)).then_some(command),
            _ => None,
        }
    }
    works.iter().map(posting).collect()
}

impl Group for LedgerGroup {
    type Command = Work;
    type Outcome = Done;
    type Ready = Ready;

    async fn commit(
        &mut self,
        works: &[Work],
        mut ready: Option<Ready>,
        mut next: Next<'_, Self>,
    ) -> Result<Vec<Result<Done>>> {
        let (mut tries, mut unknown) = (0, false);
        // A server that does not answer at all is taken for lost: longer than its own timeouts nothing takes.
        let patience = self.database.options().patience();
        loop {
            tries += 1;
            let tried = tokio::time::timeout(patience, self.try_commit(works, ready.take(), &mut next)).await;
            let silent = || Error::new(ErrorKind::Unavailable, "the server does not answer");
            let (error, again) = match tried.unwrap_or_else(|_| Err(Failure::Unknown(silent()))) {
                Ok(outcomes) => return Ok(outcomes),
                Err(Failure::Again(error)) => (error, tries < TRIES),
                Err(Failure::Unknown(error)) => {
                    (unknown, self.adrift) = (true, true);
                    (error, tries < TRIES)
                }
                Err(Failure::For(error)) => (error, false),
            };
            tracing::warn!(error = ?error, again, "a group of the ledger failed");
            // The server rolls back what was begun on it.
            (self.connection, self.known) = (None, None);
            if !again {
                let message = "whether it was committed is not known: look the outcome up";
                return Err(if unknown {
                    Error::new(ErrorKind::Indeterminate, message).with_source(error)
                } else {
                    error
                });
            }
            // Not all processes at the same moment.
            let mut jitter = [0];
            SystemRandom::new().fill(&mut jitter);
            tokio::time::sleep(Duration::from_millis(50 + u64::from(jitter[0]) / 4) * tries).await;
        }
    }

    async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            // It is gone either way.
            let _ = connection.close().await;
        }
        self.database.close().await;
    }

    fn size(work: &Work) -> usize {
        size(work)
    }

    /// Beside it, commands would go the slow way, which reads their accounts again.
    fn stands_apart(work: &Work) -> bool {
        !matches!(work, Work::Command(_))
    }

    fn changes_the_next(work: &Work) -> bool {
        match work {
            Work::Command(_) | Work::Expire | Work::Fence => true,
            Work::Chain(_) | Work::Consumed(..) | Work::Leave(_) | Work::Forget(_) => false,
        }
    }

    fn joins_next(work: &Work) -> bool {
        matches!(work, Work::Command(command) if command.is_linked())
    }

    fn position(&self) -> u64 {
        self.sequence
    }
}
