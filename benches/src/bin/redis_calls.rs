//! What calls to Redis cost through the roles, beside the driver's own for the same work: so many in flight on one connection, in turns of
//! one run.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::{Arguments, program};
use bank_benches::process::{Process, own_cpu};
use bank_benches::sample::Sample;
use bank_stores::limit::{NamedCharge, Rate};
use bank_stores::redis::{RedisCache, RedisLimits, RedisOptions};
use bank_stores::{Cache, Limits};
use redis::aio::ConnectionManager;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

const HELP: &str = "\
redis_calls [OPTIONS]

Options:
  --seconds N     how long each turn is (2)
  --rounds N      how often each way has its turn (5)
  --in-flight N   how many calls at once (64)";

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The first is what all others are compared with.
const WAYS: [Way; 7] = [
    Way::DriverGet,
    Way::DriverGetApart,
    Way::CacheGet,
    Way::CacheSet,
    Way::Take(1),
    Way::Take(2),
    Way::Take(4),
];

#[derive(Clone, Copy, Debug)]
enum Way {
    DriverGet,
    /// Each caller over a connection of its own.
    DriverGetApart,
    CacheGet,
    CacheSet,
    /// From so many buckets of one group.
    Take(usize),
}

struct Roles {
    driver: ConnectionManager,
    apart: Vec<ConnectionManager>,
    cache: RedisCache,
    limits: RedisLimits,
}

fn main() -> ExitCode {
    program("redis_calls", HELP, |_, arguments| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
    })
}

async fn run(mut arguments: Arguments) -> Result<bool, Failure> {
    let time = Duration::from_secs(arguments.take("--seconds")?.unwrap_or(2));
    let rounds: usize = arguments.take("--rounds")?.unwrap_or(5);
    let in_flight: usize = arguments.take("--in-flight")?.unwrap_or(64);
    arguments.finish()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--logfile",
        "/dev/null",
    ]);
    let server = Process::start("redis-server", command)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        if Instant::now() > deadline {
            return Err(format!("redis-server does not answer: {error}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = format!("redis://127.0.0.1:{port}");
    let options = || RedisOptions::new(&url);
    let mut apart = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        apart.push(ConnectionManager::new(redis::Client::open(&*url)?).await?);
    }
    let roles = Arc::new(Roles {
        driver: ConnectionManager::new(redis::Client::open(&*url)?).await?,
        apart,
        cache: RedisCache::open(options()?).await?,
        limits: RedisLimits::open(options()?).await?,
    });
    redis::cmd("SET").arg("key").arg("value").exec_async(&mut roles.driver.clone()).await?;
    let mut made: Vec<Vec<Turn>> = vec![Vec::new(); WAYS.len()];
    for _ in 0..rounds {
        for (way, turns) in WAYS.iter().zip(&mut made) {
            turns.push(turn(&roles, *way, in_flight, time, &server).await?);
        }
    }
    println!(
        "{in_flight} in flight, {rounds} rounds of {} s; medians, and the lowest and highest",
        time.as_secs()
    );
    for (way, turns) in WAYS.iter().zip(&made) {
        let against = |of: fn(&Turn) -> f64| -> Sample {
            turns.iter().zip(&made[0]).map(|(turn, first)| of(turn) / of(first)).collect()
        };
        let own: Sample = turns.iter().zip(&made[0]).map(|(turn, first)| turn.own - first.own).collect();
        let rate: Sample = turns.iter().map(|turn| turn.rate).collect();
        println!(
            "{way:?}: {:.0} a second, {} of the driver's GET; {own} µs more of our CPU; {} of the server's CPU",
            rate.median(),
            against(|turn| turn.rate),
            against(|turn| turn.server)
        );
    }
    Ok(true)
}

/// Calls a second, and microseconds of CPU a call.
#[derive(Clone, Copy, Debug)]
struct Turn {
    rate: f64,
    own: f64,
    server: f64,
}

async fn turn(
    roles: &Arc<Roles>,
    way: Way,
    in_flight: usize,
    time: Duration,
    server: &Process,
) -> Result<Turn, Failure> {
    let made = Arc::new(AtomicU64::new(0));
    let (start, own, theirs) = (Instant::now(), own_cpu()?, server.usage()?.cpu);
    let mut callers = JoinSet::new();
    for caller in 0..in_flight {
        let (roles, made) = (roles.clone(), made.clone());
        callers.spawn(async move {
            let rate = Rate::per_second(NonZeroU32::MAX);
            let count = if let Way::Take(count) = way { count } else { 0 };
            let charges: Vec<_> =
                (0..count).map(|at| NamedCharge::new(format!("class{at}"), rate, 1)).collect();
            let apart = matches!(way, Way::DriverGetApart);
            let mut driver = if apart { roles.apart[caller].clone() } else { roles.driver.clone() };
            let group = format!("customer:{caller}");
            while start.elapsed() < time {
                match way {
                    Way::DriverGet | Way::DriverGetApart => {
                        redis::cmd("GET").arg("key").query_async::<Vec<u8>>(&mut driver).await?;
                    }
                    Way::CacheGet => drop(roles.cache.get("key").await?),
                    Way::CacheSet => drop(roles.cache.set(&group, "value".into(), 1, time).await?),
                    Way::Take(_) => drop(roles.limits.take(&group, &charges).await?),
                }
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let (elapsed, made) = (start.elapsed().as_secs_f64(), made.load(Ordering::Relaxed) as f64);
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / made;
    Ok(Turn {
        rate: made / elapsed,
        own: micros(own_cpu()? - own),
        server: micros(server.usage()?.cpu - theirs),
    })
}
