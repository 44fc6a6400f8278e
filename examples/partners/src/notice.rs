//! From an event to what each side is told of it.

use bank_stores::outbox::Event;
use bank_stores::{Error, Money, Timestamp, random};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transactions::wire::event::{COMPLETED, REJECTED, Settled};
use transactions::wire::{Direction, TransferStatus};

use crate::follow::Source;
use crate::names::Names;
use crate::note::Note;
use crate::wire::{Counterparty, NotificationKind, TransferChange};

/// The topics of the ledger's events of cash that came in, and that went out.
const DEPOSITED: &str = "posting.deposit";
const WITHDRAWN: &str = "posting.withdrawal";

/// What the ledger's event says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Posted {
    legs: Vec<Leg>,
    reference: Option<String>,
    at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Leg {
    account: Option<String>,
    owner: Option<String>,
    amount: Money,
}

/// The notifications of an event, each with its id; their numbers are given when they are written.
pub(crate) async fn notices(source: Source, event: &Event, names: &Names) -> Vec<(String, Note)> {
    let notes = match (source, &*event.topic) {
        (Source::Transactions, COMPLETED | REJECTED) => transfer(event, names).await,
        (Source::Accounts, DEPOSITED) => cash(event, NotificationKind::Deposit),
        (Source::Accounts, WITHDRAWN) => cash(event, NotificationKind::Withdrawal),
        _ => Ok(Vec::new()),
    };
    match notes {
        Ok(notes) => {
            notes.into_iter().map(|note| (notification_id(source, &event.id, note.kind), note)).collect()
        }
        // Waiting would not make it readable, and would hold up all events behind it.
        Err(error) => {
            tracing::error!(%error, event = %event.id, "an event cannot be read and is passed over");
            Vec::new()
        }
    }
}

/// An event tells each side one thing, so that event and kind name the notification for good.
fn notification_id(source: Source, event: &str, kind: NotificationKind) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in [source.name(), event, name_of(kind)] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    random::text("ntf_", short)
}

/// What stands for a kind in ids, for good.
const fn name_of(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::TransferSent => "TransferSent",
        NotificationKind::TransferReceived => "TransferReceived",
        NotificationKind::TransferRejected => "TransferRejected",
        NotificationKind::Deposit => "DepositReceived",
        NotificationKind::Withdrawal => "Withdrawal",
    }
}

async fn transfer(event: &Event, names: &Names) -> Result<Vec<Note>, Error> {
    let settled: Settled = payload(event)?;
    let Some(to_owner) = settled.to_owner.clone() else {
        // The account may be nobody's.
        let name = names.of_owner(&settled.to).await;
        let other = Counterparty { name, account: Some(settled.to.clone()) };
        let customer = settled.from_owner.clone();
        return Ok(vec![note(settled, customer, NotificationKind::TransferRejected, other)]);
    };
    let (from_owner, is_own) = (settled.from_owner.clone(), to_owner == settled.from_owner);
    let (kind, customer, other_owner, other) = match settled.side {
        Direction::Out => (NotificationKind::TransferSent, from_owner, to_owner, settled.to.clone()),
        Direction::In => (NotificationKind::TransferReceived, to_owner, from_owner, settled.from.clone()),
    };
    // Customers know what they are called themselves.
    let name = if is_own { None } else { names.of(&other_owner).await };
    Ok(vec![note(settled, customer, kind, Counterparty { name, account: Some(other) })])
}

fn note(settled: Settled, customer: String, kind: NotificationKind, other: Counterparty) -> Note {
    let (status, direction) = match kind {
        NotificationKind::TransferReceived => (TransferStatus::Completed, Direction::In),
        NotificationKind::TransferRejected => (TransferStatus::Rejected, Direction::Out),
        _ => (TransferStatus::Completed, Direction::Out),
    };
    let own = if direction == Direction::In { &settled.to } else { &settled.from };
    Note {
        customer,
        number: 0,
        kind,
        amount: settled.amount,
        counterparty: Some(other),
        account: Some(own.clone()),
        reference: settled.reference.clone(),
        at: settled.at,
        // Whoever sent it knows of it.
        read: kind == NotificationKind::TransferSent,
        transfer: Some(TransferChange {
            id: settled.transfer,
            status,
            code: settled.code,
            from: settled.from,
            to: settled.to,
            amount: settled.amount,
            reference: settled.reference,
            direction,
            at: settled.at,
        }),
    }
}

/// Cash that came in or went out: the customer's side of it, without the bank's.
fn cash(event: &Event, kind: NotificationKind) -> Result<Vec<Note>, Error> {
    let posted: Posted = payload(event)?;
    let mut notes = Vec::new();
    for Leg { account, owner, amount } in posted.legs {
        let Some(customer) = owner else { continue };
        let amount = match kind {
            NotificationKind::Withdrawal => amount.checked_neg().ok(),
            _ => Some(amount),
        };
        let Some(amount) = amount.filter(|amount| amount.is_positive()) else { continue };
        notes.push(Note {
            customer,
            number: 0,
            kind,
            amount,
            counterparty: None,
            account,
            reference: posted.reference.clone(),
            transfer: None,
            at: posted.at,
            read: false,
        });
    }
    Ok(notes)
}

fn payload<T: DeserializeOwned>(event: &Event) -> Result<T, Error> {
    T::deserialize(&event.payload)
        .map_err(|source| Error::invalid("payload", "not of the form that its topic has").with_source(source))
}
