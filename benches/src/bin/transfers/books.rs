//! Whether the books are what the acknowledged transfers make of them.

use std::sync::Arc;

use accounts::wire::BalanceAt;
use bank_benches::Failure;
use bank_benches::bank::{Bank, Customer};
use bank_sdk::Empty;
use bank_sdk::client::Client;
use bank_stores::{Currency, Money};
use tokio::task::JoinSet;
use transactions::wire::{TransferPath, TransferStatus};

use crate::sending::Sent;

/// The books at one moment.
pub(crate) struct Books {
    pub(crate) balanced: bool,
    pub(crate) total: String,
    pub(crate) postings: u64,
    pub(crate) balances: Vec<Money>,
}

impl Books {
    pub(crate) async fn read(bank: &Bank, customers: &[Customer]) -> Result<Self, Failure> {
        let auditor = bank.demo_user("auditor").await?;
        let trial = auditor.call(accounts::endpoints::TRIAL_BALANCE, &Empty {}).send().await?;
        let euro = trial.currencies.iter().find(|total| total.currency == Currency::EUR);
        let euro = euro.ok_or("the trial balance has no euros")?;
        let connections = bank.connect()?;
        let mut balances = Vec::with_capacity(customers.len());
        for customer in customers {
            let client = Client::new(connections.clone()).bearer(&customer.token)?;
            let path = BalanceAt::now(&*customer.account);
            balances.push(client.call(accounts::endpoints::BALANCE, &path).send().await?.balance);
        }
        Ok(Self { balanced: trial.balanced, total: euro.total.clone(), postings: euro.postings, balances })
    }
}

/// What is wrong with the books. So many of the acknowledged transfers are looked for at most.
pub(crate) async fn check(
    bank: &Bank,
    customers: &Arc<[Customer]>,
    before: &Books,
    after: &Books,
    sent: &Sent,
    most: usize,
) -> Result<Vec<String>, Failure> {
    let mut faults = Vec::new();
    let zero = after.total.chars().all(|digit| digit == '0' || digit == '.');
    if !after.balanced || !zero {
        faults.push(format!("the trial balance is {}", after.total));
    }
    let sum = |books: &Books| books.balances.iter().map(|balance| i128::from(balance.minor())).sum::<i128>();
    if sum(before) != sum(after) {
        faults.push(format!("the customers had {} cents together and have {}", sum(before), sum(after)));
    }
    if sent.others > 0 {
        faults.push(format!("{} transfers were not completed: {}", sent.others, sent.reasons.join("; ")));
    }
    let posted = after.postings - before.postings;
    if sent.others == 0 && posted != sent.done.len() as u64 {
        faults.push(format!("{} transfers were acknowledged and {posted} posted", sent.done.len()));
    }
    if sent.others == 0 {
        let mut expected: Vec<i64> = before.balances.iter().map(|balance| balance.minor()).collect();
        for done in &sent.done {
            expected[done.from] -= done.amount.minor();
            expected[done.to] += done.amount.minor();
        }
        let wrong =
            expected.iter().zip(&after.balances).filter(|(expected, found)| **expected != found.minor());
        match wrong.count() {
            0 => {}
            wrong => faults.push(format!("{wrong} balances are not what the transfers make of them")),
        }
    }
    match not_visible(bank, customers, sent, most).await? {
        0 => {}
        lost => faults.push(format!("{lost} acknowledged transfers are not there")),
    }
    Ok(faults)
}

/// How many acknowledged transfers their senders do not see as they sent them.
async fn not_visible(
    bank: &Bank,
    customers: &Arc<[Customer]>,
    sent: &Sent,
    most: usize,
) -> Result<usize, Failure> {
    const AT_ONCE: usize = 16;
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let own = sent.done.iter().take(most).skip(first).step_by(AT_ONCE);
        let own: Vec<_> = own.map(|done| (done.id.clone(), done.from, done.to, done.amount)).collect();
        let (connections, customers) = (bank.connect()?, customers.clone());
        tasks.spawn(async move {
            let mut lost = 0;
            for (id, from, to, amount) in own {
                let client = Client::new(connections.clone()).bearer(&customers[from].token)?;
                let found = client.call(transactions::endpoints::FIND, &TransferPath { id }).send().await;
                let whole = found.is_ok_and(|found| {
                    found.status == TransferStatus::Completed
                        && found.amount == amount
                        && found.from == customers[from].account
                        && found.to == customers[to].account
                });
                lost += usize::from(!whole);
            }
            Ok::<_, Failure>(lost)
        });
    }
    let mut lost = 0;
    while let Some(task) = tasks.join_next().await {
        lost += task??;
    }
    Ok(lost)
}
