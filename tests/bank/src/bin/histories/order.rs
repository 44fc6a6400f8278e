//! Orders: what clients send, as JSON, and the commands that they stand for.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bank_stores::ledger::{
    AccountId, AccountStatus, Annotation, Capture, Ceiling, ChangeAccount, ChangeId, Command, Floor, HoldId,
    OpenAccount, PlaceHold, Posting, PostingId, Receipt, Reversal,
};
use bank_stores::{Currency, ErrorKind, Money};
use serde_json::{Value, json};

use crate::client::{Outcome, SHARED, Task};
use crate::plan::{Chance, Failure};

/// The bank's own account, without a floor.
const CASH: &str = "cash";
/// The bank's account and customers', which begin with a floor of zero.
const ACCOUNTS: [&str; 7] =
    [CASH, "customer-1", "customer-2", "customer-3", "customer-4", "customer-5", "customer-6"];
/// What each customer starts with.
const FUNDS: i64 = 1_000_000;
/// After which time some holds end by themselves.
pub(crate) const EXPIRY: Duration = Duration::from_millis(50);
/// How many names are remembered for captures, voids, reversals and changes.
const RECENT: usize = 32;

/// What comes before the first client.
pub(crate) fn setup() -> Vec<Value> {
    let open = |account: &&str| {
        let floor = if *account == CASH { Value::Null } else { 0.into() };
        json!({ "id": format!("open:{account}"), "kind": "open", "account": account, "floor": floor })
    };
    let fund = |account: &&str| {
        let id = format!("funding.{account}");
        json!({ "id": id, "kind": "transfer", "from": CASH, "to": account, "amount": FUNDS })
    };
    ACCOUNTS.iter().map(open).chain(ACCOUNTS[1..].iter().map(fund)).collect()
}

/// Invents orders that have to do with those before them.
#[derive(Debug, Default)]
pub(crate) struct Inventor {
    /// Holds that any task has placed lately, or is about to place.
    holds: Mutex<VecDeque<String>>,
    postings: Mutex<VecDeque<String>>,
    /// Accounts that tasks have opened, besides those that there are from the beginning.
    opened: Mutex<VecDeque<String>>,
}

fn list(names: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    names.lock().expect("no task panics while it has a list")
}

fn note(names: &Mutex<VecDeque<String>>, name: &str) {
    let mut names = list(names);
    names.push_back(name.to_owned());
    if names.len() > RECENT {
        names.pop_front();
    }
}

fn recent(names: &Mutex<VecDeque<String>>, chance: &mut Chance) -> Option<String> {
    let names = list(names);
    names.get(chance.pick(names.len().max(1))).cloned()
}

impl Inventor {
    pub(crate) fn invent(&self, task: &mut Task) -> Value {
        // Nothing that depends on what else is under way.
        if task.number == SHARED {
            let account = any(&mut task.chance);
            return if task.chance.one_in(8) { change(task, account) } else { transfer(task) };
        }
        if !task.chance.one_in(8) {
            return self.single(task);
        }
        let mut orders: Vec<Value> = (0..=task.chance.below(3)).map(|_| self.linkable(task)).collect();
        if task.chance.one_in(3) {
            orders.extend(self.within(task));
        } else {
            orders.push(self.linkable(task));
        }
        json!({ "id": task.id('l'), "kind": "linked", "orders": orders })
    }

    /// Any order but to void a hold: that has one name, whoever sends it, and would be done already.
    fn linkable(&self, task: &mut Task) -> Value {
        let order = self.single(task);
        if order["kind"] == "void" { transfer(task) } else { order }
    }

    fn single(&self, task: &mut Task) -> Value {
        match task.chance.below(20) {
            0 => self.open(task),
            1 | 2 => {
                let account = self.account(&mut task.chance);
                change(task, account)
            }
            3 | 4 => match recent(&self.postings, &mut task.chance) {
                Some(posting) if task.chance.one_in(3) => annotation(task, &posting),
                Some(posting) => self.posting(reversal(task, &posting)),
                None => transfer(task),
            },
            5..=8 => self.hold(task),
            9..=12 => match recent(&self.holds, &mut task.chance) {
                Some(hold) => self.posting(capture(task, &hold)),
                None => transfer(task),
            },
            13 => match recent(&self.holds, &mut task.chance) {
                Some(hold) => void(&hold),
                None => transfer(task),
            },
            14 => {
                // To or from an account that may have been closed, or be there no more than in an order.
                let mut order = transfer(task);
                let name = if task.chance.one_in(2) { "from" } else { "to" };
                order[name] = self.account(&mut task.chance).into();
                if order["from"] == order["to"] {
                    order["to"] = CASH.into();
                }
                self.posting(order)
            }
            _ => self.posting(transfer(task)),
        }
    }

    /// Orders of which the later ones need what the earlier ones did.
    fn within(&self, task: &mut Task) -> Vec<Value> {
        match task.chance.below(5) {
            4 => {
                let transfer = transfer(task);
                let note = annotation(task, transfer["id"].as_str().unwrap_or_default());
                vec![transfer, note]
            }
            0 => {
                let hold = self.hold(task);
                let capture = capture(task, hold["id"].as_str().unwrap_or_default());
                vec![hold, capture]
            }
            1 => {
                let transfer = transfer(task);
                let back = reversal(task, transfer["id"].as_str().unwrap_or_default());
                vec![transfer, back]
            }
            2 => {
                // One that no other order names.
                let hold = hold(task, CASH.to_owned());
                let void = void(hold["id"].as_str().unwrap_or_default());
                vec![hold, void]
            }
            _ => {
                let open = self.open(task);
                let mut fund = transfer(task);
                (fund["from"], fund["to"]) = (CASH.into(), open["account"].clone());
                vec![open, fund]
            }
        }
    }

    fn posting(&self, order: Value) -> Value {
        note(&self.postings, order["id"].as_str().unwrap_or_default());
        order
    }

    fn account(&self, chance: &mut Chance) -> String {
        let opened = if chance.one_in(2) { recent(&self.opened, chance) } else { None };
        opened.unwrap_or_else(|| any(chance))
    }

    fn open(&self, task: &mut Task) -> Value {
        let account = task.id('a');
        note(&self.opened, &account);
        json!({ "id": format!("open:{account}"), "kind": "open", "account": account, "floor": 0 })
    }

    fn hold(&self, task: &mut Task) -> Value {
        let from = self.account(&mut task.chance);
        let order = hold(task, from);
        note(&self.holds, order["id"].as_str().unwrap_or_default());
        order
    }
}

fn hold(task: &mut Task, from: String) -> Value {
    let expires = task.chance.one_in(3).then_some(EXPIRY.as_millis() as u64);
    json!({
        "id": task.id('h'), "kind": "hold", "from": from, "amount": amount(&mut task.chance),
        "expires_in_ms": expires, "remember": task.chance.one_in(8),
    })
}

fn any(chance: &mut Chance) -> String {
    ACCOUNTS[chance.pick(ACCOUNTS.len())].to_owned()
}

/// Of any size; now and then more than a customer starts with.
fn amount(chance: &mut Chance) -> i64 {
    if chance.one_in(12) { 1 << 20 } else { 1_i64 << chance.below(16) }
}

fn transfer(task: &mut Task) -> Value {
    let (id, from) = (task.id('p'), task.chance.pick(ACCOUNTS.len()));
    let to = (from + 1 + task.chance.pick(ACCOUNTS.len() - 1)) % ACCOUNTS.len();
    json!({
        "id": id, "kind": "transfer", "from": ACCOUNTS[from], "to": ACCOUNTS[to],
        "amount": amount(&mut task.chance), "remember": task.chance.one_in(6),
    })
}

/// Freezes an account, opens it again, moves its bounds, renames or closes it.
fn change(task: &mut Task, account: String) -> Value {
    let (id, chance) = (task.id('r'), &mut task.chance);
    let mut order = json!({ "id": id, "kind": "change", "account": account });
    match chance.below(10) {
        0 => order["status"] = "frozen".into(),
        1 => order["status"] = "closed".into(),
        2 => order["floor"] = (-1_i64 << chance.below(20)).into(),
        3 => order["floor"] = 0.into(),
        4 => order["ceiling"] = (FUNDS + (1_i64 << chance.below(22))).into(),
        5 => order["ceiling"] = (1_i64 << chance.below(22)).into(),
        6 => order["ceiling"] = "none".into(),
        7 => order["name"] = format!("called {}", chance.below(100)).into(),
        _ => order["status"] = "open".into(),
    }
    order
}

fn annotation(task: &mut Task, posting: &str) -> Value {
    json!({ "id": task.id('n'), "kind": "annotation", "annotates": posting, "note": "looked at" })
}

fn reversal(task: &mut Task, posting: &str) -> Value {
    let remember = task.chance.one_in(8);
    json!({ "id": task.id('u'), "kind": "reversal", "reverses": posting, "remember": remember })
}

fn capture(task: &mut Task, hold: &str) -> Value {
    let (id, to) = (task.id('c'), any(&mut task.chance));
    // All that is left, or so much.
    let amount = (!task.chance.one_in(3)).then(|| 1_i64 << task.chance.below(12));
    json!({
        "id": id, "kind": "capture", "hold": hold, "to": to, "amount": amount,
        "release": task.chance.one_in(4), "remember": task.chance.one_in(8),
    })
}

fn void(hold: &str) -> Value {
    json!({ "id": format!("void:{hold}"), "kind": "void", "hold": hold })
}

/// The single orders that an order is made of, in their order.
pub(crate) fn parts(order: &Value) -> &[Value] {
    order["orders"].as_array().map_or(std::slice::from_ref(order), Vec::as_slice)
}

/// The accounts that an order names, of which each single one may name two.
pub(crate) fn accounts(order: &Value) -> impl Iterator<Item = &str> {
    parts(order).iter().flat_map(|part| ["account", "from", "to"].map(|name| part[name].as_str())).flatten()
}

/// The commands that an order stands for.
pub(crate) fn commands(order: &Value) -> Result<Vec<Command>, Failure> {
    let mut commands = parts(order).iter().map(command).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, linked)) = commands.split_last_mut() {
        linked.iter_mut().for_each(|command| *command = command.clone().linked());
    }
    Ok(commands)
}

fn word<'o>(order: &'o Value, name: &str) -> Result<&'o str, Failure> {
    order[name].as_str().ok_or_else(|| format!("an order without {name}: {order}").into())
}

/// The command that a single order stands for.
pub(crate) fn command(order: &Value) -> Result<Command, Failure> {
    let account = |name: &str| -> Result<AccountId, Failure> { Ok(AccountId::new(word(order, name)?)?) };
    let some = order["amount"].as_i64().map(|minor| Money::from_minor(minor, Currency::EUR));
    let amount = || some.ok_or_else(|| Failure::from(format!("an order without amount: {order}")));
    let remember = order["remember"].as_bool() == Some(true);
    let floor = order["floor"].as_i64().map(Floor::At);
    let id = word(order, "id")?;
    Ok(match word(order, "kind")? {
        "open" => {
            OpenAccount::new(account("account")?, Currency::EUR).floor(floor.unwrap_or(Floor::None)).into()
        }
        "change" => {
            let mut change = ChangeAccount::new(ChangeId::new(id)?, account("account")?);
            change.floor = floor;
            change.ceiling = order["ceiling"].as_i64().map(Ceiling::At);
            if order["ceiling"] == "none" {
                change.ceiling = Some(Ceiling::None);
            }
            change.status = match order["status"].as_str() {
                Some("frozen") => Some(AccountStatus::Frozen),
                Some("closed") => Some(AccountStatus::Closed),
                Some(_) => Some(AccountStatus::Open),
                None => None,
            };
            change.name = order["name"].as_str().map(ToOwned::to_owned);
            change.into()
        }
        "annotation" => {
            let posting = PostingId::new(word(order, "annotates")?)?;
            Annotation::new(ChangeId::new(id)?, posting, word(order, "note")?).into()
        }
        "transfer" => {
            let posting = Posting::new(PostingId::new(id)?, "transfer");
            let mut posting = posting.transfer(account("from")?, account("to")?, amount()?);
            posting.remember = remember;
            posting.into()
        }
        "reversal" => {
            let mut reversal = Reversal::new(PostingId::new(id)?, PostingId::new(word(order, "reverses")?)?);
            reversal.remember = remember;
            reversal.into()
        }
        "hold" => {
            let mut place = PlaceHold::new(HoldId::new(id)?, account("from")?, amount()?);
            place.expires_in = order["expires_in_ms"].as_u64().map(Duration::from_millis);
            place.remember = remember;
            place.into()
        }
        "capture" => {
            let hold = HoldId::new(word(order, "hold")?)?;
            let mut capture = Capture::new(PostingId::new(id)?, hold, account("to")?);
            (capture.amount, capture.release) = (some, order["release"].as_bool() == Some(true));
            capture.remember = remember;
            capture.into()
        }
        "void" => Command::Void(HoldId::new(word(order, "hold")?)?),
        kind => return Err(format!("no such order: {kind}").into()),
    })
}

/// The single order that an event tells of; none where it tells of the end of a hold by its deadline.
pub(crate) fn order_of(topic: &str, payload: &Value) -> Option<String> {
    let word = |name: &str| payload[name].as_str().unwrap_or_default();
    match topic {
        "hold.expired" => None,
        "account.opened" => Some(format!("open:{}", word("account"))),
        "hold.placed" => Some(word("hold").to_owned()),
        "hold.voided" => Some(format!("void:{}", word("hold"))),
        // A change of an account, or what was added to a posting.
        _ if payload["change"].is_string() => Some(word("change").to_owned()),
        _ => Some(word("posting").to_owned()),
    }
}

/// What the answers to the commands of one order are together.
pub(crate) fn outcome(answers: &[bank_stores::Result<Receipt>]) -> Result<Outcome, Failure> {
    let receipts: Vec<&Receipt> = answers.iter().flatten().collect();
    if receipts.len() == answers.len() {
        let last = receipts.last().ok_or("an order without commands")?;
        if receipts.iter().any(|receipt| receipt.replayed != last.replayed) {
            return Err(format!("linked commands were done at several times: {receipts:?}").into());
        }
        return Ok(Outcome::Done {
            sequence: last.sequence,
            replayed: last.replayed,
            print: print(receipts),
        });
    }
    let kinds = kinds(answers);
    let unknown = [ErrorKind::Indeterminate, ErrorKind::Unavailable].map(ErrorKind::as_str);
    if let Some(kind) = unknown.iter().find(|kind| kinds.split(',').any(|other| other == **kind)) {
        return Ok(Outcome::Unknown { kind: (*kind).to_owned() });
    }
    if !receipts.is_empty() {
        return Err(format!("linked commands were done in part: {answers:?}").into());
    }
    Ok(Outcome::Refused { kind: kinds })
}

/// The kinds of all answers that are errors.
pub(crate) fn kinds(answers: &[bank_stores::Result<Receipt>]) -> String {
    let kinds: Vec<&str> =
        answers.iter().filter_map(|answer| answer.as_ref().err()).map(|it| it.kind().as_str()).collect();
    kinds.join(",")
}

/// Tells receipts from any others; whether they are told again does not count.
pub(crate) fn print<'r>(receipts: impl IntoIterator<Item = &'r Receipt>) -> u64 {
    receipts.into_iter().fold(0, |before, receipt| {
        let receipt = receipt.clone().replay();
        hash((before, serde_json::to_string(&receipt).expect("a receipt is JSON")))
    })
}

/// A number that tells this from anything else.
pub(crate) fn hash(what: impl Hash) -> u64 {
    // Of the same program in every process, and without a secret.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
