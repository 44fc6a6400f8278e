//! A client: a process of its own whose tasks send random orders, and the log that outlives it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_stores::ErrorKind;
use bank_tests::patience;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::jumps::Jumps;
use crate::ledger::{LedgerRole, Opening, Role};
use crate::plan::{Address, Chance, Failure};

/// How many orders a client has under way at once; some are sent up to four times at once.
const TASKS: u64 = 8;
/// How many clients work at once, where the store may have several writers.
pub(crate) const PROCESSES: u64 = 2;
/// How long a task waits after an answer that told nothing.
const PAUSE: Duration = Duration::from_millis(5);

/// What was answered to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect, now or before. `print` tells its receipt from any other, `replayed` aside.
    Done { sequence: u64, replayed: bool, print: u64 },
    /// It was refused by a rule, and has no effect; of linked commands the kinds of all.
    Refused { kind: String },
    /// It may have an effect or not; or it is said to have none, for no reason that is its own.
    Unknown { kind: String },
}

impl Outcome {
    fn line(&self, id: &str) -> Value {
        match self {
            Self::Done { sequence, replayed, print } => {
                json!({ "ok": id, "sequence": sequence, "replayed": replayed, "print": print })
            }
            Self::Refused { kind } => json!({ "refused": id, "kind": kind }),
            Self::Unknown { kind } => json!({ "unknown": id, "kind": kind }),
        }
    }

    fn read(line: &Value) -> Option<(&str, Self)> {
        let kind = || line["kind"].as_str().unwrap_or_default().to_owned();
        if let Some(id) = line["ok"].as_str() {
            let (sequence, replayed) = (line["sequence"].as_u64()?, line["replayed"].as_bool()?);
            return Some((id, Self::Done { sequence, replayed, print: line["print"].as_u64()? }));
        }
        if let Some(id) = line["refused"].as_str() {
            return Some((id, Self::Refused { kind: kind() }));
        }
        line["unknown"].as_str().map(|id| (id, Self::Unknown { kind: kind() }))
    }
}

/// The name of an order.
pub(crate) fn id_of(order: &Value) -> &str {
    order["id"].as_str().unwrap_or_default()
}

/// What was sent and answered, a line each: with the operating system before the order is with the store.
#[derive(Debug)]
pub(crate) struct Log(Mutex<File>);

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        Ok(Self(Mutex::new(File::options().create(true).append(true).open(path)?)))
    }

    pub(crate) fn invoked(&self, order: &Value) -> Result<(), Failure> {
        self.line(&json!({ "invoke": order }))
    }

    pub(crate) fn answered(&self, id: &str, outcome: &Outcome) -> Result<(), Failure> {
        self.line(&outcome.line(id))
    }

    pub(crate) fn followed(&self, followed: &Followed) -> Result<(), Failure> {
        self.line(&json!({ "followed": followed.to, "of": followed.from, "print": followed.print }))
    }

    fn observed(&self, observation: &Observation) -> Result<(), Failure> {
        self.line(
            &json!({ "observed": observation.account, "from": observation.from, "found": observation.found }),
        )
    }

    fn line(&self, line: &Value) -> Result<(), Failure> {
        let mut file = self.0.lock().map_err(|_| "a writer of the log panicked")?;
        file.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }
}

/// Where a line of the logs stands: those of one group were written at the same time, and those of one process in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    group: usize,
    process: u64,
    line: usize,
}

impl Place {
    /// Whether it was written later for certain.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.group > other.group
            || (self.group == other.group && self.process == other.process && self.line > other.line)
    }
}

/// What a read told of an account.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) account: String,
    /// The account, or nothing where it was not there.
    pub(crate) found: Value,
    /// The read was asked to see that sequence, or more.
    pub(crate) from: u64,
    pub(crate) answered: Place,
}

impl Observation {
    pub(crate) fn new(account: &str, found: Value, from: u64) -> Self {
        Self { account: account.to_owned(), found, from, answered: Place::default() }
    }
}

/// An answer that says that a rule refused an order.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    /// What had been acknowledged when the order was sent: the rule saw that, or more.
    pub(crate) from: u64,
    pub(crate) answered: Place,
}

/// An order with all that was answered to it, however often it was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) order: Value,
    times: usize,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) refusals: Vec<Refusal>,
    /// Where it was sent first, in each process that did.
    pub(crate) first: Vec<Place>,
    /// The greatest sequence that had been acknowledged when it was sent first: its own is greater.
    pub(crate) after: u64,
}

impl Sent {
    /// Whether the order says so.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.order[name].as_bool() == Some(true)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done { .. }))
    }

    fn lacks_an_answer(&self) -> bool {
        self.times > self.outcomes.len()
    }

    /// Whether it has to be sent again before anybody knows.
    pub(crate) fn is_open(&self) -> bool {
        let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown { .. });
        self.lacks_an_answer() || self.outcomes.iter().any(unknown)
    }

    /// Whether every answer that there could be says that nothing happened.
    pub(crate) fn is_denied(&self) -> bool {
        let denies = |outcome: &Outcome| match outcome {
            Outcome::Done { .. } => false,
            Outcome::Refused { .. } => true,
            Outcome::Unknown { kind } => kind == ErrorKind::Unavailable.as_str(),
        };
        !self.lacks_an_answer() && self.outcomes.iter().all(denies)
    }
}

/// What a follower had read, and kept its position behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    /// The position that was kept when it began.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Tells the events between the two from any others.
    pub(crate) print: u64,
}

/// All that the logs of one history tell, by the orders' names.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) orders: BTreeMap<String, Sent>,
    /// What followers told, by their number, in order.
    pub(crate) followed: BTreeMap<u64, Vec<Followed>>,
    pub(crate) observations: Vec<Observation>,
    acknowledged: u64,
    place: Place,
    /// The orders that lack answers in the log that is read: how many, and what was acknowledged when the first was sent.
    waiting: BTreeMap<String, (usize, u64)>,
}

impl History {
    /// Reads logs in the order in which they were written; those of one group were written at the same time.
    pub(crate) fn read(groups: &[Vec<(u64, PathBuf)>]) -> Result<Self, Failure> {
        let mut history = Self::default();
        for group in groups {
            // What one of them was told, the other need not have known.
            let (before, mut newest) = (history.acknowledged, history.acknowledged);
            for (process, path) in group {
                history.acknowledged = before;
                history.begin(*process);
                history.read_one(*process, path)?;
                newest = newest.max(history.acknowledged);
            }
            history.acknowledged = newest;
            history.place.group += 1;
        }
        history.begin(0);
        Ok(history)
    }

    fn begin(&mut self, process: u64) {
        (self.place.process, self.place.line) = (process, 0);
        self.waiting.clear();
    }

    fn read_one(&mut self, process: u64, path: &Path) -> Result<(), Failure> {
        let log = std::fs::read_to_string(path)?;
        for line in log.split_inclusive('\n') {
            // The kill tore it: what it says had not been sent yet, or was not told.
            if !line.ends_with('\n') {
                break;
            }
            let line: Value = serde_json::from_str(line)?;
            match (line.get("invoke"), Outcome::read(&line)) {
                (Some(order), _) => self.invoked(order),
                (None, Some((id, outcome))) => self.answered(id, outcome),
                (None, None) => {
                    let number = |name: &str| line[name].as_u64();
                    if let (Some(account), Some(from)) = (line["observed"].as_str(), number("from")) {
                        self.observed(Observation::new(account, line["found"].clone(), from));
                        continue;
                    }
                    let (Some(to), Some(from), Some(print)) =
                        (number("followed"), number("of"), number("print"))
                    else {
                        return Err(format!("{}: no such line: {line}", path.display()).into());
                    };
                    self.followed.entry(process).or_default().push(Followed { from, to, print });
                }
            }
        }
        Ok(())
    }

    fn observed(&mut self, observation: Observation) {
        self.place.line += 1;
        self.observations.push(Observation { answered: self.place, ..observation });
    }

    pub(crate) fn invoked(&mut self, order: &Value) {
        let after = self.acknowledged;
        self.place.line += 1;
        let new = || Sent {
            order: order.clone(),
            times: 0,
            outcomes: Vec::new(),
            refusals: Vec::new(),
            first: Vec::new(),
            after,
        };
        let sent = self.orders.entry(id_of(order).to_owned()).or_insert_with(new);
        sent.times += 1;
        // Two processes send it at the same time, and nobody knows which was first.
        sent.after = sent.after.min(after);
        let Place { group, process, .. } = self.place;
        if !sent.first.iter().any(|place| place.group < group || place.process == process) {
            sent.first.push(self.place);
        }
        let waiting = self.waiting.entry(id_of(order).to_owned()).or_insert((0, after));
        waiting.0 += 1;
    }

    pub(crate) fn answered(&mut self, id: &str, outcome: Outcome) {
        self.place.line += 1;
        if let Outcome::Done { sequence, .. } = outcome {
            self.acknowledged = self.acknowledged.max(sequence);
        }
        // Which of the same orders this is the answer to, nobody knows: the first of them saw the least.
        let from = self.waiting.get_mut(id).map_or(0, |waiting| {
            waiting.0 -= 1;
            waiting.1
        });
        self.waiting.retain(|_, waiting| waiting.0 > 0);
        let Some(sent) = self.orders.get_mut(id) else { return };
        if let Outcome::Refused { kind } = &outcome {
            // What is remembered was refused when it was sent first.
            let from = if sent.says("remember") { sent.after } else { from };
            sent.refusals.push(Refusal { kind: kind.clone(), from, answered: self.place });
        }
        sent.outcomes.push(outcome);
    }

    /// How many orders were acknowledged, and how many were refused for certain.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let done = self.orders.values().filter(|sent| sent.is_done()).count();
        let refused = self.orders.values().filter(|sent| !sent.is_done() && !sent.is_open()).count();
        (done as u64, refused as u64)
    }
}

/// One of a client's tasks, with chance of its own.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) chance: Chance,
    /// The process that it is of, in all its lives.
    process: u64,
    life: u64,
    pub(crate) number: u64,
    count: u64,
    last: Option<Value>,
}

/// The task whose orders both processes of a life send, under the same ids.
pub(crate) const SHARED: u64 = 0;

impl Task {
    fn new(seed: u64, process: u64, life: u64, number: u64) -> Self {
        let process = if number == SHARED { 0 } else { process };
        let chance = Chance::new(seed, 1 + (life * PROCESSES + process) * TASKS + number);
        Self { chance, process, life, number, count: 0, last: None }
    }

    /// A name that no other order has, behind a letter for what it names.
    pub(crate) fn id(&mut self, letter: char) -> String {
        self.count += 1;
        let Self { process, life, number, count, .. } = self;
        format!("{letter}{process}.{life}.{number}.{count}")
    }
}

/// Opens the role that is tried; waits for a store that is not there yet.
pub(crate) async fn open(
    address: &Address,
    opening: Opening,
    clock: &Jumps,
) -> Result<Arc<dyn Role>, Failure> {
    let deadline = Instant::now() + patience();
    loop {
        match LedgerRole::open(address, opening, clock).await {
            Ok(role) => return Ok(Arc::new(role)),
            Err(error) if error.is_retryable() && Instant::now() < deadline => sleep(4 * PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The client's process, until its time is over or somebody kills it.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let [store, place, schema, seed, millis, process, life, log] = words else {
        return Err("a client is only started by this program".into());
    };
    std::thread::spawn(end_with_starter);
    let address = Address::read(store, place, schema)?;
    let client = Client { seed: seed.parse()?, process: process.parse()?, life: life.parse()? };
    let time = Duration::from_millis(millis.parse()?);
    tokio::runtime::Runtime::new()?.block_on(work(&address, client, time, Path::new(log)))
}

/// Which client a process is.
#[derive(Clone, Copy, Debug)]
struct Client {
    seed: u64,
    process: u64,
    life: u64,
}

/// Whoever started this process holds the other end of its input, and nothing comes over it but its end.
fn end_with_starter() {
    // An input that cannot be read has ended too.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    std::process::exit(1);
}

async fn work(address: &Address, client: Client, time: Duration, log: &Path) -> Result<(), Failure> {
    let Client { seed, process, life } = client;
    let clock = Jumps::default();
    let opening = Opening {
        second_handle: Chance::new(seed, 2_000 + life * PROCESSES + process).one_in(2),
        // In every other life the tasks are more than a group takes, so that one waits behind another.
        group: (life % 2 == 1).then_some(TASKS as usize / 2),
    };
    let role = open(address, opening, &clock).await?;
    // That it is there tells that the store is open.
    let log = Arc::new(Log::create(log)?);
    let deadline = Instant::now() + time;
    let mut tasks = JoinSet::new();
    let (following, follower) = (role.clone(), log.clone());
    let following = tokio::spawn(async move { following.follow(process, &follower).await });
    let jumping = tokio::spawn(clock.go_on(Chance::new(seed, 1_000 + life)));
    for number in 0..TASKS {
        let (role, log, mut task) = (role.clone(), log.clone(), Task::new(seed, process, life, number));
        tasks.spawn(async move {
            while Instant::now() < deadline {
                step(&role, &log, &mut task).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    jumping.abort();
    if following.is_finished() {
        return following.await?;
    }
    following.abort();
    role.close().await;
    Ok(())
}

/// Sends one order: a new one, or now and then the last one again; sometimes several times at once.
async fn step(role: &Arc<dyn Role>, log: &Arc<Log>, task: &mut Task) -> Result<(), Failure> {
    let order = match task.last.take() {
        Some(order) if task.chance.one_in(16) => order,
        _ => role.invent(task),
    };
    task.last = Some(order.clone());
    let mut racers = JoinSet::new();
    if task.chance.one_in(8) {
        for _ in 0..=task.chance.below(3) {
            racers.spawn(send(role.clone(), log.clone(), order.clone()));
        }
    }
    // Drawn whatever the outcome: the tasks of both processes that send the same have to draw the same.
    let observes = task.chance.one_in(3);
    let outcome = send(role.clone(), log.clone(), order.clone()).await?;
    if let Outcome::Done { sequence, .. } = outcome
        && observes
    {
        for observation in role.observe(&order, sequence).await? {
            log.observed(&observation)?;
        }
    }
    while let Some(racer) = racers.join_next().await {
        racer??;
    }
    Ok(())
}

async fn send(role: Arc<dyn Role>, log: Arc<Log>, order: Value) -> Result<Outcome, Failure> {
    log.invoked(&order)?;
    let outcome = role.send(&order).await?;
    log.answered(id_of(&order), &outcome)?;
    if matches!(outcome, Outcome::Unknown { .. }) {
        sleep(PAUSE).await;
    }
    Ok(outcome)
}
