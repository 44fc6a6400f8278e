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
use crate::wire::{NotificationKind, TransferChange};

/// The topic of the ledger's event of a deposit.
const DEPOSITED: &str = "posting.deposit";

/// What the ledger's event says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Deposited {
    legs: Vec<Leg>,
    reference: Option<String>,
    at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Leg {
    owner: Option<String>,
    amount: Money,
}

/// The notifications of an event, each with its id; their numbers are given when they are written.
pub(crate) async fn notices(source: Source, event: &Event, names: &Names) -> Vec<(String, Note)> {
    let notes = match (source, &*event.topic) {
        (Source::Transactions, COMPLETED | REJECTED) => transfer(event, names).await,
        (Source::Accounts, DEPOSITED) => deposit(event),
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
    for part in [source.name(), event, &format!("{kind:?}")] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    random::text("ntf_", short)
}

async fn transfer(event: &Event, names: &Names) -> Result<Vec<Note>, Error> {
    let settled: Settled = payload(event)?;
    let (amount, reference) = (settled.amount, quoted(settled.reference.as_deref()));
    let Some(to_owner) = &settled.to_owner else {
        let body = format!("{amount} to {} was not sent: {}.", settled.to, reason(settled.code.as_deref()));
        let kind = NotificationKind::TransferRejected;
        return Ok(vec![note(&settled, &settled.from_owner, kind, "Transfer rejected", body)]);
    };
    let own = *to_owner == settled.from_owner;
    let to = if own { None } else { names.of(to_owner).await }.unwrap_or_else(|| settled.to.clone());
    let from =
        if own { None } else { names.of(&settled.from_owner).await }.unwrap_or_else(|| settled.from.clone());
    let sent = format!("You sent {amount} to {to}{reference}");
    let received = format!("You received {amount} from {from}{reference}");
    Ok(vec![match settled.side {
        Direction::Out => {
            note(&settled, &settled.from_owner, NotificationKind::TransferSent, "Money sent", sent)
        }
        Direction::In => {
            note(&settled, to_owner, NotificationKind::TransferReceived, "Money received", received)
        }
    }])
}

fn note(settled: &Settled, customer: &str, kind: NotificationKind, title: &str, body: String) -> Note {
    let (status, direction) = match kind {
        NotificationKind::TransferReceived => (TransferStatus::Completed, Direction::In),
        NotificationKind::TransferRejected => (TransferStatus::Rejected, Direction::Out),
        _ => (TransferStatus::Completed, Direction::Out),
    };
    let change = TransferChange {
        id: settled.transfer.clone(),
        status,
        code: settled.code.clone(),
        from: settled.from.clone(),
        to: settled.to.clone(),
        amount: settled.amount,
        reference: settled.reference.clone(),
        direction,
        at: settled.at,
    };
    Note {
        customer: customer.to_owned(),
        number: 0,
        kind,
        title: title.to_owned(),
        body,
        transfer: Some(change),
        amount: settled.amount,
        at: settled.at,
        read: false,
    }
}

fn deposit(event: &Event) -> Result<Vec<Note>, Error> {
    let deposited: Deposited = payload(event)?;
    let reference = quoted(deposited.reference.as_deref());
    let paid_in = deposited.legs.into_iter().filter(|leg| leg.amount.is_positive());
    let notes = paid_in.filter_map(|Leg { owner, amount }| {
        Some(Note {
            customer: owner?,
            number: 0,
            kind: NotificationKind::DepositReceived,
            title: "Deposit received".to_owned(),
            body: format!("{amount} was paid in{reference}"),
            transfer: None,
            amount,
            at: deposited.at,
            read: false,
        })
    });
    Ok(notes.collect())
}

fn payload<T: DeserializeOwned>(event: &Event) -> Result<T, Error> {
    T::deserialize(&event.payload)
        .map_err(|source| Error::invalid("payload", "not of the form that its topic has").with_source(source))
}

fn quoted(reference: Option<&str>) -> String {
    reference.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default()
}

fn reason(code: Option<&str>) -> &'static str {
    match code {
        Some("insufficient_funds") => "there is not enough money on the account",
        Some("unknown_account") => "there is no such account to pay to",
        Some("currency_mismatch") => "the two accounts are in different currencies",
        Some("account_blocked") => "the account pays nothing for now",
        _ => "the bank's rules refuse it",
    }
}
