//! Calls of a role beside those that its driver needs for the same work, in turns of one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;
use crate::arguments::Arguments;
use crate::process::own_cpu;
use crate::sample::Sample;

/// How long a role's call may take, as a multiple of the driver's.
pub const LATENCY_AIM: f64 = 1.15;
/// How much more CPU it may take, in microseconds.
pub const CPU_AIM: f64 = 15.0;

/// How a role and its driver do the same work.
pub trait Work: Send + Sync + 'static {
    /// The kinds of work.
    type Kind: Copy + fmt::Debug + Send + Sync + 'static;

    /// One call of the role, by one of the callers.
    fn by_role(&self, kind: Self::Kind, caller: usize) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What the driver is asked for the same.
    fn by_driver(&self, kind: Self::Kind, caller: usize) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How long is measured, and with how many callers.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The length of a turn.
    pub time: Duration,
    /// How many turns each way has.
    pub rounds: usize,
    /// How many calls are in flight.
    pub in_flight: usize,
}

impl Plan {
    /// `--seconds` (one otherwise), `--rounds` (five) and `--in-flight` (one).
    ///
    /// # Errors
    /// A value that is no number.
    pub fn take(arguments: &mut Arguments) -> Result<Self, Failure> {
        Ok(Self {
            time: Duration::from_secs(arguments.take("--seconds")?.unwrap_or(1)),
            rounds: arguments.take("--rounds")?.unwrap_or(5).max(1),
            in_flight: arguments.take("--in-flight")?.unwrap_or(1).max(1),
        })
    }
}

/// What one turn has given.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How many calls were made.
    pub calls: u64,
    /// Calls a second.
    pub rate: f64,
    /// The median of a call's time, in microseconds.
    pub latency: f64,
    /// CPU of this process for one call, in microseconds.
    pub cpu: f64,
}

/// Has so many callers call, each one call after the other, for a while.
///
/// # Errors
/// The first call that fails.
pub async fn turn<F>(
    callers: usize,
    time: Duration,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<Turn, Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (start, cpu) = (Instant::now(), own_cpu()?);
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < time {
                let asked = Instant::now();
                call(caller).await?;
                took.push(asked.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        took.append(&mut ended??);
    }
    let (elapsed, used) = (start.elapsed(), own_cpu()? - cpu);
    let calls = took.len() as f64;
    Ok(Turn {
        calls: took.len() as u64,
        rate: calls / elapsed.as_secs_f64(),
        latency: took.into_iter().collect::<Sample>().median(),
        cpu: used.as_secs_f64() * 1e6 / calls,
    })
}

/// Lets the role and the driver take turns with each kind of work. The first round warms up and does not count, and in every other round
/// the role is first.
///
/// # Errors
/// The first call that fails.
pub async fn compare<W: Work>(
    work: &Arc<W>,
    kinds: &[(W::Kind, &'static str)],
    plan: &Plan,
) -> Result<Vec<Compared>, Failure> {
    let mut compared: Vec<Compared> = kinds.iter().map(|(_, name)| Compared::new(name)).collect();
    for round in 0..=plan.rounds {
        for ((kind, _), compared) in kinds.iter().zip(&mut compared) {
            let is_role_first = round % 2 == 1;
            for is_role in [is_role_first, !is_role_first] {
                let (work, kind) = (work.clone(), *kind);
                let call = move |caller| {
                    let work = work.clone();
                    async move {
                        match is_role {
                            true => work.by_role(kind, caller).await,
                            false => work.by_driver(kind, caller).await,
                        }
                    }
                };
                let turn = turn(plan.in_flight, plan.time, call).await?;
                let turns = if is_role { &mut compared.role } else { &mut compared.driver };
                if round > 0 {
                    turns.push(turn);
                }
            }
        }
    }
    Ok(compared)
}

/// One kind of work, in turns of both ways.
#[derive(Clone, Debug)]
pub struct Compared {
    name: &'static str,
    role: Vec<Turn>,
    driver: Vec<Turn>,
}

impl Compared {
    const fn new(name: &'static str) -> Self {
        Self { name, role: Vec::new(), driver: Vec::new() }
    }

    /// The title of the columns that [`Compared`] is shown in.
    #[must_use]
    pub fn title() -> String {
        let (first, second) = ("driver, µs a call", "role, µs a call");
        format!(
            "{:<26}{first:^20}{second:^20}\n{:<26}{:>9}{:>9}  {:>9}{:>9}    {:<22}{:<26}",
            "",
            "work (role / driver)",
            "latency",
            "CPU",
            "latency",
            "CPU",
            "latency, ratio",
            "more CPU, µs a call"
        )
    }

    /// The role's latency as a multiple of the driver's in the same round.
    #[must_use]
    pub fn latency(&self) -> Sample {
        self.rounds().map(|(role, driver)| role.latency / driver.latency).collect()
    }

    /// How much more CPU a call of the role takes than the driver's in the same round, in microseconds.
    #[must_use]
    pub fn cpu(&self) -> Sample {
        self.rounds().map(|(role, driver)| role.cpu - driver.cpu).collect()
    }

    fn rounds(&self) -> impl Iterator<Item = (&Turn, &Turn)> {
        self.role.iter().zip(&self.driver)
    }
}

/// Medians, and where two are compared the lowest and the highest round.
impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |turns: &[Turn], of: fn(&Turn) -> f64| turns.iter().map(of).collect::<Sample>().median();
        write!(f, "{:<26}", self.name)?;
        for turns in [&self.driver, &self.role] {
            let (latency, cpu) = (median(turns, |turn| turn.latency), median(turns, |turn| turn.cpu));
            write!(f, "{latency:>9.0}{cpu:>9.1}  ")?;
        }
        let (latency, cpu) = (self.latency(), self.cpu());
        let is_met = latency.median() <= LATENCY_AIM && cpu.median() <= CPU_AIM;
        write!(f, "  {:<22}{:<26}{}", latency.to_string(), cpu.to_string(), verdict(is_met))
    }
}

/// Whether an aim is met, as a word.
#[must_use]
pub const fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(latency: f64, cpu: f64) -> Turn {
        Turn { calls: 1, rate: 1.0, latency, cpu }
    }

    #[test]
    fn the_role_is_compared_with_the_driver_of_its_own_round() {
        let compared = Compared {
            name: "get",
            role: vec![turn(110.0, 20.0), turn(440.0, 25.0), turn(210.0, 21.0)],
            driver: vec![turn(100.0, 10.0), turn(400.0, 10.0), turn(200.0, 10.0)],
        };
        assert_eq!(compared.latency().to_string(), "1.10 (1.05–1.10)");
        assert_eq!(compared.cpu().median(), 11.0);
        assert!(compared.to_string().ends_with(" met"), "{compared}");
        let busy = Compared { role: vec![turn(110.0, 26.0)], driver: vec![turn(100.0, 10.0)], ..compared };
        assert!(busy.to_string().ends_with("MISSED"), "{busy}");
    }

    #[tokio::test]
    async fn a_turn_counts_every_callers_calls() {
        let call = |_| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        };
        let turn = super::turn(4, Duration::from_millis(50), call).await.unwrap();
        assert!(turn.calls >= 4 && turn.latency >= 1_000.0, "{turn:?}");
        let failing = super::turn(4, Duration::from_millis(50), |_| async { Err("no".into()) }).await;
        assert_eq!(failing.unwrap_err().to_string(), "no");
    }
}
