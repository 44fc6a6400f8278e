//! What DynamoDB's role costs beside the calls of its driver, and what the order of events costs beside transactions without one.
//! DynamoDB Local is started by the program.
//!
//! | Aim | At most, or at least |
//! | --- | --- |
//! | a role's call against the driver's for the same work: latency | 1.15 times |
//! | the same: CPU of this process | 15 µs more |
//! | transactions with an event, 64 writers over 16 shards, against the same without order: throughput | 0.5 times |
//! | those sent again because others wrote under different stream keys | none |
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use bank_benches::Failure;
use bank_benches::arguments::{Arguments, program};
use bank_benches::calls::{CPU_AIM, Compared, LATENCY_AIM, Plan, compare};
use bank_benches::process::unless_signalled;
use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_tests::JavaServer;

mod contention;
mod events;
mod work;

use work::{Calls, Kind};

const HELP: &str = "\
dynamodb_calls [calls|events] [OPTIONS]

Measures both where neither is named.

Options:
  --seconds N     how long each turn is (1)
  --rounds N      how many turns each way has (5)
  --in-flight N   how many of the compared calls at once (1)
  --writers N     how many write events at once (64)";

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program("dynamodb_calls", HELP, |part, arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(unless_signalled(run(part, arguments)))
    })
}

async fn run(part: Option<String>, mut arguments: Arguments) -> Result<bool, Failure> {
    let plan = Plan::take(&mut arguments)?;
    let writers: usize = arguments.take("--writers")?.unwrap_or(64).max(1);
    arguments.finish()?;
    let (calls, events) = match part.as_deref() {
        None => (true, true),
        Some("calls") => (true, false),
        Some("events") => (false, true),
        Some(other) => return Err(format!("{other} is not known: calls, events, or nothing for both").into()),
    };
    let start = || JavaServer::dynamo("dynamodb_calls");
    let server = tokio::task::block_in_place(start).ok_or("there is no DynamoDB Local")?;
    let endpoint = format!("http://127.0.0.1:{}", server.port());
    if calls {
        let items = open("calls", &endpoint).await?;
        let work = Arc::new(Calls::prepare(items, driver(&endpoint)).await?);
        let compared = compare(&work, &Kind::ALL, &plan).await?;
        println!(
            "calls, {} in flight, {} rounds of {} s; medians, and the lowest and highest round; aims: at most {LATENCY_AIM} of the latency, {CPU_AIM} µs more CPU\n{}",
            plan.in_flight,
            plan.rounds,
            plan.time.as_secs(),
            Compared::title()
        );
        compared.iter().for_each(|compared| println!("{compared}"));
    }
    if events {
        events::run(&endpoint, writers, &plan).await?;
    }
    Ok(true)
}

/// How long an answer may take. DynamoDB Local writes one transaction after the other: what was sent again because it is slow would look
/// like contention.
const RESPONSE: Duration = Duration::from_secs(30);

/// Items in a new table.
async fn open(table: &str, endpoint: &str) -> Result<DynamoItems, Failure> {
    let options = DynamoOptions::new(&format!("bench-{table}"))?.endpoint(endpoint)?.create(true);
    Ok(DynamoItems::open(options.response_timeout(RESPONSE).deadline(2 * RESPONSE)).await?)
}

/// A client with the settings that the role's own has.
fn driver(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(RESPONSE)
        .build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "bank-benches"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    Client::from_conf(config.build())
}
