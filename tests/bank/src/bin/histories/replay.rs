//! The general rule: the commit order, replayed through the model, gives every receipt, and each refusal is what the rules say in
//! some state between its sending and its answer. Each read is such a state too.

use std::collections::{BTreeMap, BTreeSet};

use bank_stores::Timestamp;
use bank_stores::conformance::model::LedgerModel;
use bank_stores::ledger::{AccountId, Command, Hold, HoldId, HoldStatus, Receipt};
use bank_stores::outbox::Event;
use serde_json::{Value, json};

use crate::check::{Checked, Evidence, ensure};
use crate::client::{Observation, Place, id_of};
use crate::order::{commands, kinds, order_of, parts};
use crate::plan::text;

/// Replays the events; gives the model as it stands at the end.
pub(crate) fn replay(found: &Evidence<'_>) -> Result<LedgerModel, String> {
    let mut replay = Replay::new(found)?;
    loop {
        replay.explain()?;
        let done = replay.model.sequence() as usize;
        let Some(event) = found.events.get(done) else { break };
        match order_of(&event.topic, &event.payload) {
            None => replay.end(event)?,
            Some(id) => replay.execute(&id, &found.events[done..])?,
        }
    }
    match (replay.refusals.first(), replay.observations.first()) {
        (Some(refusal), _) => Err(refusal.unexplained()),
        (None, Some((observation, until))) => Err(unexplained_observation(observation, *until)),
        (None, None) => Ok(replay.model),
    }
}

struct Replay<'f> {
    found: &'f Evidence<'f>,
    model: LedgerModel,
    /// The order that a single one is a part of.
    whole: BTreeMap<&'f str, &'f Value>,
    /// The refusals that no state has explained yet.
    refusals: Vec<Unexplained<'f>>,
    /// The reads that no state has explained yet, each with the last state that it may have seen.
    observations: Vec<(&'f Observation, u64)>,
    /// The holds with a deadline, as they were placed at a sequence.
    timed: Vec<(u64, &'f Hold)>,
    /// Open holds that end by themselves.
    deadlines: BTreeSet<(Timestamp, HoldId)>,
    now: Timestamp,
}

struct Unexplained<'f> {
    id: &'f str,
    commands: Vec<Command>,
    kind: &'f str,
    /// The states that it may have seen, by the last sequence in them.
    from: u64,
    until: u64,
}

impl Unexplained<'_> {
    fn unexplained(&self) -> String {
        let Self { id, kind, from, until, .. } = self;
        format!("`{id}` was refused as {kind}, which it is in no state from {from} to {until}")
    }
}

fn unexplained_observation(observation: &Observation, until: u64) -> String {
    let Observation { account, found, from, .. } = observation;
    format!("account `{account}` was read as {found}, which it is in no state from {from} to {until}")
}

impl<'f> Replay<'f> {
    fn new(found: &'f Evidence<'f>) -> Result<Self, String> {
        let orders = &found.history.orders;
        let whole =
            orders.values().flat_map(|sent| parts(&sent.order).iter().map(|part| (id_of(part), &sent.order)));
        let mut refusals = Vec::new();
        for (id, sent) in orders {
            for refusal in &sent.refusals {
                let (from, until) = (refusal.from, found.first_sent_after(refusal.answered) - 1);
                let commands = commands(&sent.order).map_err(text)?;
                refusals.push(Unexplained { id, commands, kind: &refusal.kind, from, until });
            }
        }
        let whole = whole.collect();
        let until = |observation: &Observation| found.first_sent_after(observation.answered) - 1;
        let observations =
            found.history.observations.iter().map(|observation| (observation, until(observation))).collect();
        let placed = found.receipts.iter().filter_map(|(id, receipt)| {
            let hold = receipt.hold.as_ref().filter(|hold| hold.id.as_str() == *id)?;
            hold.deadline.map(|_| (receipt.sequence, hold))
        });
        let timed = placed.collect();
        let (model, deadlines) = (LedgerModel::new(), BTreeSet::new());
        Ok(Self { found, model, whole, refusals, observations, timed, deadlines, now: Timestamp::EPOCH })
    }

    /// Strikes out what the state as it is now explains.
    fn explain(&mut self) -> Checked {
        let (state, now, model) = (self.model.sequence(), self.now, &mut self.model);
        self.refusals.retain(|refusal| {
            refusal.from > state || kinds(&model.try_out(&refusal.commands, now)) != refusal.kind
        });
        let late = self.refusals.iter().find(|refusal| refusal.until <= state);
        late.map_or(Ok(()), |refusal| Err(refusal.unexplained()))?;
        let (model, timed) = (&self.model, &self.timed);
        self.observations
            .retain(|(observation, _)| observation.from > state || !is_seen(observation, model, timed));
        let late = self.observations.iter().find(|(_, until)| *until <= state);
        late.map_or(Ok(()), |(observation, until)| Err(unexplained_observation(observation, *until)))
    }

    /// A hold ends by its deadline.
    fn end(&mut self, event: &Event) -> Checked {
        let next = self.model.sequence() + 1;
        ensure(event.position.number() == next && event.at >= self.now, || {
            format!("event {next}, at {} or later, is {event:?}", self.now)
        })?;
        let id = HoldId::new(event.payload["hold"].as_str().unwrap_or_default()).map_err(text)?;
        ensure(self.model.end(&id, event.at), || format!("hold `{id}` was not to end: {event:?}"))?;
        self.now = event.at;
        self.deadlines.retain(|(_, open)| *open != id);
        Ok(())
    }

    /// All commands of one order take effect.
    fn execute(&mut self, first: &str, events: &[Event]) -> Checked {
        let order =
            *self.whole.get(first).ok_or_else(|| format!("nobody sent `{first}`: {:?}", events[0]))?;
        let at = events[0].at;
        for (part, event) in parts(order).iter().zip(events) {
            let told = order_of(&event.topic, &event.payload);
            ensure(told.as_deref() == Some(id_of(part)), || {
                format!("`{}` is not in {event:?}", id_of(part))
            })?;
        }
        let before = self.model.sequence();
        let outcomes = self.model.execute_as_it_stands(&commands(order).map_err(text)?, at);
        for (((part, event), outcome), sequence) in
            parts(order).iter().zip(events).zip(&outcomes).zip(before + 1..)
        {
            let id = id_of(part);
            ensure(event.position.number() == sequence && event.at == at && at >= self.now, || {
                format!("event {sequence}, at {at}, is {event:?}")
            })?;
            let receipt =
                outcome.as_ref().map_err(|error| format!("`{id}` took effect, and is refused: {error}"))?;
            let told = self.found.receipts.get(id);
            ensure(told == Some(&receipt.clone().replay()), || {
                format!("`{id}` gives {receipt:?}, and its receipt is {told:?}")
            })?;
            self.no_due_hold(receipt, at)?;
        }
        let all = outcomes.len() == parts(order).len() && events.len() >= outcomes.len();
        ensure(all, || format!("`{first}` took effect in part"))?;
        self.now = at;
        for hold in outcomes.iter().flatten().filter_map(|receipt| receipt.hold.as_ref()) {
            let Some(deadline) = hold.deadline else { continue };
            match hold.status {
                HoldStatus::Open => self.deadlines.insert((deadline, hold.id.clone())),
                _ => self.deadlines.remove(&(deadline, hold.id.clone())),
            };
        }
        Ok(())
    }

    /// What an account's holds keep no longer is free before anything else happens on the account.
    fn no_due_hold(&self, receipt: &Receipt, at: Timestamp) -> Checked {
        let of_entries = receipt.entries.iter().map(|entry| &entry.account);
        let of_hold = receipt.hold.iter().map(|hold| &hold.account);
        let touched: BTreeSet<&AccountId> =
            of_entries.chain(of_hold).chain(receipt.account.iter().map(|account| &account.id)).collect();
        for (_, id) in self.deadlines.iter().take_while(|(deadline, _)| *deadline <= at) {
            let hold = self.model.hold(id);
            let kept = hold.filter(|hold| hold.is_due(at) && touched.contains(&hold.account));
            ensure(kept.is_none(), || format!("`{id}` should have ended before {receipt:?}: {kept:?}"))?;
        }
        Ok(())
    }
}

/// Whether a read saw this state, or this one without holds that were due by then.
fn is_seen(observation: &Observation, model: &LedgerModel, timed: &[(u64, &Hold)]) -> bool {
    let account = AccountId::new(&*observation.account).ok().and_then(|id| model.account(&id));
    let Some(mut account) = account else { return observation.found.is_null() };
    if observation.found == json!(account) {
        return true;
    }
    let (balance, held, count) = (account.balance.minor(), account.held.minor(), account.entry_count);
    let mut due = BTreeSet::from([0]);
    for (_, hold) in timed.iter().filter(|(_, hold)| hold.account == account.id) {
        if let Some(hold) = model.hold(&hold.id).filter(|hold| hold.status == HoldStatus::Open) {
            due.extend(due.clone().into_iter().map(|before| before + hold.remaining.minor()));
        }
    }
    due.into_iter().any(|due| {
        account.set_balance(balance, held - due, count);
        observation.found == json!(account)
    })
}

impl Evidence<'_> {
    /// The first sequence of what was sent after a place in the logs for certain; behind the last where nothing was.
    fn first_sent_after(&self, place: Place) -> u64 {
        let later =
            self.history.orders.values().filter(|sent| sent.first.iter().all(|first| first.is_after(place)));
        let sequences = later.filter_map(|sent| {
            let first = parts(&sent.order).first().map(id_of)?;
            self.receipts.get(first).map(|receipt| receipt.sequence)
        });
        sequences.min().unwrap_or(self.events.len() as u64 + 1)
    }
}
