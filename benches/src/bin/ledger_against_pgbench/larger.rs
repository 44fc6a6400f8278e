//! What a larger ledger costs.

use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::ledger_load::{Accounts, Choice};
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
    let mut ratios = Vec::new();
    // What a transfer writes to the server's log: bytes, and pages that are logged whole, as each is once after a checkpoint.
    let mut logged = [(0.0, 0.0); 2];
    let log = || -> Result<[f64; 2], Failure> {
        let said = server.sql("SELECT wal_bytes || ' ' || wal_fpi FROM pg_stat_wal");
        let (bytes, pages) = said.split_once(' ').ok_or("the server does not tell of its log")?;
        Ok([bytes.parse()?, pages.parse()?])
    };
    for round in 0..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let mut rates = Vec::new();
        for ((accounts, _), logged) in ledgers.iter().zip(&mut logged) {
            let before = log()?;
            let rate = accounts.run(2_000, Choice::Uniform, plan.time).await?.rate;
            rates.push(rate);
            let (after, transfers) = (log()?, rate * plan.time.as_secs_f64());
            if round > 0 {
                logged.0 += (after[0] - before[0]) / transfers / plan.rounds as f64;
                logged.1 += (after[1] - before[1]) / transfers / plan.rounds as f64;
            }
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
    for (name, (bytes, pages)) in ["smaller", "larger"].into_iter().zip(logged) {
        println!("the {name} one logs {bytes:.0} bytes and {pages:.3} whole pages a transfer");
    }
    for (_, ledger) in ledgers {
        ledger.close().await;
    }
    Ok(())
}
