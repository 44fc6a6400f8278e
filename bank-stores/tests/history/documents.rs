//! Documents: each write that was acknowledged is in its document's chain of writes, in which no two come after the same one, however
//! often they are sent; unique keys stay so; and what a query finds is what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bank_stores::documents::{Collection, Document, DocumentChange, DocumentWrite, Filter, Find, Written};
use bank_stores::{Consistency, Direction, Documents, DocumentsExt as _, PageRequest};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::lives::{Engine, History, TASKS, Task, is_away, opened, pause, say, work};

const C: &str = "things";
const DOCUMENTS: u64 = 3;
/// Fewer than there are documents, and tasks that want one.
const PLACES: u64 = 2;

/// A write as it is told: what it does to which document, and which write it comes after.
#[derive(Clone, Debug)]
struct Order {
    document: String,
    kind: String,
    parent: Option<String>,
    place: Option<u64>,
    /// How it was answered, each time.
    told: Vec<Told>,
    /// How often it was sent.
    sent: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Done { version: u64, replayed: bool },
    Refused { kind: String, field: String },
}

impl Order {
    fn done(&self) -> Option<u64> {
        self.told.iter().find_map(|told| match told {
            Told::Done { version, .. } => Some(*version),
            Told::Refused { .. } => None,
        })
    }

    /// It was sent once, and refused: it has no effect. Sent again, it may have been overtaken after it took effect.
    fn refusal(&self) -> Option<(&str, &str)> {
        match &self.told[..] {
            [Told::Refused { kind, field }] if self.sent == 1 => Some((kind, field)),
            _ => None,
        }
    }

    fn may_have_happened(&self) -> bool {
        self.refusal().is_none()
    }
}

fn collection() -> Collection {
    Collection::new(C).unique("place", ["place"]).sorted("step")
}

async fn declared<E: Engine<Store: Documents>>(place: &str) -> E::Store {
    let (documents, collection) = (opened::<E>(place).await, collection());
    E::answer(|| documents.declare(&collection)).await;
    documents
}

async fn write<E: Engine<Store: Documents>>(documents: Arc<E::Store>, mut task: Task) {
    for step in 0_u64.. {
        let numbers = &mut task.numbers;
        let id = format!("d{}", numbers.below(DOCUMENTS));
        let write = format!("{}.{step}", task.name);
        let found = E::answer(|| documents.get(C, &id, Consistency::Current)).await;
        let parent = found.as_ref().map(|found| found.body["write"].clone());
        let place = (numbers.below(2) == 0).then(|| numbers.below(PLACES));
        let body = json!({ "write": write, "parent": parent, "place": place, "step": numbers.below(10) });
        let (kind, change) = match &found {
            None => ("insert", DocumentChange::insert(&id, &body).unwrap()),
            Some(found) if numbers.below(6) == 0 => ("delete", DocumentChange::delete(&id, found.version)),
            Some(found) => ("replace", DocumentChange::replace(&id, found.version, &body).unwrap()),
        };
        let place = if kind == "delete" { None } else { place };
        let order = json!({ "document": id, "kind": kind, "parent": parent, "place": place });
        let sending = DocumentWrite::new(&*write, change);
        loop {
            say(&json!({ "sent": write, "order": order }));
            let call = documents.write_one(C, sending.clone());
            // Now and then the answer gets lost, and the write is sent again.
            let answer = match numbers.below(4) {
                0 => tokio::time::timeout(Duration::from_micros(numbers.below(2_000)), call).await.ok(),
                _ => Some(call.await),
            };
            match answer {
                None => {}
                Some(Ok(Written { version, replayed, .. })) => {
                    say(&json!({ "done": write, "version": version, "replayed": replayed }));
                    break;
                }
                Some(Err(error)) if is_away(&error) => {
                    say(&json!({ "lost": write, "kind": error.kind().as_str() }));
                    pause().await;
                }
                Some(Err(error)) => {
                    let (kind, field) = (error.kind().as_str(), error.field());
                    say(&json!({ "refused": write, "kind": kind, "field": field }));
                    break;
                }
            }
        }
    }
}

/// In a child.
pub(crate) async fn live_on<E: Engine<Store: Documents>>() {
    let open = async |place: String| declared::<E>(&place).await;
    work(open, write::<E>).await;
}

/// What was told of every write, by its id, over all lives.
#[derive(Debug, Default)]
struct Account {
    orders: BTreeMap<String, Order>,
    /// Writes that were read in their documents, with the versions.
    seen: HashMap<String, BTreeSet<u64>>,
    /// Whether the adapter sends writes again by itself.
    is_sent_again: bool,
}

impl Account {
    fn include(&mut self, lines: Vec<Value>) {
        for line in lines {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            if let Some(id) = text(&line["sent"]) {
                let order = &line["order"];
                let new = || Order {
                    document: text(&order["document"]).unwrap(),
                    kind: text(&order["kind"]).unwrap(),
                    parent: text(&order["parent"]),
                    place: order["place"].as_u64(),
                    told: Vec::new(),
                    sent: 0,
                };
                self.orders.entry(id).or_insert_with(new).sent += 1;
                continue;
            }
            if line["lost"].is_string() {
                continue;
            }
            let (id, told) = match text(&line["done"]) {
                Some(id) => {
                    let replayed = line["replayed"].as_bool().unwrap();
                    (id, Told::Done { version: line["version"].as_u64().unwrap(), replayed })
                }
                None => {
                    let kind = text(&line["kind"]).unwrap();
                    let field = text(&line["field"]).unwrap_or_default();
                    (text(&line["refused"]).unwrap(), Told::Refused { kind, field })
                }
            };
            self.orders.get_mut(&id).unwrap().told.push(told);
        }
    }

    /// Takes in what is there after a life, and says what is wrong with it.
    fn see(&mut self, there: &[Document]) {
        let mut places = BTreeSet::new();
        for document in there {
            let write = document.body["write"].as_str().unwrap().to_owned();
            if let Some(place) = document.body["place"].as_u64() {
                assert!(places.insert(place), "the place {place} is taken twice: {there:?}");
            }
            self.seen.entry(write).or_default().insert(document.version);
        }
    }

    /// The writes that took effect for certain: those that were acknowledged, those that were read, and those that they follow.
    fn effective(&self) -> BTreeSet<&str> {
        let acknowledged = self.orders.iter().filter(|(_, order)| order.done().is_some());
        let mut open: Vec<&str> =
            acknowledged.map(|(id, _)| &**id).chain(self.seen.keys().map(|id| &**id)).collect();
        let mut effective = BTreeSet::new();
        while let Some(id) = open.pop() {
            if effective.insert(id) {
                let order = self.orders.get(id).unwrap_or_else(|| panic!("nobody sent {id}"));
                open.extend(order.parent.as_deref());
            }
        }
        effective
    }

    /// How many deletions come after this write, directly or behind others.
    fn deletions_after<'a>(&self, id: &'a str, children: impl Fn(&str) -> Vec<&'a str>) -> usize {
        let (mut open, mut after) = (vec![id], BTreeSet::new());
        while let Some(id) = open.pop() {
            open.extend(children(id).into_iter().filter(|next| after.insert(*next)));
        }
        after.into_iter().filter(|next| self.orders[*next].kind == "delete").count()
    }

    fn judge(&self, there: &[Document]) {
        let effective = self.effective();
        let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
        for (id, order) in self.orders.iter().filter(|(_, order)| order.may_have_happened()) {
            if let Some(parent) = &order.parent {
                children.entry(parent).or_default().push(id);
            }
        }
        let children = |id: &str| children.get(id).cloned().unwrap_or_default();
        let last: BTreeSet<&str> =
            there.iter().map(|document| document.body["write"].as_str().unwrap()).collect();
        for (id, order) in &self.orders {
            let versions: BTreeSet<u64> = order
                .told
                .iter()
                .filter_map(|told| match told {
                    Told::Done { version, .. } => Some(*version),
                    Told::Refused { .. } => None,
                })
                .chain(self.seen.get(id).into_iter().flatten().copied())
                .collect();
            // A deletion, here or behind other writes, takes what is known of an insertion with it: what is sent again or arrives twice
            // afterwards inserts anew.
            let is_sent_again = order.sent > 1 || self.is_sent_again;
            let anew =
                if order.kind == "insert" && is_sent_again { self.deletions_after(id, children) } else { 0 };
            assert!(
                versions.len() <= 1 + anew,
                "{id} has several outcomes: {order:?}, and was seen as {versions:?}"
            );
            let again = order.told.iter().any(|told| matches!(told, Told::Done { replayed: true, .. }));
            assert!(!again || order.sent > 1, "{id} was sent once, and had been done before: {order:?}");
            if effective.contains(&**id) {
                assert!(order.may_have_happened(), "{id} was refused, and took effect: {order:?}");
                let next: Vec<&str> =
                    children(id).into_iter().filter(|next| effective.contains(next)).collect();
                assert!(
                    next.len() <= 1 + anew,
                    "{next:?} all come after {id}: {:#?}",
                    self.orders
                        .iter()
                        .filter(|(_, other)| other.document == order.document)
                        .collect::<Vec<_>>()
                );
                // What is not there any more was replaced or deleted by some write.
                let gone = order.kind == "delete" || !children(id).is_empty();
                assert!(gone || last.contains(&**id), "{id} is lost: {order:?}");
                let back = last.contains(&**id) && next.len() > anew;
                assert!(!back, "{next:?} are undone: {id} is back");
            }
            if let Some((kind, field)) = order.refusal() {
                let others = || {
                    let same = |other: &&Order| other.document == order.document && other.may_have_happened();
                    self.orders.values().filter(same)
                };
                let explained = match (kind, field) {
                    ("conflict", "version") => {
                        order.parent.as_deref().is_some_and(|p| !children(p).is_empty())
                    }
                    ("not found", "id") => others().any(|other| other.kind == "delete"),
                    ("already exists", "id") => others().any(|other| other.kind == "insert"),
                    ("already exists", "place") => self.orders.values().any(|other| {
                        other.place == order.place
                            && other.document != order.document
                            && other.may_have_happened()
                    }),
                    _ => false,
                };
                assert!(explained, "{id} had no reason to be refused: {order:?}");
            }
        }
        // Whoever inserts finds nothing: what was there before was deleted.
        for document in (0..DOCUMENTS).map(|n| format!("d{n}")) {
            let of = |kind: &str| {
                let of = |(_, order): &(&String, &Order)| order.document == document && order.kind == kind;
                self.orders.iter().filter(of).collect::<Vec<_>>()
            };
            let inserted = of("insert").iter().filter(|(id, _)| effective.contains(&***id)).count();
            let deleted = of("delete").iter().filter(|(_, order)| order.may_have_happened()).count();
            assert!(
                inserted <= deleted + 1,
                "{document} was inserted {inserted} times, and deleted {deleted} times"
            );
        }
    }
}

/// What is there, found in three ways that have to agree. What a killed child has sent to a server may take effect between two of
/// them: then it is looked again.
async fn there<E: Engine<Store: Documents>>(documents: &E::Store) -> Vec<Document> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match look::<E>(documents).await {
            Ok(found) => return found,
            Err(why) => assert!(E::IS_SERVER && Instant::now() < deadline, "{why}"),
        }
        pause().await;
    }
}

async fn look<E: Engine<Store: Documents>>(documents: &E::Store) -> Result<Vec<Document>, String> {
    let find = Find::all().sort("step", Direction::Forward).page(PageRequest::first(10));
    let mut sorted = E::answer(|| documents.find(C, &find)).await.items;
    assert!(sorted.is_sorted_by_key(|document| document.body["step"].as_u64()), "{sorted:?}");
    sorted.sort_by(|one, other| one.id.cmp(&other.id));
    let mut by_id = Vec::new();
    for id in (0..DOCUMENTS).map(|number| format!("d{number}")) {
        by_id.extend(E::answer(|| documents.get(C, &id, Consistency::Current)).await);
    }
    if sorted != by_id {
        return Err(format!("sorted: {sorted:?}, by id: {by_id:?}"));
    }
    for place in 0..PLACES {
        let find = Find::all().filter(Filter::eq("place", place)).page(PageRequest::first(10));
        let found = E::answer(|| documents.find(C, &find)).await.items;
        let expected: Vec<Document> =
            by_id.iter().filter(|document| document.body["place"] == json!(place)).cloned().collect();
        if found != expected {
            return Err(format!("at {place}: {found:?}, by id: {expected:?}"));
        }
    }
    Ok(by_id)
}

/// In the parent: lets children live, and judges what they said.
pub(crate) async fn judge<E: Engine<Store: Documents>>(history: &History, child: &'static str) {
    println!("seed {}", history.seed);
    let mut account = Account { is_sent_again: E::IS_SERVER, ..Account::default() };
    let mut last = Vec::new();
    for life in 0..history.lives {
        account.include(history.live(child, life).await);
        let documents = declared::<E>(&history.place).await;
        last = there::<E>(&documents).await;
        account.see(&last);
        E::close(&documents).await;
    }
    account.judge(&last);
    let acknowledged = account.orders.values().filter(|order| order.done().is_some()).count() as u64;
    assert!(acknowledged > history.lives * TASKS, "only {acknowledged} were acknowledged");
    let replayed = account
        .orders
        .values()
        .filter(|order| order.told.iter().any(|told| matches!(told, Told::Done { replayed: true, .. })));
    assert!(replayed.count() > 0, "no answer got lost behind its effect");
}
