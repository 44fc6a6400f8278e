//! The numbers of a run, which add up over runs, and what is told of a history that is wrong.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::faults::Setting;
use crate::plan::{Failure, Plan};

/// How many lines of the logs are shown.
const SHOWN: usize = 20;

/// What was done and found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) histories: u64,
    pub(crate) wrong: u64,
    /// Commands that clients were told to be done.
    pub(crate) acknowledged: u64,
    /// Commands that were refused whenever they were sent.
    pub(crate) refused: u64,
    /// Commands whose outcome nobody knew before they were sent again.
    pub(crate) resolved: u64,
    /// Reads of what had been acknowledged, through every handle of the process.
    pub(crate) observations: u64,
    pub(crate) client_kills: u64,
    pub(crate) server_kills: u64,
    /// Connections that were cut.
    pub(crate) cuts: u64,
    /// Answers of the server that got lost.
    pub(crate) lost: u64,
    /// Times during which every answer came late.
    pub(crate) delays: u64,
    pub(crate) millis: u64,
}

const NAMES: [&str; 12] = [
    "histories",
    "wrong",
    "acknowledged",
    "refused",
    "resolved",
    "observations",
    "client_kills",
    "server_kills",
    "cuts",
    "lost",
    "delays",
    "millis",
];

impl Totals {
    /// The numbers, in the order of their names.
    fn numbers(&mut self) -> [&mut u64; NAMES.len()] {
        [
            &mut self.histories,
            &mut self.wrong,
            &mut self.acknowledged,
            &mut self.refused,
            &mut self.resolved,
            &mut self.observations,
            &mut self.client_kills,
            &mut self.server_kills,
            &mut self.cuts,
            &mut self.lost,
            &mut self.delays,
            &mut self.millis,
        ]
    }

    pub(crate) fn include(&mut self, more: &Self) {
        let mut more = more.clone();
        for (number, more) in self.numbers().into_iter().zip(more.numbers()) {
            *number += *more;
        }
    }

    fn read(line: &Value) -> Self {
        let mut totals = Self::default();
        for (number, name) in totals.numbers().into_iter().zip(NAMES) {
            *number = line[name].as_u64().unwrap_or_default();
        }
        totals
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            histories,
            wrong,
            acknowledged,
            refused,
            resolved,
            observations,
            client_kills,
            server_kills,
            ..
        } = self;
        write!(
            f,
            "{histories} histories, {wrong} wrong; commands: {acknowledged} acknowledged, {refused} refused, {resolved} \
             resolved, {observations} observed; kills: {client_kills} of clients, {server_kills} of servers; {} connections cut, {} answers \
             lost, {} times of late answers; {}.{} s",
            self.cuts,
            self.lost,
            self.delays,
            self.millis / 1_000,
            self.millis % 1_000 / 100
        )
    }
}

/// Appends the numbers of a run to a file; gives the sums over all runs in it.
pub(crate) fn keep(path: &Path, plan: &Plan, totals: &Totals) -> Result<Totals, Failure> {
    let last = plan.seed.wrapping_add(plan.count.saturating_sub(1));
    let mut line = Map::new();
    line.insert("store".to_owned(), plan.store.name().into());
    line.insert("first_seed".to_owned(), plan.seed.into());
    line.insert("last_seed".to_owned(), last.into());
    line.insert("millis_each".to_owned(), plan.millis.into());
    let mut numbers = totals.clone();
    for (name, number) in NAMES.into_iter().zip(numbers.numbers()) {
        line.insert(name.to_owned(), Value::from(*number));
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(format!("{}\n", Value::Object(line)).as_bytes())?;
    let mut sums = Totals::default();
    let runs = std::fs::read_to_string(path)?;
    for run in runs.lines() {
        sums.include(&Totals::read(&serde_json::from_str::<Value>(run)?));
    }
    Ok(sums)
}

/// A history that is wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) seed: u64,
    pub(crate) millis: u64,
    /// Where its store and its logs are kept.
    pub(crate) directory: PathBuf,
    /// The lines of its logs.
    pub(crate) lines: Vec<String>,
    message: String,
}

impl Wrong {
    pub(crate) fn new(setting: &Setting, message: String) -> Self {
        // A log that cannot be read cannot be shown either.
        let logs = setting.logs().into_iter().flatten();
        let logs = logs.filter_map(|(_, path)| std::fs::read_to_string(path).ok());
        let lines = logs.flat_map(|log| log.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
        let Setting { directory, seed, millis, .. } = setting;
        Self { seed: *seed, millis: *millis, directory: directory.clone(), lines, message }
    }

    /// Prints it with the last lines of its logs that are about the id that is named first, or the last of all.
    pub(crate) fn tell(&self) {
        println!("WRONG: seed {}, {} ms: {}", self.seed, self.millis, self.message);
        println!("  kept in {}, {} lines of logs; of these:", self.directory.display(), self.lines.len());
        // The voiding of a hold is told with all else about the hold.
        let named = self.message.split('`').nth(1).and_then(|id| id.rsplit(':').next());
        let end = named.map(|id| format!("{id}\"")).unwrap_or_default();
        let about: Vec<&String> = self.lines.iter().filter(|line| line.contains(&end)).collect();
        for line in &about[about.len().saturating_sub(SHOWN)..] {
            println!("  {line}");
        }
    }
}
