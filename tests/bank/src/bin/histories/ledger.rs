//! What a role has to give so that its histories can be made and judged, and the ledger as such a role.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    AccountId, Capture, Command, Floor, HoldId, OpenAccount, PlaceHold, Posting, PostingId, Receipt,
};
use bank_stores::outbox::{Edge, Event, ShardId};
use bank_stores::{Currency, ErrorKind, Ledger, LedgerExt as _, Money};
use serde_json::{Value, json};

use crate::check;
use crate::client::{Followed, History, Log, Outcome, PROCESSES, SHARED, Task};
use crate::faults::LIVES;
use crate::plan::{Address, Chance, Failure, text};

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

/// The bank's own account, without a floor.
const CASH: &str = "cash";
/// The bank's account and customers', which never fall below zero.
const ACCOUNTS: [&str; 7] =
    [CASH, "customer-1", "customer-2", "customer-3", "customer-4", "customer-5", "customer-6"];
/// The task that moves each power of two once to an account of its own, so that the balance names the postings in it.
const MARKS: u64 = 1;
/// So many powers; all of them in all lives fit the bank's account.
pub(crate) const POWERS: u64 = 56;
/// What each customer starts with.
const FUNDS: i64 = 1_000_000;
/// After which time some holds end by themselves.
pub(crate) const EXPIRY: Duration = Duration::from_millis(50);
/// How many holds are remembered for captures and voids.
const RECENT: usize = 32;

/// The account that the powers of two of a life go to.
pub(crate) fn marks(process: u64, life: u64) -> String {
    format!("marks-{process}.{life}")
}

/// All accounts.
pub(crate) fn accounts() -> impl Iterator<Item = String> {
    let lives = (0..PROCESSES).flat_map(|process| (0..LIVES).map(move |life| marks(process, life)));
    ACCOUNTS.into_iter().map(ToOwned::to_owned).chain(lives)
}

#[derive(Debug)]
enum Opened {
    Sqlite(SqliteLedger),
    Postgres(AuroraLedger),
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct LedgerRole {
    opened: Opened,
    /// Holds that any task has placed lately, or is about to place, and the number of their account.
    recent: Mutex<VecDeque<(String, usize)>>,
}

impl LedgerRole {
    pub(crate) async fn open(address: &Address, group: Option<usize>) -> bank_stores::Result<Self> {
        let opened = match address {
            Address::Sqlite(path) => {
                let mut options = SqliteOptions::new(path);
                if let Some(group) = group {
                    options = options.group(group);
                }
                Opened::Sqlite(SqliteLedger::open(options).await?)
            }
            Address::Postgres { url, schema } => {
                let mut options = AuroraOptions::new(url)?.schema(schema)?.connections(4);
                if let Some(group) = group {
                    options = options.group(group);
                }
                Opened::Postgres(AuroraLedger::open(options).await?)
            }
        };
        Ok(Self { opened, recent: Mutex::default() })
    }

    fn ledger(&self) -> &dyn Ledger {
        match &self.opened {
            Opened::Sqlite(ledger) => ledger,
            Opened::Postgres(ledger) => ledger,
        }
    }

    fn hold(&self, task: &mut Task) -> Value {
        let (id, from) = (task.id('h'), task.chance.pick(ACCOUNTS.len()));
        let expires = task.chance.one_in(3).then_some(EXPIRY.as_millis() as u64);
        let mut recent = self.recent.lock().expect("no task panics while it has the list");
        recent.push_back((id.clone(), from));
        if recent.len() > RECENT {
            recent.pop_front();
        }
        drop(recent);
        json!({
            "id": id, "kind": "hold", "from": ACCOUNTS[from], "amount": amount(&mut task.chance),
            "expires_in_ms": expires, "remember": task.chance.one_in(8),
        })
    }

    /// A hold to be captured or voided, and its account.
    fn recent(&self, chance: &mut Chance) -> Option<(String, usize)> {
        let recent = self.recent.lock().expect("no task panics while it has the list");
        let index = chance.pick(recent.len().max(1));
        recent.get(index).cloned()
    }
}

#[async_trait]
impl Role for LedgerRole {
    fn setup(&self) -> Vec<Value> {
        let open = |account: String| {
            let id = format!("open:{account}");
            json!({ "id": id, "kind": "open", "account": account })
        };
        let fund = |account: &&str| {
            let id = format!("funding.{account}");
            json!({ "id": id, "kind": "transfer", "from": CASH, "to": account, "amount": FUNDS })
        };
        accounts().map(open).chain(ACCOUNTS[1..].iter().map(fund)).collect()
    }

    fn invent(&self, task: &mut Task) -> Value {
        match task.number {
            // Nothing that depends on what else is under way.
            SHARED => return transfer(task),
            MARKS if task.count() < POWERS => return mark(task),
            _ => {}
        }
        let hold = self.recent(&mut task.chance);
        match (task.chance.below(16), hold) {
            (9..=11, _) => self.hold(task),
            (12..=14, Some((hold, from))) => capture(task, &hold, from),
            (15, Some((hold, _))) => json!({ "id": format!("void:{hold}"), "kind": "void", "hold": hold }),
            _ => transfer(task),
        }
    }

    async fn send(&self, order: &Value) -> Result<Outcome, Failure> {
        Ok(match self.ledger().execute_one(command(order)?).await {
            Ok(receipt) => Outcome::Done {
                sequence: receipt.sequence,
                replayed: receipt.replayed,
                print: print(&receipt),
            },
            Err(error) => {
                let kind = error.kind().as_str().to_owned();
                match error.kind() {
                    ErrorKind::Indeterminate | ErrorKind::Unavailable => Outcome::Unknown { kind },
                    _ => Outcome::Refused { kind },
                }
            }
        })
    }

    async fn happened(&self, order: &Value) -> Result<bool, String> {
        let id = command(order).map_err(text)?.id();
        match self.ledger().receipt(&id).await {
            Ok(receipt) => Ok(receipt.is_some()),
            Err(error) if is_refusal(error.kind()) => Ok(false),
            Err(error) => Err(format!("the receipt of {id} cannot be read: {error}")),
        }
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
            let read = match self.ledger().events(&after, 100, Duration::from_millis(50)).await {
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
        match &self.opened {
            Opened::Sqlite(ledger) => ledger.close().await,
            Opened::Postgres(ledger) => ledger.close().await,
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

/// Tells a receipt from any other; whether it is told again does not count.
pub(crate) fn print(receipt: &Receipt) -> u64 {
    let mut receipt = receipt.clone();
    receipt.replayed = false;
    hash(serde_json::to_string(&receipt).expect("a receipt is JSON"))
}

/// Tells events in order from any others.
pub(crate) fn event_print(before: u64, event: &Event) -> u64 {
    let Event { position, id, topic, payload, .. } = event;
    hash((before, position.number(), id, topic, payload.to_string()))
}

fn hash(what: impl Hash) -> u64 {
    // Of the same program in every process, and without a secret.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Whether a receipt that is such an error is a refusal that was remembered.
pub(crate) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::Rejected | ErrorKind::InsufficientFunds | ErrorKind::Invalid
    )
}

/// Of any size; now and then more than a customer starts with.
fn amount(chance: &mut Chance) -> i64 {
    if chance.one_in(12) { 1 << 20 } else { 1_i64 << chance.below(16) }
}

/// An account that is not this one.
fn other(chance: &mut Chance, from: usize) -> &'static str {
    ACCOUNTS[(from + 1 + chance.pick(ACCOUNTS.len() - 1)) % ACCOUNTS.len()]
}

fn transfer(task: &mut Task) -> Value {
    let (id, from) = (task.id('p'), task.chance.pick(ACCOUNTS.len()));
    let to = other(&mut task.chance, from);
    json!({
        "id": id, "kind": "transfer", "from": ACCOUNTS[from], "to": to, "amount": amount(&mut task.chance),
        "remember": task.chance.one_in(6),
    })
}

/// The next power of two.
fn mark(task: &mut Task) -> Value {
    let (to, power) = (marks(task.process, task.life), task.count());
    json!({ "id": task.id('m'), "kind": "transfer", "from": CASH, "to": to, "amount": 1_i64 << power })
}

fn capture(task: &mut Task, hold: &str, from: usize) -> Value {
    let (id, to) = (task.id('c'), other(&mut task.chance, from));
    // All that is left, or so much.
    let amount = (!task.chance.one_in(3)).then(|| 1_i64 << task.chance.below(12));
    json!({
        "id": id, "kind": "capture", "hold": hold, "to": to, "amount": amount,
        "release": task.chance.one_in(4), "remember": task.chance.one_in(8),
    })
}

fn word<'o>(order: &'o Value, name: &str) -> Result<&'o str, Failure> {
    order[name].as_str().ok_or_else(|| format!("an order without {name}: {order}").into())
}

/// The command that an order stands for.
pub(crate) fn command(order: &Value) -> Result<Command, Failure> {
    let account = |name: &str| -> Result<AccountId, Failure> { Ok(AccountId::new(word(order, name)?)?) };
    let some = order["amount"].as_i64().map(|minor| Money::from_minor(minor, Currency::EUR));
    let amount = || some.ok_or_else(|| Failure::from(format!("an order without amount: {order}")));
    let says = |name: &str| order[name].as_bool() == Some(true);
    let id = word(order, "id")?;
    Ok(match word(order, "kind")? {
        "open" => {
            let id = account("account")?;
            let floor = if id.as_str() == CASH { Floor::None } else { Floor::Zero };
            OpenAccount::new(id, Currency::EUR).floor(floor).into()
        }
        "transfer" => {
            let posting = Posting::new(PostingId::new(id)?, "transfer");
            let mut posting = posting.transfer(account("from")?, account("to")?, amount()?);
            posting.remember = says("remember");
            posting.into()
        }
        "hold" => {
            let mut place = PlaceHold::new(HoldId::new(id)?, account("from")?, amount()?);
            place.expires_in = order["expires_in_ms"].as_u64().map(Duration::from_millis);
            place.remember = says("remember");
            place.into()
        }
        "capture" => {
            let hold = HoldId::new(word(order, "hold")?)?;
            let mut capture = Capture::new(PostingId::new(id)?, hold, account("to")?);
            (capture.amount, capture.release) = (some, says("release"));
            capture.remember = says("remember");
            capture.into()
        }
        "void" => Command::Void(HoldId::new(word(order, "hold")?)?),
        kind => return Err(format!("no such order: {kind}").into()),
    })
}
