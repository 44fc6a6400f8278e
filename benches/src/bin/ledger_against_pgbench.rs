//! What the ledger carries, against what its engines can do: on PostgreSQL pgbench's TPC-B, and the same rows written by
//! set-based batches inside the database; on SQLite one transaction a transfer. Everything takes turns, round after round, and
//! what counts are the ratios within a round.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios, never money")]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::Arguments;
use bank_benches::ledger_load::{Accounts, Choice, Ran};
use bank_benches::sample::Sample;
use bank_stores::Ledger as _;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_tests::Postgres;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};
use tokio::time::Instant;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
ledger_against_pgbench [OPTIONS]

Options:
  --engine NAME    postgres or sqlite (postgres)
  --rounds N       how often each takes its turn (7)
  --seconds N      how long each time (4)
  --accounts N     how many accounts (10000)
  --larger true    instead: what ten times the accounts and the history cost (PostgreSQL)
  --plot FILE      writes throughput against callers in flight as an SVG
";

/// What takes turns with our transfers.
const IN_FLIGHT: [(&str, usize, Choice); 5] = [
    ("alone, 1 in flight", 1, Choice::Uniform),
    ("64 in flight", 64, Choice::Uniform),
    ("2,000 in flight", 2_000, Choice::Uniform),
    ("2,000, Zipf", 2_000, Choice::Zipf),
    ("2,000, one hot account", 2_000, Choice::Hot),
];

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger_against_pgbench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// So many transfers there are before, of `larger`, and ten times as many.
const HISTORY: usize = 100_000;

struct Plan {
    rounds: usize,
    time: Duration,
    accounts: usize,
    plot: Option<String>,
}

async fn run() -> Result<(), Failure> {
    let mut arguments = Arguments::parse(std::env::args().skip(1))?;
    let engine: Option<String> = arguments.take("--engine")?;
    let plan = Plan {
        rounds: arguments.take("--rounds")?.unwrap_or(7),
        time: Duration::from_secs(arguments.take("--seconds")?.unwrap_or(4)),
        accounts: arguments.take("--accounts")?.unwrap_or(10_000),
        plot: arguments.take("--plot")?,
    };
    let is_larger = arguments.take("--larger")?.unwrap_or(false);
    arguments.finish()?;
    match engine.as_deref() {
        None | Some("postgres") if is_larger => larger(&plan).await,
        None | Some("postgres") => postgres(&plan).await,
        Some("sqlite") => sqlite(&plan).await,
        Some(other) => Err(format!("--engine {other}: give postgres or sqlite").into()),
    }
}

/// Runs ours in turn with the yardsticks; prints medians of the ratios within a round.
async fn measure(
    plan: &Plan,
    accounts: &Accounts,
    yardsticks: &[&str],
    server_cpu: impl Fn() -> Duration,
    mut yardstick: impl AsyncFnMut(usize) -> Result<f64, Failure>,
) -> Result<(), Failure> {
    let mut measured: Vec<(Vec<f64>, Vec<Ran>)> = Vec::new();
    let mut of_server: Vec<Vec<f64>> = vec![Vec::new(); IN_FLIGHT.len()];
    // The first run of each fills caches.
    accounts.run(64, Choice::Uniform, Duration::from_secs(1)).await?;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let (mut others, mut ours) = (Vec::new(), Vec::new());
        for number in 0..yardsticks.len() {
            others.push(yardstick(number).await?);
        }
        for (number, (_, in_flight, choice)) in IN_FLIGHT.into_iter().enumerate() {
            let (cpu, start) = (server_cpu(), Instant::now());
            let ran = accounts.run(in_flight, choice, plan.time).await?;
            let (cpu, done) = ((server_cpu() - cpu).as_secs_f64(), ran.rate * start.elapsed().as_secs_f64());
            of_server[number].push(cpu * 1e6 / done.max(1.0));
            ours.push(ran);
        }
        measured.push((others, ours));
    }
    println!(
        "{} accounts, {} rounds of {} s; medians, in parentheses the lowest and the highest round\n",
        plan.accounts,
        plan.rounds,
        plan.time.as_secs()
    );
    for (number, name) in yardsticks.iter().enumerate() {
        let rates: Sample = measured.iter().map(|(others, _)| others[number]).collect();
        println!("{name:<44} {:>9.0}/s", rates.median());
    }
    let uniform = IN_FLIGHT.iter().position(|(name, ..)| *name == "2,000 in flight").unwrap_or_default();
    for (number, (name, ..)) in IN_FLIGHT.iter().enumerate() {
        let of = |which: fn(&Ran) -> f64| -> Sample {
            measured.iter().map(|(_, ours)| which(&ours[number])).collect()
        };
        println!(
            "{name:<44} {:>9.0}/s   p50 {:.1} ms, p99 {:.1} ms, {:.1} µs of our CPU, {:.1} µs of the server's",
            of(|ran| ran.rate).median(),
            of(|ran| ran.latency[0]).median(),
            of(|ran| ran.latency[1]).median(),
            of(|ran| ran.cpu).median(),
            of_server[number].iter().copied().collect::<Sample>().median(),
        );
        for (other, yardstick) in yardsticks.iter().enumerate() {
            let ratio: Sample =
                measured.iter().map(|(others, ours)| ours[number].rate / others[other]).collect();
            println!("    against {yardstick:<36} {ratio}");
        }
        if number > uniform {
            let ratio: Sample =
                measured.iter().map(|(_, ours)| ours[number].rate / ours[uniform].rate).collect();
            println!("    against uniform {:<28} {ratio}", "");
        }
    }
    if let Some(file) = &plan.plot {
        let mut points = Vec::new();
        for in_flight in [1, 4, 16, 64, 256, 1_024, 2_000] {
            points.push((in_flight, accounts.run(in_flight, Choice::Uniform, plan.time).await?.rate));
        }
        std::fs::write(file, plot(&points))?;
    }
    Ok(())
}

async fn postgres(plan: &Plan) -> Result<(), Failure> {
    let server =
        tokio::task::block_in_place(|| Postgres::start("the comparison")).ok_or("there is no PostgreSQL")?;
    println!("{}; fsync on, defaults but for max_connections = 300", server.sql("SELECT version()"));
    let options = |schema: &str| AuroraOptions::new(&server.url())?.schema(schema);
    let ledger = Arc::new(AuroraLedger::open(options("ours")?).await?);
    let accounts = Accounts::open(ledger.clone(), plan.accounts).await?;
    // Another ledger, whose rows are written without us.
    let other = Arc::new(AuroraLedger::open(options("ceiling")?).await?);
    Accounts::open(other.clone(), plan.accounts).await?;
    other.close().await;
    server.sql(&CEILING.replace("ACCOUNTS", &plan.accounts.to_string()));
    pgbench(&server, &["-i", "-q", "-s", "64"])?;
    let script = server.directory().join("ceiling.sql");
    std::fs::write(&script, "SELECT ceiling.batch(500);\n")?;
    let (seconds, script) = (plan.time.as_secs().to_string(), script.display().to_string());
    measure(
        plan,
        &accounts,
        &["pgbench TPC-B, scale 64, 16 clients", "the ceiling, batches of 500"],
        || server_cpu(&server),
        async |number| {
            tokio::task::block_in_place(|| match number {
                0 => pgbench(&server, &["-n", "-c", "16", "-j", "2", "-T", &seconds]),
                _ => Ok(pgbench(&server, &["-n", "-c", "1", "-T", &seconds, "-f", &script])? * 500.0),
            })
        },
    )
    .await?;
    ledger.close().await;
    Ok(())
}

/// Processor time of the server's processes so far.
fn server_cpu(server: &Postgres) -> Duration {
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

/// What a transfer costs with ten times as many accounts and ten times as much history.
async fn larger(plan: &Plan) -> Result<(), Failure> {
    let server =
        tokio::task::block_in_place(|| Postgres::start("the comparison")).ok_or("there is no PostgreSQL")?;
    println!("{}; fsync on, defaults but for max_connections = 300", server.sql("SELECT version()"));
    let mut ledgers = Vec::new();
    for (schema, times) in [("small", 1), ("large", 10)] {
        let accounts = plan.accounts * times;
        eprintln!("{accounts} accounts and {} transfers are made", HISTORY * times);
        let open = async || {
            let options = AuroraOptions::new(&server.url())?.schema(schema)?;
            Ok::<_, Failure>(Arc::new(AuroraLedger::open(options).await?))
        };
        let ledger = open().await?;
        Accounts::open(ledger.clone(), accounts).await?;
        ledger.close().await;
        server.sql(&CEILING.replace("ceiling", schema).replace("ACCOUNTS", &accounts.to_string()));
        for _ in 0..HISTORY * times / 5_000 {
            server.sql(&format!("SELECT {schema}.batch(5000)"));
        }
        server.sql("VACUUM ANALYZE");
        let ledger = open().await?;
        // Opened before: they are the same.
        let accounts = Accounts::open(ledger.clone(), accounts).await?;
        while ledger.chain().await?.pending > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ledgers.push((accounts, ledger));
    }
    let mut ratios = Vec::new();
    for round in 0..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let mut rates = Vec::new();
        for (accounts, _) in &ledgers {
            rates.push(accounts.run(2_000, Choice::Uniform, plan.time).await?.rate);
        }
        // The first fills caches.
        if round > 0 {
            ratios.push(rates[0] / rates[1]);
        }
    }
    println!(
        "{} accounts and {HISTORY} transfers, against ten times as many of both; 2,000 in flight, {} rounds of {} s",
        plan.accounts,
        plan.rounds,
        plan.time.as_secs()
    );
    println!("a transfer costs {} times as much", ratios.into_iter().collect::<Sample>());
    for (_, ledger) in ledgers {
        ledger.close().await;
    }
    Ok(())
}

/// Runs pgbench; gives its transactions a second, where it tells them.
fn pgbench(server: &Postgres, arguments: &[&str]) -> Result<f64, Failure> {
    let output = Command::new(server.program("pgbench"))
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", "bank"])
        .args(arguments)
        .arg("postgres")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let tps =
        text.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    Ok(tps.unwrap_or_default())
}

/// The rows of so many transfers, as the ledger writes them, by one set of statements.
const CEILING: &str = r#"
CREATE FUNCTION ceiling.batch(size INTEGER) RETURNS VOID LANGUAGE plpgsql SET search_path = ceiling AS $$
DECLARE start BIGINT; at BIGINT := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    SELECT sequence INTO start FROM state FOR UPDATE;
    WITH chosen AS MATERIALIZED (
        SELECT start + g AS posting, 1 + floor(random() * ACCOUNTS)::bigint AS payer, 1 + floor(random() * ACCOUNTS)::bigint AS payee
        FROM generate_series(1, size) g
    ), legs AS MATERIALIZED (
        SELECT posting, 0::smallint AS leg, payer AS account, -1::bigint AS amount FROM chosen
        UNION ALL SELECT posting, 1::smallint, payee, 1::bigint FROM chosen
    ), moved AS MATERIALIZED (
        SELECT l.posting, l.leg, l.account, l.amount, b.entries + row_number() OVER w AS number,
               b.balance + sum(l.amount) OVER w AS balance
        FROM legs l JOIN balances b ON b.account = l.account WINDOW w AS (PARTITION BY l.account ORDER BY l.posting, l.leg)
    ), p AS (
        INSERT INTO postings (sequence, id, kind, booked_at, value_at, content)
        SELECT posting, md5(posting::text), 'transfer', at, at, sha256(posting::text::bytea) FROM chosen
    ), e AS (
        INSERT INTO entries (posting, leg, account, number, amount, balance)
        SELECT posting, leg, account, number, amount, balance FROM moved
    ), o AS (
        INSERT INTO outbox (position, id, topic, at, payload)
        SELECT posting, 'posting:' || md5(posting::text), 'posting.transfer', at, repeat('x', 380) FROM chosen
    )
    UPDATE balances b SET balance = v.balance, entries = v.entries FROM (
        SELECT account, (array_agg(balance ORDER BY number DESC))[1] AS balance, max(number) AS entries FROM moved GROUP BY account
    ) v WHERE b.account = v.account;
    UPDATE state SET sequence = start + size, booked_at = at;
END $$"#;

async fn sqlite(plan: &Plan) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let ledger = Arc::new(SqliteLedger::open(SqliteOptions::new(directory.path().join("ours.db"))).await?);
    let accounts = Accounts::open(ledger.clone(), plan.accounts).await?;
    let by_hand = directory.path().join("by-hand.db");
    let other = Arc::new(SqliteLedger::open(SqliteOptions::new(&by_hand)).await?);
    Accounts::open(other.clone(), plan.accounts).await?;
    other.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&by_hand)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    let mut next = plan.accounts as i64;
    let no_server = || Duration::ZERO;
    measure(plan, &accounts, &["one transaction a transfer, by hand"], no_server, async |_| {
        let (start, mut done) = (Instant::now(), 0.0);
        while start.elapsed() < plan.time {
            next += 1;
            one_by_hand(&mut connection, next, plan.accounts as i64).await?;
            done += 1.0;
        }
        Ok(done / start.elapsed().as_secs_f64())
    })
    .await?;
    ledger.close().await;
    Ok(())
}

/// A transfer as a team would write it: the same rows, each by its own statement.
async fn one_by_hand(connection: &mut SqliteConnection, number: i64, accounts: i64) -> Result<(), Failure> {
    let (payer, payee) = (1 + number * 7_919 % accounts, 1 + (number * 104_729 + 1) % accounts);
    connection.execute("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO postings (sequence, id, kind, booked_at, value_at, content) VALUES (?1, ?2, 'transfer', ?3, ?3, ?4)")
        .bind(number)
        .bind(format!("by.hand.{number:x}"))
        .bind(number)
        .bind(&[7_u8; 32][..])
        .execute(&mut *connection)
        .await?;
    for (leg, account, amount) in [(0, payer, -1), (1, payee, 1)] {
        sqlx::query("UPDATE balances SET balance = balance + ?2, entries = entries + 1 WHERE account = ?1")
            .bind(account)
            .bind(amount)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO entries (posting, leg, account, number, amount, balance)
             SELECT ?1, ?2, account, entries, ?4, balance FROM balances WHERE account = ?3",
        )
        .bind(number)
        .bind(leg)
        .bind(account)
        .bind(amount)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "INSERT INTO outbox (position, id, topic, at, payload) VALUES (?1, ?2, 'posting.transfer', ?1, ?3)",
    )
    .bind(number)
    .bind(format!("posting:by.hand.{number:x}"))
    .bind("x".repeat(380))
    .execute(&mut *connection)
    .await?;
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Throughput against callers in flight, as an SVG with a logarithmic axis for the callers.
fn plot(points: &[(usize, f64)]) -> String {
    let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let x = |in_flight: usize| 60.0 + 520.0 * (in_flight as f64).ln() / 2_000_f64.ln();
    let y = |rate: f64| 300.0 - 260.0 * rate / most;
    let line: Vec<String> = points.iter().map(|(n, rate)| format!("{:.0},{:.0}", x(*n), y(*rate))).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 620 350\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"620\" height=\"350\" fill=\"white\"/><polyline points=\"{}\" fill=\"none\" stroke=\"#0a58ca\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (in_flight, rate) in points {
        let (x, y) = (x(*in_flight), y(*rate));
        svg += &format!(
            "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"3\" fill=\"#0a58ca\"/><text x=\"{x:.0}\" y=\"320\" text-anchor=\"middle\">{in_flight}</text>"
        );
        svg += &format!("<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{rate:.0}</text>", y - 8.0);
    }
    svg + "<text x=\"320\" y=\"342\" text-anchor=\"middle\">callers in flight; transfers a second</text></svg>\n"
}
