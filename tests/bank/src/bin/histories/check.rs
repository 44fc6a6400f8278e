//! What has to be true of a ledger after every history, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bank_stores::ledger::{
    Account, AccountId, AsOf, Command, Entry, Hold, HoldId, HoldStatus, Period, Receipt, Statement,
    TrialBalance, Verified,
};
use bank_stores::outbox::{Edge, Event, ShardId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt as _, PageRequest, Timestamp};
use bank_tests::patience;
use tokio::time::Instant;

use crate::client::{Followed, History, Outcome, Sent};
use crate::ledger::{POWERS, accounts, command, event_print, is_refusal, print};
use crate::plan::text;

/// What is wrong; ids stand between backticks.
type Checked = Result<(), String>;

/// In this order, since the later ones take for granted what the earlier ones found.
const CHECKS: [fn(&Evidence<'_>) -> Checked; 14] = [
    balances_sum_to_zero,
    no_customer_is_or_was_below_zero,
    what_was_acknowledged_is_there,
    what_was_refused_is_not_there,
    no_two_share_a_sequence,
    what_was_sent_later_comes_later,
    entries_add_up,
    balances_of_the_past_are_those_of_then,
    each_mark_is_in_its_balance_once,
    each_posting_moves_once,
    each_hold_ends_once,
    events_tell_everything_once,
    followers_were_told_what_happened,
    the_chain_holds,
];

/// Reads the ledger back and runs every check.
pub(crate) async fn check(ledger: &dyn Ledger, history: &History) -> Checked {
    let found = Evidence::read(ledger, history).await?;
    CHECKS.iter().try_for_each(|check| check(&found))
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// What the ledger tells of itself when nothing moves any more.
struct Evidence<'h> {
    history: &'h History,
    receipts: BTreeMap<&'h str, Receipt>,
    /// The kinds of refusals that are remembered.
    refusals: BTreeMap<&'h str, &'static str>,
    accounts: Vec<(Account, Vec<Entry>)>,
    /// What accounts are said to have held at some times of booking.
    past: Vec<(AccountId, Timestamp, i64)>,
    /// A statement of each account, without its entries.
    statements: Vec<Statement>,
    holds: BTreeMap<&'h str, Hold>,
    events: Vec<Event>,
    trial: TrialBalance,
    verified: Verified,
}

impl<'h> Evidence<'h> {
    async fn read(ledger: &dyn Ledger, history: &'h History) -> Result<Self, String> {
        // What a server still does for a client that was killed, it has done when this has had its turn.
        let nothing = Command::Void(HoldId::new("none").map_err(text)?);
        match ledger.execute_one(nothing).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return Err(format!("to void a hold that never was gives {other:?}")),
        }
        let (holds, events) = settled(ledger, history).await?;
        let (mut receipts, mut refusals) = (BTreeMap::new(), BTreeMap::new());
        for (id, sent) in &history.orders {
            let named = command(&sent.order).map_err(text)?.id();
            match ledger.receipt(&named).await {
                Ok(Some(receipt)) => {
                    receipts.insert(id.as_str(), receipt);
                }
                Ok(None) => {}
                Err(error) if is_refusal(error.kind()) => {
                    refusals.insert(id.as_str(), error.kind().as_str());
                }
                Err(error) => return Err(format!("the receipt of `{id}` cannot be read: {error}")),
            }
        }
        let (mut held, mut past, mut statements) = (Vec::new(), Vec::new(), Vec::new());
        for name in accounts() {
            let id = AccountId::new(name).map_err(text)?;
            let account = ledger.account(&id, Consistency::Current).await.map_err(text)?;
            let entries = entries(ledger, &id).await?;
            for at in some_times(&account, &entries) {
                let then = ledger.balance_at(&id, AsOf::Booked(at), Consistency::Current).await;
                past.push((id.clone(), at, then.map_err(text)?.minor()));
            }
            statements.push(statement(ledger, &account, &entries).await?);
            held.push((account, entries));
        }
        let trial = ledger.trial_balance(Consistency::Current).await.map_err(text)?;
        let verified = ledger.verify(None, &mut |_| ()).await.map_err(text)?;
        let accounts = held;
        Ok(Self { history, receipts, refusals, accounts, past, statements, holds, events, trial, verified })
    }
}

/// Some of the times at which an account was booked on, and the moments before them.
fn some_times(account: &Account, entries: &[Entry]) -> impl Iterator<Item = Timestamp> {
    let every = entries.len() / 6 + 1;
    let mut times = vec![account.opened_at];
    times.extend(entries.iter().step_by(every).map(|entry| entry.booked_at));
    times.into_iter().flat_map(|at| [Timestamp::from_micros(at.micros() - 1), at])
}

/// A statement of the middle third of an account's entries.
async fn statement(ledger: &dyn Ledger, account: &Account, entries: &[Entry]) -> Result<Statement, String> {
    let at = |third: usize| {
        entries.get(entries.len() * third / 3).map_or(account.opened_at, |entry| entry.booked_at)
    };
    let until = at(2).max(at(1));
    let period = Period::new(at(1), until).map_err(text)?;
    let page = PageRequest::first(1);
    ledger.statement(&account.id, period, page, Consistency::Current).await.map_err(text)
}

/// Holds and events, when every hold whose deadline came has ended and everything is in the chain.
async fn settled<'h>(
    ledger: &dyn Ledger,
    history: &'h History,
) -> Result<(BTreeMap<&'h str, Hold>, Vec<Event>), String> {
    let deadline = Instant::now() + patience();
    loop {
        let holds = holds(ledger, history).await?;
        let events = events(ledger).await?;
        let moving = {
            let expiries = expiries(&events);
            let moves = |hold: &&Hold| match hold.status {
                HoldStatus::Open => hold.deadline.is_some(),
                HoldStatus::Expired => !expiries.contains_key(hold.id.as_str()),
                _ => false,
            };
            holds.values().find(moves).map(|hold| hold.id.clone())
        };
        let pending = ledger.chain().await.map_err(text)?.pending;
        if moving.is_none() && pending == 0 {
            return Ok((holds, events));
        }
        if Instant::now() >= deadline {
            return Err(match moving {
                Some(hold) => format!("hold `{hold}` never ends, and its deadline has come"),
                None => format!("{pending} commands never get into the chain"),
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The holds that there are, of those that clients placed.
async fn holds<'h>(ledger: &dyn Ledger, history: &'h History) -> Result<BTreeMap<&'h str, Hold>, String> {
    let mut holds = BTreeMap::new();
    for (id, _) in history.orders.iter().filter(|(_, sent)| sent.word("kind") == "hold") {
        let named = HoldId::new(id).map_err(text)?;
        match ledger.hold(&named, Consistency::Current).await {
            Ok(hold) => {
                holds.insert(id.as_str(), hold);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("hold `{id}` cannot be read: {error}")),
        }
    }
    Ok(holds)
}

async fn entries(ledger: &dyn Ledger, account: &AccountId) -> Result<Vec<Entry>, String> {
    let (mut entries, mut page) = (Vec::new(), PageRequest::first(1_000));
    loop {
        let read = ledger.entries(account, page.clone(), Consistency::Current).await.map_err(text)?;
        entries.extend(read.items);
        match read.next {
            Some(next) => page = page.after(next),
            None => return Ok(entries),
        }
    }
}

async fn events(ledger: &dyn Ledger) -> Result<Vec<Event>, String> {
    let mut events: Vec<Event> = Vec::new();
    let mut after = ledger.edge(ShardId::new(0), Edge::Oldest).await.map_err(text)?;
    loop {
        let read = ledger.events(&after, 500, Duration::ZERO).await.map_err(text)?;
        if read.events.is_empty() {
            return Ok(events);
        }
        after = read.next;
        events.extend(read.events);
    }
}

/// Where events say that holds have expired.
fn expiries(events: &[Event]) -> BTreeMap<&str, Vec<u64>> {
    let mut expiries: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.topic == "hold.expired") {
        let hold = event.payload["hold"].as_str().unwrap_or_default();
        expiries.entry(hold).or_default().push(event.position.number());
    }
    expiries
}

/// What a posting of two legs moved.
fn moved(receipt: &Receipt) -> i64 {
    receipt.entries.iter().map(|entry| entry.amount.minor()).max().unwrap_or_default()
}

fn balances_sum_to_zero(found: &Evidence<'_>) -> Checked {
    let sum: i128 = found.accounts.iter().map(|(account, _)| i128::from(account.balance.minor())).sum();
    ensure(sum == 0, || format!("money came or went: all balances together are {sum}"))?;
    let total = found.trial.currency(Currency::EUR);
    let all = total.is_some_and(|total| total.accounts == found.accounts.len() as u64);
    ensure(all && found.trial.is_balanced(), || format!("the trial balance is {:?}", found.trial))
}

fn no_customer_is_or_was_below_zero(found: &Evidence<'_>) -> Checked {
    for (account, entries) in found.accounts.iter().filter(|(account, _)| account.floor.is_some()) {
        let below = account.balance.is_negative() || account.available.is_negative();
        ensure(!below, || format!("a customer is below zero: {account:?}"))?;
        let low = entries.iter().find(|entry| entry.balance_after.is_negative());
        ensure(low.is_none(), || format!("a customer was below zero: {low:?}"))?;
    }
    Ok(())
}

fn balances_of_the_past_are_those_of_then(found: &Evidence<'_>) -> Checked {
    let of = |id: &AccountId| found.accounts.iter().find(|(account, _)| account.id == *id);
    for (id, at, said) in &found.past {
        let (_, entries) = of(id).ok_or("no such account")?;
        let last = entries.iter().rev().find(|entry| entry.booked_at <= *at);
        let then = last.map_or(0, |entry| entry.balance_after.minor());
        ensure(then == *said, || format!("{id} held {then} at {at}, and is said to have held {said}"))?;
    }
    for statement in &found.statements {
        let (_, entries) = of(&statement.account).ok_or("no such account")?;
        let Period { from, until, .. } = statement.period;
        let within: Vec<&Entry> =
            entries.iter().filter(|entry| (from..until).contains(&entry.booked_at)).collect();
        let moved: i64 = within.iter().map(|entry| entry.amount.minor()).sum();
        let right = statement.opening.minor() + moved == statement.closing.minor()
            && statement.entry_count == within.len() as u64;
        ensure(right, || format!("{} entries that sum to {moved} make {statement:?}", within.len()))?;
    }
    Ok(())
}

fn each_mark_is_in_its_balance_once(found: &Evidence<'_>) -> Checked {
    for (account, _) in &found.accounts {
        let Some(life) = account.id.as_str().strip_prefix("marks-") else { continue };
        let named: BTreeSet<String> = (0..POWERS)
            .filter(|power| account.balance.minor() >> power & 1 == 1)
            .map(|power| format!("m{life}.1.{}", power + 1))
            .collect();
        let mark = format!("m{life}.");
        let there: BTreeSet<String> =
            found.receipts.keys().filter(|id| id.starts_with(&mark)).map(ToString::to_string).collect();
        ensure(named == there && account.balance.minor() >> POWERS == 0, || {
            format!("{account:?} names {named:?}, and there are {there:?}")
        })?;
    }
    Ok(())
}

fn followers_were_told_what_happened(found: &Evidence<'_>) -> Checked {
    for (process, followed) in &found.history.followed {
        let mut kept = 0;
        for told in followed {
            let Followed { from, to, print } = *told;
            ensure(from >= kept || to > from, || format!("follower {process} kept {kept}: {told:?}"))?;
            let between = found.events.get(from as usize..to as usize).unwrap_or_default();
            let right = between.len() as u64 == to - from && between.iter().fold(0, event_print) == print;
            ensure(right, || format!("follower {process} was told something else: {told:?}"))?;
            kept = kept.max(to);
        }
    }
    Ok(())
}

fn what_was_acknowledged_is_there(found: &Evidence<'_>) -> Checked {
    for (id, sent) in &found.history.orders {
        let there = found.receipts.get(id.as_str()).map(|receipt| (receipt.sequence, print(receipt)));
        let mut first = 0;
        for outcome in &sent.outcomes {
            let Outcome::Done { sequence, replayed, print } = outcome else { continue };
            first += u32::from(!replayed);
            ensure(there == Some((*sequence, *print)), || {
                format!("`{id}` was acknowledged as {outcome:?}, and its receipt is {there:?}")
            })?;
        }
        ensure(first <= 1, || format!("`{id}` was acknowledged {first} times as done for the first time"))?;
    }
    Ok(())
}

fn what_was_refused_is_not_there(found: &Evidence<'_>) -> Checked {
    const REASONS: [ErrorKind; 3] = [ErrorKind::NotFound, ErrorKind::Rejected, ErrorKind::InsufficientFunds];
    for (id, sent) in &found.history.orders {
        let kinds: BTreeSet<&str> = sent
            .outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Refused { kind } => Some(kind.as_str()),
                _ => None,
            })
            .collect();
        for kind in &kinds {
            let known = REASONS.iter().any(|reason| reason.as_str() == *kind);
            ensure(known, || format!("`{id}` was refused as {kind}, for which it gives no reason"))?;
        }
        let (done, there) = (sent.is_done(), found.receipts.contains_key(id.as_str()));
        ensure(done || !there, || format!("`{id}` is there, and was refused whenever it was sent"))?;
        let kept = found.refusals.get(id.as_str());
        let right = match sent.says("remember") && !kinds.is_empty() {
            // The first refusal is all that there ever is.
            true => !done && kinds.len() == 1 && kept == kinds.first(),
            false => kept.is_none(),
        };
        ensure(right, || {
            format!("`{id}` was refused as {kinds:?}, done: {done}, and the refusal that is kept is {kept:?}")
        })?;
    }
    Ok(())
}

fn no_two_share_a_sequence(found: &Evidence<'_>) -> Checked {
    let mut taken = BTreeMap::new();
    for (id, receipt) in &found.receipts {
        if let Some(other) = taken.insert(receipt.sequence, id) {
            return Err(format!("`{id}` has sequence {}, and so has `{other}`", receipt.sequence));
        }
    }
    Ok(())
}

fn what_was_sent_later_comes_later(found: &Evidence<'_>) -> Checked {
    for (id, receipt) in &found.receipts {
        let (sequence, after) = (receipt.sequence, found.history.orders[*id].after);
        ensure(sequence > after, || {
            format!("`{id}` has sequence {sequence}, and was sent when {after} had been acknowledged")
        })?;
    }
    Ok(())
}

fn entries_add_up(found: &Evidence<'_>) -> Checked {
    for (account, entries) in &found.accounts {
        let mut sum = 0;
        for (entry, number) in entries.iter().zip(1_u64..) {
            sum += entry.amount.minor();
            let posting = entry.posting.as_str();
            let right = entry.number == number
                && entry.balance_after.minor() == sum
                && entry.account == account.id
                && found.receipts.contains_key(posting);
            ensure(right, || {
                let receipt = found.receipts.get(posting);
                format!("`{posting}` made {entry:?} as {number}; the sum is {sum}, the receipt {receipt:?}")
            })?;
        }
        let right = account.balance.minor() == sum && account.entry_count == entries.len() as u64;
        ensure(right, || format!("{} entries with the sum {sum} have made {account:?}", entries.len()))?;
        let kept: i64 = found
            .holds
            .values()
            .filter(|hold| hold.account == account.id)
            .map(|hold| hold.remaining.minor())
            .sum();
        ensure(account.held.minor() == kept, || format!("its holds keep {kept}: {account:?}"))?;
    }
    Ok(())
}

fn each_posting_moves_once(found: &Evidence<'_>) -> Checked {
    let mut made: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in found.accounts.iter().flat_map(|(_, entries)| entries) {
        made.entry(entry.posting.as_str()).or_default().push(entry);
    }
    for (id, receipt) in &found.receipts {
        let sent = &found.history.orders[*id];
        let from = match sent.word("kind") {
            "transfer" => sent.word("from"),
            "capture" => found.holds.get(sent.word("hold")).map_or("", |hold| hold.account.as_str()),
            _ => continue,
        };
        // Whether a capture that names no amount took what was left shows in its hold.
        let amount = sent.order["amount"].as_i64().unwrap_or_else(|| moved(receipt));
        let entries = made.remove(*id).unwrap_or_default();
        let mut legs: Vec<(&str, i64)> =
            entries.iter().map(|entry| (entry.account.as_str(), entry.amount.minor())).collect();
        let mut expected = [(from, -amount), (sent.word("to"), amount)];
        legs.sort_unstable();
        expected.sort_unstable();
        ensure(amount > 0 && legs == expected, || format!("`{id}` is {}, and made {legs:?}", sent.order))?;
        let told = receipt.entries.len() == 2 && receipt.entries.iter().all(|entry| entries.contains(&entry));
        ensure(told, || format!("`{id}` made {entries:?}, and its receipt is {receipt:?}"))?;
    }
    Ok(())
}

fn each_hold_ends_once(found: &Evidence<'_>) -> Checked {
    let mut captures: BTreeMap<&str, Vec<(&Sent, &Receipt)>> = BTreeMap::new();
    for (id, receipt) in &found.receipts {
        let sent = &found.history.orders[*id];
        if sent.word("kind") == "capture" {
            captures.entry(sent.word("hold")).or_default().push((sent, receipt));
        }
    }
    let mut expiries = expiries(&found.events);
    for (id, sent) in found.history.orders.iter().filter(|(_, sent)| sent.word("kind") == "hold") {
        let id = id.as_str();
        let (hold, placed) = match (found.holds.get(id), found.receipts.get(id)) {
            (None, None) => continue,
            (Some(hold), Some(receipt)) => (hold, receipt.sequence),
            (hold, receipt) => {
                return Err(format!("hold `{id}` is {hold:?}, and its receipt is {receipt:?}"));
            }
        };
        let paid = captures.remove(id).unwrap_or_default();
        let captured: i64 = paid.iter().map(|(_, receipt)| moved(receipt)).sum();
        let last = paid.iter().map(|(_, receipt)| receipt.sequence).max().unwrap_or(placed);
        let expired = expiries.remove(id).unwrap_or_default();
        let voided = found.receipts.get(format!("void:{id}").as_str()).map(|receipt| receipt.sequence);
        let released = paid.iter().any(|(sent, _)| sent.says("release"));
        let whole = hold.amount.minor();
        let remaining = if hold.status == HoldStatus::Open { whole - captured } else { 0 };
        let ended_as_told = match hold.status {
            HoldStatus::Open => !released && captured < whole && voided.is_none() && expired.is_empty(),
            HoldStatus::Captured => (released || captured == whole) && voided.is_none() && expired.is_empty(),
            HoldStatus::Voided => {
                !released && captured < whole && voided.is_some_and(|at| at > last) && expired.is_empty()
            }
            HoldStatus::Expired => {
                !released && captured < whole && voided.is_none() && matches!(expired[..], [at] if at > last)
            }
            _ => false,
        };
        let right = ended_as_told
            && Some(whole) == sent.order["amount"].as_i64()
            && hold.account.as_str() == sent.word("from")
            && hold.deadline.is_some() == sent.order["expires_in_ms"].is_u64()
            && hold.captured.minor() == captured
            && captured <= whole
            && hold.remaining.minor() == remaining
            && paid.iter().all(|(_, receipt)| receipt.sequence > placed)
            && paid.iter().all(|(sent, receipt)| !sent.says("release") || receipt.sequence == last);
        ensure(right, || {
            format!(
                "`{id}` was placed by {placed}, captured for {captured} up to {last} (released: {released}), \
                 voided by {voided:?}, expired by {expired:?}, and is {hold:?}"
            )
        })?;
    }
    match captures.into_keys().chain(expiries.into_keys()).next() {
        None => Ok(()),
        Some(hold) => Err(format!("hold `{hold}` was captured or expired, and nobody placed it")),
    }
}

fn events_tell_everything_once(found: &Evidence<'_>) -> Checked {
    let mut ids = BTreeSet::new();
    for (event, position) in found.events.iter().zip(1_u64..) {
        ensure(event.position.number() == position, || format!("event {position} is {event:?}"))?;
        ensure(ids.insert(event.id.as_str()), || format!("an earlier event has the same id: {event:?}"))?;
    }
    for (id, receipt) in &found.receipts {
        let sent = &found.history.orders[*id];
        let (topic, field, name) = match sent.word("kind") {
            "open" => ("account.opened", "account", sent.word("account")),
            "hold" => ("hold.placed", "hold", *id),
            "void" => ("hold.voided", "hold", sent.word("hold")),
            "capture" => ("posting.capture", "posting", *id),
            _ => ("posting.transfer", "posting", *id),
        };
        let event = found.events.get((receipt.sequence as usize).wrapping_sub(1));
        let right = event.is_some_and(|event| event.topic == topic && event.payload[field] == name);
        ensure(right, || format!("`{id}` has sequence {}, where the event is {event:?}", receipt.sequence))?;
    }
    // No event is left over: those of holds that expired belong to a hold each, and all others to a receipt.
    let expired = found.events.iter().filter(|event| event.topic == "hold.expired").count();
    let (events, receipts, last) = (found.events.len(), found.receipts.len(), found.trial.sequence);
    ensure(events == receipts + expired && events as u64 == last, || {
        format!("{events} events tell of {receipts} commands and {expired} expired holds; the last is {last}")
    })
}

fn the_chain_holds(found: &Evidence<'_>) -> Checked {
    ensure(found.verified.is_intact(), || format!("the chain is broken: {:?}", found.verified.breach))
}
