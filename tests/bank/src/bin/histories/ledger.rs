//! What a role has to give so that its histories can be made and judged, and the ledger as such a role.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::AccountId;
use bank_stores::outbox::{Edge, Event, ShardId};
use bank_stores::{Consistency, ErrorKind, Freshness, Ledger};
use serde_json::{Value, json};

use crate::check;
use crate::client::{Followed, History, Log, Observation, Outcome, Task};
use crate::jumps::Jumps;
use crate::order::{self, Inventor, accounts, commands, hash};
use crate::plan::{Address, Failure, text};

/// How often an order is sent that nobody knows the outcome of, after all faults are over.
const TRIES: u32 = 10;

/// A store under test. Its orders are JSON objects, whose `id` names them and their effect.
#[async_trait]
pub(crate) trait Role: Send + Sync + 'static {
    /// What is sent before the first client; each has to be done.
    fn setup(&self) -> Vec<Value>;

    /// The next order of a client's task.
    fn invent(&self, task: &mut Task) -> Value;

    /// Sends an order.
    async fn send(&self, order: &Value) -> Result<Outcome, Failure>;

    /// Reads what an order that was done has changed, through every handle, at least as fresh as its receipt.
    async fn observe(&self, order: &Value, sequence: u64) -> Result<Vec<Observation>, Failure>;

    /// Whether the store says that an order took effect.
    async fn happened(&self, order: &Value) -> Result<bool, String>;

    /// Says what is wrong with a history of which every outcome is known.
    async fn check(&self, history: &History) -> Result<(), String>;

    /// Reads what the store tells of its changes, beside the orders, for as long as it is let; fails only where it is told what
    /// cannot be.
    async fn follow(&self, process: u64, log: &Log) -> Result<(), Failure>;

    /// Ends the use of the store.
    async fn close(&self);

    /// Sends every order again whose outcome is not known; gives how many there were.
    async fn resolve(&self, history: &mut History, log: &Log) -> Result<u64, String> {
        let open: Vec<(String, Value, bool)> = history
            .orders
            .iter()
            .filter(|(_, sent)| sent.is_open())
            .map(|(id, sent)| (id.clone(), sent.order.clone(), sent.is_denied()))
            .collect();
        for (id, order, denied) in &open {
            if *denied && self.happened(order).await? {
                return Err(format!("`{id}` took effect, and all answers to it said that nothing happened"));
            }
            let mut tries = 0;
            loop {
                tries += 1;
                history.invoked(order);
                log.invoked(order).map_err(text)?;
                let outcome = self.send(order).await.map_err(text)?;
                log.answered(id, &outcome).map_err(text)?;
                history.answered(id, outcome.clone());
                match outcome {
                    Outcome::Done { .. } | Outcome::Refused { .. } => break,
                    Outcome::Unknown { kind } if tries == TRIES => {
                        return Err(format!("`{id}` cannot be resolved: {kind}, {tries} times"));
                    }
                    Outcome::Unknown { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        Ok(open.len() as u64)
    }
}

/// How a process opens the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opening {
    /// Whether it has a second handle on it.
    pub(crate) second_handle: bool,
    /// How many commands a group takes at most.
    pub(crate) group: Option<usize>,
}

#[derive(Debug)]
enum Handle {
    Sqlite(SqliteLedger),
    Postgres(AuroraLedger),
}

impl Handle {
    fn ledger(&self) -> &dyn Ledger {
        match self {
            Self::Sqlite(ledger) => ledger,
            Self::Postgres(ledger) => ledger,
        }
    }
}

/// The ledger, through one handle or several of this process.
#[derive(Debug)]
pub(crate) struct LedgerRole {
    /// On PostgreSQL each of them writes; on SQLite only the first does.
    handles: Vec<Handle>,
    /// How many orders were sent.
    sent: AtomicUsize,
    inventor: Inventor,
}

impl LedgerRole {
    /// On SQLite the time is this clock's; PostgreSQL has its own.
    pub(crate) async fn open(
        address: &Address,
        opening: Opening,
        clock: &Jumps,
    ) -> bank_stores::Result<Self> {
        let mut handles = Vec::new();
        for second in [false, true].into_iter().take(1 + usize::from(opening.second_handle)) {
            handles.push(match address {
                Address::Sqlite(path) => {
                    let mut options = SqliteOptions::new(path).clock(Arc::new(clock.clone()));
                    if second {
                        options = options.read_only();
                    }
                    if let Some(group) = opening.group {
                        options = options.group(group);
                    }
                    Handle::Sqlite(SqliteLedger::open(options).await?)
                }
                Address::Postgres { url, schema } => {
                    let mut options = AuroraOptions::new(url)?.schema(schema)?.connections(4);
                    if let Some(group) = opening.group {
                        options = options.group(group);
                    }
                    Handle::Postgres(AuroraLedger::open(options).await?)
                }
            });
        }
        Ok(Self { handles, sent: AtomicUsize::new(0), inventor: Inventor::default() })
    }

    /// The first handle, which writes.
    fn ledger(&self) -> &dyn Ledger {
        self.handles[0].ledger()
    }

    /// The handle that the next order is sent through: they take turns, whatever is sent.
    fn writer(&self) -> &dyn Ledger {
        match &self.handles[0] {
            Handle::Sqlite(ledger) => ledger,
            Handle::Postgres(_) => {
                let turn = self.sent.fetch_add(1, Ordering::Relaxed);
                self.handles[turn % self.handles.len()].ledger()
            }
        }
    }

    /// The last handle, which may be one that only reads.
    fn reader(&self) -> &dyn Ledger {
        self.handles[self.handles.len() - 1].ledger()
    }
}

#[async_trait]
impl Role for LedgerRole {
    fn setup(&self) -> Vec<Value> {
        order::setup()
    }

    fn invent(&self, task: &mut Task) -> Value {
        self.inventor.invent(task)
    }

    async fn send(&self, order: &Value) -> Result<Outcome, Failure> {
        order::outcome(&self.writer().execute(commands(order)?).await)
    }

    async fn observe(&self, order: &Value, sequence: u64) -> Result<Vec<Observation>, Failure> {
        let read = Consistency::AtLeast(Freshness::from_sequence(sequence));
        let mut observations = Vec::new();
        for handle in &self.handles {
            for account in accounts(order) {
                let found = match handle.ledger().account(&AccountId::new(account)?, read).await {
                    Ok(account) => json!(account),
                    Err(error) if error.kind() == ErrorKind::NotFound => Value::Null,
                    Err(error) => {
                        passing(error).await?;
                        continue;
                    }
                };
                observations.push(Observation::new(account, found, sequence));
            }
        }
        Ok(observations)
    }

    async fn happened(&self, order: &Value) -> Result<bool, String> {
        for command in commands(order).map_err(text)? {
            let id = command.id();
            match self.ledger().receipt(&id).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(error) if is_refusal(error.kind()) => {}
                Err(error) => return Err(format!("the receipt of {id} cannot be read: {error}")),
            }
        }
        Ok(false)
    }

    async fn check(&self, history: &History) -> Result<(), String> {
        check::check(self.ledger(), history).await
    }

    async fn follow(&self, process: u64, log: &Log) -> Result<(), Failure> {
        let consumer = format!("follower-{process}");
        let from = loop {
            let kept = match self.ledger().positions(&consumer).await {
                Ok(kept) if kept.is_empty() => self.ledger().edge(ShardId::new(0), Edge::Oldest).await,
                kept => kept.map(|kept| kept[0]),
            };
            match kept {
                Ok(position) => break position,
                Err(error) => passing(error).await?,
            }
        };
        let mut after = from;
        let mut followed = Followed { from: from.number(), to: from.number(), print: 0 };
        log.followed(&followed)?;
        loop {
            let read = match self.reader().events(&after, 100, Duration::from_millis(50)).await {
                Ok(read) => read,
                Err(error) => {
                    passing(error).await?;
                    continue;
                }
            };
            let Some(last) = read.events.last().map(|event| event.position) else { continue };
            after = read.next;
            followed.to = last.number();
            followed.print = read.events.iter().fold(followed.print, event_print);
            while let Err(error) = self.ledger().consumed(&consumer, &last).await {
                passing(error).await?;
            }
            log.followed(&followed)?;
        }
    }

    async fn close(&self) {
        for handle in self.handles.iter().rev() {
            match handle {
                Handle::Sqlite(ledger) => ledger.close().await,
                Handle::Postgres(ledger) => ledger.close().await,
            }
        }
    }
}

/// Waits where an error passes, as those do that come of what is disturbed.
async fn passing(error: bank_stores::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Indeterminate => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        }
        _ => Err(format!("a follower is told what cannot be: {error}").into()),
    }
}

/// Tells events in order from any others.
pub(crate) fn event_print(before: u64, event: &Event) -> u64 {
    let Event { position, id, topic, payload, .. } = event;
    hash((before, position.number(), id, topic, payload.to_string()))
}

/// Whether a receipt that is such an error is a refusal that was remembered.
pub(crate) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::Rejected | ErrorKind::InsufficientFunds | ErrorKind::Invalid
    )
}
