//! What has to be true of a ledger after every history, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bank_stores::conformance::model::LedgerModel;
use bank_stores::ledger::{
    Account, AccountId, AsOf, Command, Entry, Hold, HoldId, HoldStatus, Period, Receipt, Statement,
    TrialBalance, Verified,
};
use bank_stores::outbox::{Edge, Event, ShardId};
use bank_stores::{Consistency, ErrorKind, Ledger, LedgerExt as _, PageRequest, Timestamp};
use bank_tests::patience;
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Followed, History, Outcome, id_of};
use crate::ledger::{event_print, is_refusal};
use crate::order::{command, parts, print};
use crate::plan::text;
use crate::replay::replay;

/// What is wrong; ids stand between backticks.
pub(crate) type Checked = Result<(), String>;

/// What the replay of the commit order takes for granted or does not ask for.
const CHECKS: [fn(&Evidence<'_>) -> Checked; 6] = [
    what_was_acknowledged_is_there,
    what_was_sent_later_comes_later,
    a_refusal_that_is_remembered_is_all_there_is,
    balances_of_the_past_are_those_of_then,
    followers_were_told_what_happened,
    the_chain_holds,
];

/// Reads the ledger back, replays its commit order and runs every check.
pub(crate) async fn check(ledger: &dyn Ledger, history: &History) -> Checked {
    let found = Evidence::read(ledger, history).await?;
    let model = replay(&found)?;
    what_stands_is_what_the_commit_order_gives(&found, &model)?;
    CHECKS.iter().try_for_each(|check| check(&found))
}

pub(crate) fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// What the ledger tells of itself when nothing moves any more.
pub(crate) struct Evidence<'h> {
    pub(crate) history: &'h History,
    /// By the single orders' names; as they are told again.
    pub(crate) receipts: BTreeMap<&'h str, Receipt>,
    /// The kinds of refusals that are remembered.
    refusals: BTreeMap<&'h str, &'static str>,
    accounts: Vec<(Account, Vec<Entry>)>,
    /// What accounts are said to have held at some times of booking.
    past: Vec<(AccountId, Timestamp, i64)>,
    /// A statement of each account, without its entries.
    statements: Vec<Statement>,
    holds: BTreeMap<&'h str, Hold>,
    pub(crate) events: Vec<Event>,
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
        for order in singles(history) {
            let (id, named) = (id_of(order), command(order).map_err(text)?.id());
            match ledger.receipt(&named).await {
                Ok(Some(receipt)) => {
                    receipts.insert(id, receipt.replay());
                }
                Ok(None) => {}
                Err(error) if is_refusal(error.kind()) => {
                    refusals.insert(id, error.kind().as_str());
                }
                Err(error) => return Err(format!("the receipt of `{id}` cannot be read: {error}")),
            }
        }
        let (mut held, mut past, mut statements) = (Vec::new(), Vec::new(), Vec::new());
        for order in singles(history).filter(|order| order["kind"] == "open") {
            let id = AccountId::new(order["account"].as_str().unwrap_or_default()).map_err(text)?;
            let account = match ledger.account(&id, Consistency::Current).await {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                account => account.map_err(text)?,
            };
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

/// Every single order that was sent, alone or linked to others.
fn singles(history: &History) -> impl Iterator<Item = &Value> {
    history.orders.values().flat_map(|sent| parts(&sent.order))
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
    for id in singles(history).filter(|order| order["kind"] == "hold").map(id_of) {
        let named = HoldId::new(id).map_err(text)?;
        match ledger.hold(&named, Consistency::Current).await {
            Ok(hold) => {
                holds.insert(id, hold);
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

fn what_stands_is_what_the_commit_order_gives(found: &Evidence<'_>, model: &LedgerModel) -> Checked {
    for (account, entries) in &found.accounts {
        let expected = model.account(&account.id);
        ensure(expected.as_ref() == Some(account), || format!("{account:?} should be {expected:?}"))?;
        let right = entries.iter().eq(model.entries(&account.id));
        ensure(right, || format!("{} has entries that its postings do not give: {entries:?}", account.id))?;
    }
    let there: BTreeMap<&str, Hold> = found.holds.iter().map(|(id, hold)| (*id, hold.clone())).collect();
    let holds = model.holds();
    let expected: BTreeMap<&str, Hold> = holds.iter().map(|hold| (hold.id.as_str(), hold.clone())).collect();
    let differs = |(id, hold): &(&&str, &Hold)| expected.get(**id) != Some(*hold);
    let other = there.iter().find(differs);
    ensure(other.is_none() && there.len() == expected.len(), || {
        format!("{} holds, of {} that there should be; one is {other:?}", there.len(), expected.len())
    })?;
    let trial = model.trial_balance();
    ensure(trial == found.trial && trial.is_balanced(), || {
        format!("the trial balance is {:?} and should be {trial:?}", found.trial)
    })?;
    let (told, sequence) = (found.receipts.len(), model.sequence());
    let expired = expiries(&found.events).len();
    ensure(told as u64 + expired as u64 == sequence, || {
        format!("{sequence} events tell of {told} commands and {expired} holds that expired")
    })
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
        let receipts: Option<Vec<&Receipt>> =
            parts(&sent.order).iter().map(|part| found.receipts.get(id_of(part))).collect();
        let there =
            receipts.map(|receipts| (receipts.last().map_or(0, |last| last.sequence), print(receipts)));
        let mut first = 0;
        for outcome in &sent.outcomes {
            let Outcome::Done { sequence, replayed, print } = outcome else { continue };
            first += u32::from(!replayed);
            ensure(there == Some((*sequence, *print)), || {
                format!("`{id}` was acknowledged as {outcome:?}, and its receipt is {there:?}")
            })?;
        }
        ensure(first <= 1, || format!("`{id}` was acknowledged {first} times as done for the first time"))?;
        ensure(sent.is_done() || there.is_none(), || {
            format!("`{id}` is there, and was refused whenever it was sent")
        })?;
    }
    Ok(())
}

fn what_was_sent_later_comes_later(found: &Evidence<'_>) -> Checked {
    for sent in found.history.orders.values() {
        for id in parts(&sent.order).iter().map(id_of) {
            let (Some(receipt), after) = (found.receipts.get(id), sent.after) else { continue };
            ensure(receipt.sequence > after, || {
                format!("`{id}` was sent when {after} had been acknowledged: {receipt:?}")
            })?;
        }
    }
    Ok(())
}

fn a_refusal_that_is_remembered_is_all_there_is(found: &Evidence<'_>) -> Checked {
    for (id, sent) in &found.history.orders {
        let kinds: BTreeSet<&str> = sent.refusals.iter().map(|refusal| refusal.kind.as_str()).collect();
        let kept = found.refusals.get(id.as_str());
        let right = match sent.says("remember") && !kinds.is_empty() {
            true => !sent.is_done() && kinds.len() == 1 && kept == kinds.first(),
            false => kept.is_none(),
        };
        ensure(right, || {
            format!("`{id}` was refused as {kinds:?}, and the refusal that is kept is {kept:?}")
        })?;
    }
    let of_parts = found.refusals.keys().find(|id| !found.history.orders.contains_key(**id));
    ensure(of_parts.is_none(), || format!("a refusal of linked commands is kept: {of_parts:?}"))
}

fn the_chain_holds(found: &Evidence<'_>) -> Checked {
    ensure(found.verified.is_intact(), || format!("the chain is broken: {:?}", found.verified.breach))
}
