//! Which process does the ledger's own work: the one that holds an advisory lock (leader election).
//!
//! The lock is that of a transaction, which stays open on a connection of the keeper's own, takes no other lock and keeps no
//! snapshot between its statements, so that it is in nobody's way. The server ends it with the connection, and where the process
//! falls silent. A pooler in transaction mode would leave it alone too, unlike the lock of a session.
//!
//! | State | What happens | Becomes |
//! | --- | --- | --- |
//! | stands by | nobody has the lock | holds it |
//! | holds it | the connection is lost, or the server does not answer within [`SILENCE`] | stands by, and asks again at once |
//! | holds it | a [`TERM`] is over, and its callers have written meanwhile | holds it, in a new transaction |
//! | holds it | a [`TERM`] is over, and its callers have written nothing | stands by for [`WAY`], so that another may take it |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::{Instant, timeout};

use crate::aurora::database::Database;
use crate::aurora::error::from_sqlx;
use crate::ledger::work::Lease;
use crate::{Error, ErrorKind, Result, Timestamp};

/// After so long a silence of its holder the server ends the lease. A holder that hears nothing for as long gives it up.
const SILENCE: Duration = Duration::from_secs(10);
/// After which the transaction is ended and another begun: what waits for old transactions waits no longer than this.
const TERM: Duration = Duration::from_secs(20);
/// For how long a process whose callers write nothing lets others take the lease. Holds that it ends are groups that the process
/// which writes does not know: that one does it better itself.
const WAY: Duration = Duration::from_millis(1_500);

/// This process's part in the election.
pub(super) struct KeeperLease {
    database: Arc<Database>,
    /// Whether callers have written by this process since the term began.
    used: Arc<AtomicBool>,
    /// None before the first election, and where it was lost.
    connection: Option<PgConnection>,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Not before this time.
    StandsBy(Option<Instant>),
    /// Since then.
    Holds(Instant),
}

impl KeeperLease {
    pub(super) fn new(database: Arc<Database>, used: Arc<AtomicBool>) -> Self {
        Self { database, used, connection: None, state: State::StandsBy(None) }
    }

    /// Takes part in the election; the server's answer tells the time as well.
    async fn ask(&mut self) -> Result<bool> {
        const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.database.connect_writer().await?),
        };
        let (mut begins, mut since) = (true, Instant::now());
        if let State::Holds(before) = self.state {
            if before.elapsed() < TERM {
                (begins, since) = (false, before);
            } else {
                answer(connection, "COMMIT").await?;
                if !self.used.swap(false, Ordering::Relaxed) {
                    self.state = State::StandsBy(Some(Instant::now() + WAY));
                    return Ok(false);
                }
            }
        }
        let sql = if begins {
            let (silence, schema) = (SILENCE.as_millis(), self.database.schema());
            format!(
                "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {silence};
                 SELECT pg_try_advisory_xact_lock(hashtextextended('bank-stores.keeper.{schema}', 7146)), {NOW}"
            )
        } else {
            format!("SELECT true, {NOW}")
        };
        let rows = answer(connection, &sql).await?;
        let nothing = || Error::new(ErrorKind::Unavailable, "the server gave no row");
        let row = rows.first().ok_or_else(nothing)?;
        self.database.clock().is(Timestamp::from_micros(row.get(1)));
        let held: bool = row.get(0);
        if !held {
            answer(connection, "ROLLBACK").await?;
        } else if !matches!(self.state, State::Holds(_)) {
            tracing::debug!("this process does the ledger's own work");
        }
        self.state = if held { State::Holds(since) } else { State::StandsBy(None) };
        Ok(held)
    }
}

/// What the server answers, unless it takes too long.
async fn answer(connection: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>> {
    // Our own words, and a schema's name that has been checked.
    let asked = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(connection);
    let silent = |_| Error::new(ErrorKind::Unavailable, "the server does not answer");
    timeout(SILENCE, asked).await.map_err(silent)?.map_err(from_sqlx)
}

impl Lease for KeeperLease {
    async fn is_held(&mut self) -> Result<bool> {
        if let State::StandsBy(Some(until)) = self.state
            && Instant::now() < until
        {
            return Ok(false);
        }
        let asked = self.ask().await;
        if asked.is_err() {
            (self.connection, self.state) = (None, State::StandsBy(None));
        }
        asked
    }
}
