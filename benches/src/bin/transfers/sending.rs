//! Transfers of customers to each other, over so many connections.

use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::bank::{Bank, Customer, new_key};
use bank_sdk::client::{CallError, Client};
use bank_stores::{Currency, Money};
use tokio::task::JoinSet;
use tokio::time::Instant;
use transactions::wire::{NewTransfer, TransferStatus};

/// A transfer that the bank acknowledged as completed.
pub(crate) struct Done {
    pub(crate) id: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) amount: Money,
    pub(crate) took: Duration,
}

/// So many reasons are told.
const REASONS: usize = 5;

/// What became of all transfers.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) done: Vec<Done>,
    /// Refused, not known or not completed; the first few in words.
    pub(crate) others: usize,
    pub(crate) reasons: Vec<String>,
}

impl Sent {
    fn other(&mut self, reason: impl std::fmt::Display) {
        self.others += 1;
        if self.reasons.len() < REASONS {
            self.reasons.push(reason.to_string());
        }
    }

    pub(crate) fn merge(&mut self, mut more: Self) {
        self.done.append(&mut more.done);
        self.others += more.others;
        self.reasons.append(&mut more.reasons);
        self.reasons.truncate(REASONS);
    }
}

pub(crate) async fn send_all(
    bank: &Bank,
    customers: &Arc<[Customer]>,
    connections: usize,
    until: Instant,
) -> Result<Sent, Failure> {
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        let shared = bank.connect()?;
        let own = (first..customers.len()).step_by(connections);
        let clients = own
            .map(|number| Ok((number, Client::new(shared.clone()).bearer(&customers[number].token)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        tasks.spawn(send(clients, customers.clone(), until));
    }
    let mut sent = Sent::default();
    while let Some(task) = tasks.join_next().await {
        sent.merge(task??);
    }
    Ok(sent)
}

/// One connection, on which its customers take turns.
async fn send(
    clients: Vec<(usize, Client)>,
    customers: Arc<[Customer]>,
    until: Instant,
) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    for (turn, (from, client)) in clients.iter().cycle().enumerate() {
        if Instant::now() >= until {
            break;
        }
        let to = (from + 1 + turn % (customers.len() - 1)) % customers.len();
        let amount = Money::from_minor(1 + i64::try_from(turn % 100)?, Currency::EUR);
        let new = NewTransfer {
            from: customers[*from].account.clone(),
            to: customers[to].account.clone(),
            amount,
            reference: Some("bench".to_owned()),
        };
        let (key, start) = (new_key()?, Instant::now());
        match client.call(transactions::endpoints::CREATE, &new).key(&key).send().await {
            Ok(transfer) if transfer.status == TransferStatus::Completed => {
                sent.done.push(Done { id: transfer.id, from: *from, to, amount, took: start.elapsed() });
            }
            Ok(transfer) => sent.other(format!("{} is {:?}", transfer.id, transfer.status)),
            Err(CallError::Refused(problem)) => sent.other(problem),
            Err(error) => sent.other(error),
        }
    }
    Ok(sent)
}
