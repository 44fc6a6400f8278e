//! Transfers on a ledger: so many in flight, over accounts that are chosen evenly, by Zipf's law, or with one hot account.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bank_stores::ledger::{AccountId, Command, Floor, OpenAccount, Posting, PostingId};
use bank_stores::{Currency, Ledger, LedgerExt as _, Money};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;
use crate::process::own_cpu;
use crate::sample::Sample;

/// Which accounts a transfer touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any two alike.
    Uniform,
    /// The n-th as often as 1/n.
    Zipf,
    /// The same account pays every time.
    Hot,
}

/// What a run showed.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// How many transfers were made.
    pub made: f64,
    /// Transfers a second.
    pub rate: f64,
    /// Milliseconds to a receipt: the middle, and what one in a hundred is above.
    pub latency: [f64; 2],
    /// Microseconds of this process's CPU a transfer.
    pub cpu: f64,
}

/// A ledger with accounts that may be overdrawn.
#[derive(Clone, Debug)]
pub struct Accounts {
    ledger: Arc<dyn Ledger>,
    ids: Arc<[AccountId]>,
    run: Arc<AtomicU64>,
}

impl Accounts {
    /// Opens so many accounts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(ledger: Arc<dyn Ledger>, count: usize) -> Result<Self, Failure> {
        let ids: Vec<AccountId> =
            (0..count).map(|number| AccountId::new(format!("account-{number}"))).collect::<Result<_, _>>()?;
        for some in ids.chunks(1_000) {
            let open = |id: &AccountId| OpenAccount::new(id.clone(), Currency::EUR).floor(Floor::None).into();
            let commands: Vec<Command> = some.iter().map(open).collect();
            for outcome in ledger.execute(commands).await {
                outcome?;
            }
        }
        Ok(Self { ledger, ids: ids.into(), run: Arc::default() })
    }

    /// The same accounts of a ledger that was opened again.
    #[must_use]
    pub fn on(self, ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, ..self }
    }

    /// Makes transfers for a while.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn run(&self, in_flight: usize, choice: Choice, time: Duration) -> Result<Ran, Failure> {
        let run = self.run.fetch_add(1, Ordering::Relaxed);
        let (start, cpu) = (Instant::now(), own_cpu()?);
        let until = start + time;
        let mut tasks = JoinSet::new();
        for task in 0..in_flight {
            let accounts = self.clone();
            tasks.spawn(async move {
                let mut numbers = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(run * 100_003 + task as u64 + 1);
                let mut took = Vec::new();
                for n in 0_u64.. {
                    let begun = Instant::now();
                    if begun >= until {
                        break;
                    }
                    let (from, to) = accounts.choose(choice, &mut numbers);
                    let id = PostingId::new(format!("{:x}.{run:x}.{task:x}.{n:x}", std::process::id()))?;
                    let cent = Money::from_minor(1, Currency::EUR);
                    accounts.ledger.post(Posting::new(id, "transfer").transfer(from, to, cent)).await?;
                    took.push(begun.elapsed().as_secs_f64() * 1_000.0);
                }
                Ok::<_, Failure>(took)
            });
        }
        let mut took = Vec::new();
        while let Some(task) = tasks.join_next().await {
            took.extend(task??);
        }
        let (elapsed, count) = (start.elapsed().as_secs_f64(), took.len().max(1) as f64);
        let cpu = (own_cpu()? - cpu).as_secs_f64() * 1e6 / count;
        let took: Sample = took.into_iter().collect();
        Ok(Ran { made: count, rate: count / elapsed, latency: [took.median(), took.percentile(99.0)], cpu })
    }

    fn choose(&self, choice: Choice, numbers: &mut u64) -> (AccountId, AccountId) {
        let count = self.ids.len();
        let mut next = || {
            *numbers ^= *numbers << 13;
            *numbers ^= *numbers >> 7;
            *numbers ^= *numbers << 17;
            *numbers >> 11
        };
        let mut one = || match choice {
            Choice::Zipf => zipf(next(), count),
            _ => next() as usize % count,
        };
        let (from, mut to) = (if choice == Choice::Hot { 0 } else { one() }, one());
        if to == from {
            to = (to + 1) % count;
        }
        (self.ids[from].clone(), self.ids[to].clone())
    }
}

/// The inverse of the integral of 1/x: close enough to Zipf's law with exponent 1.
fn zipf(random: u64, count: usize) -> usize {
    let unit = (random as f64) / (1_u64 << 53) as f64;
    (((count as f64 + 1.0).powf(unit)) as usize).clamp(1, count) - 1
}

/// Processor time of the server's processes so far.
#[must_use]
pub fn server_cpu(server: &bank_tests::Postgres) -> Duration {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let first = read(server.directory().join("data/postmaster.pid"));
    let main = first.lines().next().unwrap_or_default().to_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ticks: u64 = processes
        .map(|process| read(process.path().join("stat")))
        .filter_map(|stat| {
            let (start, rest) = stat.rsplit_once(") ")?;
            let fields: Vec<&str> = rest.split(' ').collect();
            // Its parent; its own time and that of its children that have ended.
            let (is_main, is_child) = (start.split(' ').next()? == main, *fields.get(1)? == main);
            let times = fields.get(11..if is_main { 15 } else { 13 })?;
            (is_main || is_child)
                .then(|| times.iter().filter_map(|time| time.parse::<u64>().ok()).sum::<u64>())
        })
        .sum();
    // Linux tells them in hundredths of a second, whatever its clock.
    Duration::from_millis(ticks * 10)
}
