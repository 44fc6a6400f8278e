//! A transfer through the whole bank: a process of its own, over HTTP, its data on a disk with every commit flushed. It needs
//! the bank's program, and says so where there is none.

use accounts::wire::BalanceAt;
use bank_benches::Failure;
use bank_benches::bank::{self, Bank, Customer, euros, new_key};
use bank_sdk::client::Client;
use bank_stores::{Currency, Money};
use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::task::JoinSet;
use transactions::wire::{NewTransfer, TransferStatus};

const CUSTOMERS: usize = 32;

async fn send(client: Client, from: String, to: String) -> Result<(), Failure> {
    let new = NewTransfer { from, to, amount: Money::from_minor(1, Currency::EUR), reference: None };
    let transfer = client.call(transactions::endpoints::CREATE, &new).key(&new_key()?).send().await?;
    match transfer.status {
        TransferStatus::Completed => Ok(()),
        status => Err(format!("a transfer is {status:?}").into()),
    }
}

/// One transfer of each of the first customers to the next one.
async fn send_at_once(clients: &[Client], customers: &[Customer]) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let account = |number: usize| customers[number % customers.len()].account.clone();
        tasks.spawn(send(client.clone(), account(number), account(number + 1)));
    }
    while let Some(sent) = tasks.join_next().await {
        sent??;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let program = match bank::program(std::env::var_os("BANK_PROGRAM").map(Into::into)) {
        Ok(program) => program,
        Err(reason) => {
            eprintln!("transfer: skipped: {reason}");
            return Ok(());
        }
    };
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let bank = runtime.block_on(Bank::start(&program, &bank::on_disk(None)?))?;
    let customers = runtime.block_on(bank.customers(CUSTOMERS, euros(1_000_000)))?;
    let clients: Vec<Client> = customers
        .iter()
        .map(|customer| Ok(Client::new(bank.connect()?).bearer(&customer.token)?))
        .collect::<Result<_, Failure>>()?;
    let mut group = criterion.benchmark_group("transfer");
    group.sample_size(20);
    for connections in [1, CUSTOMERS] {
        group.throughput(Throughput::Elements(connections as u64));
        group.bench_function(BenchmarkId::new("connections", connections), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                send_at_once(&clients[..connections], &customers).await.expect("there is enough money");
            });
        });
    }
    group.finish();
    // What a call costs that only reads.
    criterion.bench_function("balance", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let path = BalanceAt::now(&*customers[0].account);
            clients[0].call(accounts::endpoints::BALANCE, &path).send().await.expect("it is the caller's own")
        });
    });
    criterion.final_summary();
    runtime.block_on(bank.end())?;
    Ok(())
}
