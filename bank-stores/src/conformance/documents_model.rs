//! A collection of documents in memory that is plain enough to be seen to be right, and random writes against it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::documents::{C, NOW, declare, found};
use super::{Numbers, seed};
use crate::documents::{Collection, DocumentChange, DocumentWrite, Filter, Find};
use crate::{Direction, Documents, DocumentsExt, ErrorKind, PageRequest};

/// Documents as they have to be after the writes that a store said to have done; without expiry.
#[derive(Clone, Debug)]
pub struct DocumentsModel {
    collection: Collection,
    documents: BTreeMap<String, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    version: u64,
    body: Value,
    write: String,
    content: [u8; 32],
}

/// Why a write is refused: the kind, and the field.
pub type Refusal = (ErrorKind, Option<String>);

fn at<'a>(body: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(body, |value, part| value.get(part).unwrap_or(&Value::Null))
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other) == Ordering::Equal,
        _ => one == other,
    }
}

/// Null, then numbers, then text.
fn order(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 1,
        Value::String(_) => 2,
        _ => 0,
    };
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    rank(one).cmp(&rank(other)).then_with(|| match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one.cmp(other),
        _ => number(one).total_cmp(&number(other)),
    })
}

impl DocumentsModel {
    /// An empty collection.
    pub fn new(collection: Collection) -> Self {
        Self { collection, documents: BTreeMap::new() }
    }

    /// How the write has to end: the version of its first outcome where it is one that was done before, nothing where it is to be
    /// done now, or the refusal.
    ///
    /// # Errors
    /// The refusal.
    pub fn expect(&self, write: &DocumentWrite) -> Result<Option<u64>, Refusal> {
        let refused = |kind, field: &str| Err((kind, Some(field.to_owned())));
        let id = write.change.id();
        let held = self.documents.get(id);
        if let Some(held) = held.filter(|held| held.write == write.write.as_str()) {
            return match held.content == write.content() {
                true => Ok(Some(held.version)),
                false => refused(ErrorKind::Conflict, "write"),
            };
        }
        let body = match (&write.change, held) {
            (DocumentChange::Insert { body, .. } | DocumentChange::Replace { body, .. }, _)
                if self.collection.check(body).is_err() =>
            {
                let error = self.collection.check(body).err();
                return Err((ErrorKind::Invalid, error.and_then(|error| error.field().map(str::to_owned))));
            }
            (DocumentChange::Insert { body, .. }, None) => body,
            (DocumentChange::Insert { body, .. }, Some(_)) => {
                // Which of two keys is named, is the engine's.
                let field = self.taken(id, body).unwrap_or("id");
                return refused(ErrorKind::AlreadyExists, field);
            }
            (_, None) => return refused(ErrorKind::NotFound, "id"),
            (
                DocumentChange::Replace { version, .. } | DocumentChange::Delete { version, .. },
                Some(held),
            ) if held.version != *version => return refused(ErrorKind::Conflict, "version"),
            (DocumentChange::Replace { body, .. }, Some(_)) => body,
            (DocumentChange::Delete { .. }, Some(_)) => return Ok(None),
        };
        match self.taken(id, body) {
            Some(field) => refused(ErrorKind::AlreadyExists, field),
            None => Ok(None),
        }
    }

    fn taken(&self, id: &str, body: &Value) -> Option<&str> {
        let taken = |fields: &[String]| {
            !fields.iter().any(|field| at(body, field).is_null())
                && self.documents.iter().any(|(other, held)| {
                    other != id && fields.iter().all(|field| is_same(at(body, field), at(&held.body, field)))
                })
        };
        let unique = self.collection.unique.iter().find(|unique| taken(&unique.fields))?;
        Some(&unique.name)
    }

    /// Takes in a write that was done now, with the version that the store gave it.
    pub fn write(&mut self, write: &DocumentWrite, version: u64) {
        let id = write.change.id().to_owned();
        match &write.change {
            DocumentChange::Insert { body, .. } | DocumentChange::Replace { body, .. } => {
                let (body, content) = (body.clone(), write.content());
                let held = Held { version, body, write: write.write.to_string(), content };
                self.documents.insert(id, held);
            }
            DocumentChange::Delete { .. } => drop(self.documents.remove(&id)),
        }
    }

    /// The ids of the documents whose field has this value, by another field and then by id.
    pub fn find(&self, field: &str, value: &Value, sort: &str) -> Vec<String> {
        let has = |held: &Held| is_same(at(&held.body, field), value);
        let mut found: Vec<_> = self.documents.iter().filter(|(_, held)| has(held)).collect();
        // By id they are in order, and sorting keeps it among equals.
        found.sort_by(|(_, one), (_, other)| order(at(&one.body, sort), at(&other.body, sort)));
        found.into_iter().map(|(id, _)| id.clone()).collect()
    }
}

fn random_value(numbers: &mut Numbers) -> Value {
    match numbers.below(9) {
        0 => json!(null),
        1 => json!("1"),
        2 => json!(1),
        3 => json!(1.0),
        4 => json!("b"),
        5 => json!(numbers.below(4)),
        6 => json!([1]),
        7 => json!(true),
        _ => json!(numbers.below(100).to_string()),
    }
}

/// Whatever is written, one after another, ends as the model says: outcomes, what is read, and what is found in which order.
pub async fn random_writes_match_the_model(documents: &dyn Documents) {
    let collection = declare(documents).await;
    let seed = seed();
    let mut numbers = Numbers::new(seed);
    let mut model = DocumentsModel::new(collection);
    let mut sent: Vec<DocumentWrite> = Vec::new();
    for step in 0..500 {
        let told = format!("step {step} of seed {seed}");
        let id = format!("d{}", numbers.below(8));
        let value = |numbers: &mut Numbers| random_value(numbers);
        let (email, kind, v) = (value(&mut numbers), value(&mut numbers), value(&mut numbers));
        let body = json!({ "email": email, "kind": kind, "v": v, "a": numbers.below(3), "n": { "b": numbers.below(3) } });
        let version = match documents.get(C, &id, NOW).await.expect("it is read") {
            Some(document) => document.version + u64::from(numbers.below(8) == 0),
            None => 1,
        };
        let change = match numbers.below(5) {
            0 | 1 => DocumentChange::insert(&id, &body),
            2 => Ok(DocumentChange::delete(&id, version)),
            _ => DocumentChange::replace(&id, version, &body),
        };
        let change = change.expect("it is JSON");
        let write = match numbers.below(8) {
            0 if !sent.is_empty() => sent[numbers.below(sent.len() as u64) as usize].clone(),
            1 if !sent.is_empty() => DocumentWrite::new(sent[sent.len() - 1].write.as_str(), change),
            _ => DocumentWrite::new(format!("w{step}"), change),
        };
        let expected = model.expect(&write);
        match (documents.write_one(C, write.clone()).await, expected) {
            (Ok(written), Ok(Some(version))) => {
                assert_eq!((written.version, written.replayed), (version, true), "{told}");
            }
            (Ok(written), Ok(None)) => {
                assert!(!written.replayed, "{told}");
                model.write(&write, written.version);
            }
            (Err(error), Err(refusal)) => {
                assert_eq!((error.kind(), error.field().map(str::to_owned)), refusal, "{told}");
            }
            (outcome, expected) => panic!("{told}: {write:?} gave {outcome:?}, expected {expected:?}"),
        }
        sent.push(write);
        if step % 20 == 0 {
            for value in [json!(1), json!("1"), json!(null)] {
                let find = Find::all().filter(Filter::eq("kind", value.clone())).page(PageRequest::first(2));
                let find = find.sort("v", Direction::Forward);
                assert_eq!(found(documents, find).await, model.find("kind", &value, "v"), "{told}");
            }
        }
    }
}
