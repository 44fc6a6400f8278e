//! What a larger ledger costs.

use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::ledger_load::{Accounts, Choice, server_cpu};
use bank_benches::sample::Sample;
use bank_stores::Ledger as _;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};

use crate::Plan;
use crate::postgres::{CEILING, start};

/// So many transfers there are before, of `larger`, and ten times as many.
const HISTORY: usize = 100_000;

/// What a transfer costs with ten times as many accounts and ten times as much history.
pub(crate) async fn run(plan: &Plan) -> Result<(), Failure> {
    let server = start(plan)?;
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
    // Of each round: transfers a second, then for one transfer our CPU and the server's in microseconds, and what it writes to
    // the server's log: bytes, and pages that are logged whole, as each is once after a checkpoint.
    let mut measured = [const { Vec::<[f64; 5]>::new() }; 2];
    let log = || -> Result<[f64; 2], Failure> {
        let said = server.sql("SELECT wal_bytes || ' ' || wal_fpi FROM pg_stat_wal");
        let (bytes, pages) = said.split_once(' ').ok_or("the server does not tell of its log")?;
        Ok([bytes.parse()?, pages.parse()?])
    };
    for round in 0..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        for ((accounts, _), measured) in ledgers.iter().zip(&mut measured) {
            let (logged, cpu) = (log()?, server_cpu(&server));
            let ran = accounts.run(2_000, Choice::Uniform, plan.time).await?;
            let transfers = ran.rate * plan.time.as_secs_f64();
            let cpu = (server_cpu(&server) - cpu).as_secs_f64() * 1e6;
            let now = log()?;
            let each = [cpu, now[0] - logged[0], now[1] - logged[1]].map(|sum| sum / transfers);
            // The first round fills caches.
            if round > 0 {
                measured.push([ran.rate, ran.cpu, each[0], each[1], each[2]]);
            }
        }
    }
    println!(
        "{} accounts and {HISTORY} transfers, against ten times as many of both; 2,000 in flight, {} rounds of {} s",
        plan.accounts,
        plan.rounds,
        plan.time.as_secs()
    );
    let [small, large] = &measured;
    let ratios: Sample = small.iter().zip(large).map(|(small, large)| small[0] / large[0]).collect();
    println!("a transfer costs {ratios} times as much");
    for (name, measured) in [("smaller", small), ("larger", large)] {
        let of = |column: usize| measured.iter().map(|round| round[column]).collect::<Sample>().median();
        println!(
            "the {name} one: {:.0}/s, {:.1} µs of our CPU and {:.1} µs of the server's, {:.0} bytes and {:.3} whole pages in the log",
            of(0),
            of(1),
            of(2),
            of(3),
            of(4)
        );
    }
    for (_, ledger) in ledgers {
        ledger.close().await;
    }
    Ok(())
}
