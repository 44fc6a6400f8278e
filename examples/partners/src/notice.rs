//! From an event to what each side is told of it.

use bank_stores::outbox::Event;
use bank_stores::{Error, Money, Timestamp, random};
use identity::Names;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transactions::wire::event::{COMPLETED, REJECTED, Settled};
use transactions::wire::{Direction, TransferStatus};

use crate::follow::Source;
use crate::note::Note;
use crate::wire::{Counterparty, NotificationKind, TransferChange};

/// The topics of the ledger's events of cash that came in and that went out, of a posting that was undone, and of a payment out of a
/// hold.
const DEPOSITED: &str = "posting.deposit";
const WITHDRAWN: &str = "posting.withdrawal";
const REVERSED: &str = "posting.reversal";
const CAPTURED: &str = "posting.capture";

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
        (Source::Accounts, REVERSED) => {
            let kinds = (NotificationKind::ReversalReceived, NotificationKind::ReversalSent);
            both_sides(event, kinds, names).await
        }
        (Source::Accounts, CAPTURED) => {
            let kinds = (NotificationKind::CaptureReceived, NotificationKind::CaptureSent);
            both_sides(event, kinds, names).await
        }
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
        NotificationKind::ReversalReceived => "ReversalReceived",
        NotificationKind::ReversalSent => "ReversalSent",
        NotificationKind::CaptureReceived => "CaptureReceived",
        NotificationKind::CaptureSent => "CaptureSent",
    }
}

async fn transfer(event: &Event, names: &Names) -> Result<Vec<Note>, Error> {
    let settled: Settled = payload(event)?;
    let Some(to_owner) = settled.to_owner.clone() else {
        // Without a name: nothing was paid, and whose an account is would be asked for by transfers that cannot be made.
        let other = Counterparty { name: None, account: Some(settled.to.clone()) };
        let customer = settled.from_owner.clone();
        return Ok(vec![note(settled, customer, NotificationKind::TransferRejected, other)]);
    };
    let (from_owner, is_own) = (settled.from_owner.clone(), to_owner == settled.from_owner);
    let (kind, customer, other_owner, other) = match settled.side {
        Direction::Out => (NotificationKind::TransferSent, from_owner, to_owner, settled.to.clone()),
        Direction::In => (NotificationKind::TransferReceived, to_owner, from_owner, settled.from.clone()),
    };
    // Customers know what they are called themselves.
    let name = if is_own { None } else { customer_name(&other_owner, names).await };
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

/// What moved money between customers beside their transfers: each side of it that is a customer's, as it came in or went out.
async fn both_sides(
    event: &Event,
    (received, sent): (NotificationKind, NotificationKind),
    names: &Names,
) -> Result<Vec<Note>, Error> {
    let posted: Posted = payload(event)?;
    let mut notes = Vec::new();
    for (at, Leg { account, owner, amount }) in posted.legs.iter().enumerate() {
        let Some(customer) = owner else { continue };
        let (kind, amount) = match amount.is_positive() {
            true => (received, Some(*amount)),
            false => (sent, amount.checked_neg().ok()),
        };
        let Some(amount) = amount.filter(|amount| amount.is_positive()) else { continue };
        // The bank's own accounts are nobody's business, and of more than two sides none is the other.
        let other =
            posted.legs.get(1 - at.min(1)).filter(|other| posted.legs.len() == 2 && other.owner.is_some());
        let counterparty = match other {
            Some(Leg { account, owner: Some(owner), .. }) => {
                // Customers know what they are called themselves.
                let name = if owner == customer { None } else { customer_name(owner, names).await };
                Some(Counterparty { name, account: account.clone() })
            }
            _ => None,
        };
        notes.push(Note {
            customer: customer.clone(),
            number: 0,
            kind,
            amount,
            counterparty,
            account: account.clone(),
            reference: posted.reference.clone(),
            transfer: None,
            at: posted.at,
            // Whoever captured it knows of it.
            read: kind == NotificationKind::CaptureSent,
        });
    }
    Ok(notes)
}

/// The customer's name, or nothing where it cannot be had now: a notification without a name is better than a late one.
async fn customer_name(customer: &str, names: &Names) -> Option<String> {
    names.of(customer).await.ok().flatten()
}

fn payload<T: DeserializeOwned>(event: &Event) -> Result<T, Error> {
    T::deserialize(&event.payload)
        .map_err(|source| Error::invalid("payload", "not of the form that its topic has").with_source(source))
}
