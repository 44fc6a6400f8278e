//! Documents, each broken in one way.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::documents::{
    Collection, Document, DocumentChange, DocumentWrite, Filter, Find, Unique, Written,
};
use bank_stores::embedded::{SqliteDocuments, SqliteOptions};
use bank_stores::{
    Consistency, Documents, DocumentsExt, Error, ErrorKind, Page, PageRequest, Result, conformance,
};
use serde_json::Value;
use tokio::sync::Barrier;

use super::{Running, assert_all_broken, caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Nothing is wrong: some pages are empty, as those of an engine that filters late.
    ShortPages,
    /// Bodies lose what they have nested.
    Flattens,
    /// Does again what comes again.
    Doubles,
    /// Takes other content under an id for a replay.
    TakesAnyContent,
    /// Keys bind nothing.
    IgnoresKeys,
    /// A key of a known name is taken for the same key.
    KeepsOldKeys,
    /// A declaration that fails leaves what it had made.
    DeclaresHalf,
    /// Versions are not compared.
    IgnoresVersions,
    /// Versions are compared first, and the document is written later.
    ChecksThenWrites,
    /// A list is found by its elements.
    LooksIntoLists,
    /// `or` is `and`.
    MixesOperators,
    /// Whoever sorts gets pages by id.
    IgnoresOrder,
    /// What has expired keeps its keys.
    ExpiredKeepKeys,
    /// Errors name no field.
    NamesNoField,
}

#[derive(Debug)]
struct Broken {
    inner: SqliteDocuments,
    fault: Fault,
    count: AtomicU64,
    /// Where two meet that have looked.
    looked: Barrier,
    /// Keys of what has expired.
    kept: Mutex<HashMap<String, Value>>,
}

impl Broken {
    async fn new(fault: Fault) -> Self {
        let inner = SqliteDocuments::open(SqliteOptions::temporary().unwrap()).await.unwrap();
        Self { inner, fault, count: AtomicU64::new(0), looked: Barrier::new(2), kept: Mutex::default() }
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes over whatever there is.
    async fn overwrite(&self, collection: &str, id: &str, mut write: DocumentWrite) -> Result<Written> {
        loop {
            let held = self.inner.get(collection, id, Consistency::Current).await?;
            write.change = at_version(write.change, held.map_or(0, |held| held.version));
            match self.inner.write_one(collection, write.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict && error.field() != Some("write") => {}
                outcome => return outcome,
            }
        }
    }

    async fn write_broken(&self, collection: &str, mut write: DocumentWrite) -> Result<Written> {
        let id = write.change.id().to_owned();
        match self.fault {
            Fault::Flattens => {
                if let DocumentChange::Insert { body: Value::Object(body), .. } = &mut write.change {
                    body.retain(|_, value| !value.is_object());
                }
            }
            Fault::Doubles => write.write = format!("{}.{}", write.write, self.next()).into(),
            Fault::IgnoresVersions => {
                let held = self.inner.get(collection, &id, Consistency::Current).await?;
                if let Some(held) = held {
                    write.change = at_version(write.change, held.version);
                }
            }
            Fault::ChecksThenWrites => {
                if let DocumentChange::Replace { version, .. } | DocumentChange::Delete { version, .. } =
                    &write.change
                {
                    let held = self.inner.get(collection, &id, Consistency::Current).await?;
                    if held.is_none_or(|held| held.version != *version) {
                        return Err(Error::new(ErrorKind::Conflict, "another version"));
                    }
                    // Somebody else has looked meanwhile; who stays alone goes on.
                    let _ = tokio::time::timeout(Duration::from_millis(100), self.looked.wait()).await;
                    // What was seen is believed, whoever came between.
                    return self.overwrite(collection, &id, write).await;
                }
            }
            Fault::ExpiredKeepKeys => {
                if let DocumentChange::Insert { body, expires_at, .. } = &write.change {
                    let email = body.get("email").cloned().unwrap_or_default();
                    let mut kept = self.kept.lock().unwrap();
                    if kept.iter().any(|(other, key)| *other != id && *key == email && !email.is_null()) {
                        return Err(Error::new(ErrorKind::AlreadyExists, "taken").with_field("email"));
                    }
                    if expires_at.is_some() {
                        kept.insert(id.clone(), email);
                    }
                }
            }
            _ => {}
        }
        match (self.fault, self.inner.write_one(collection, write).await) {
            (Fault::TakesAnyContent, Err(error)) if error.field() == Some("write") => {
                let held = self.inner.get(collection, &id, Consistency::Current).await?;
                Ok(Written::new(id, held.map_or(0, |held| held.version)).replay())
            }
            (Fault::NamesNoField, Err(error)) => Err(Error::new(error.kind(), "refused")),
            (_, outcome) => outcome,
        }
    }
}

/// The same change of a document of another version.
fn at_version(mut change: DocumentChange, other: u64) -> DocumentChange {
    if let DocumentChange::Replace { version, .. } | DocumentChange::Delete { version, .. } = &mut change {
        *version = other;
    }
    change
}

#[async_trait]
impl Documents for Broken {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        let mut collection = collection.clone();
        match self.fault {
            Fault::IgnoresKeys => collection.unique.clear(),
            Fault::KeepsOldKeys => collection
                .unique
                .retain(|unique| unique.name != "email" || *unique == Unique::new("email", ["email"])),
            Fault::DeclaresHalf => {
                for unique in &collection.unique {
                    let one = Collection::new(&collection.name).unique(&unique.name, &unique.fields);
                    self.inner.declare(&one).await?;
                }
            }
            _ => {}
        }
        self.inner.declare(&collection).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        self.inner.get(collection, id, read).await
    }

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        let mut outcomes = Vec::new();
        for write in writes {
            outcomes.push(self.write_broken(collection, write).await);
        }
        outcomes
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        let mut find = find.clone();
        match (self.fault, &find.filter) {
            (Fault::MixesOperators, Some(filter)) => find.filter = Some(mixed(filter)),
            (Fault::IgnoresOrder, _) => find.sort = None,
            (Fault::ShortPages, _) if self.next().is_multiple_of(2) && find.page.after.is_some() => {
                // It leads to where it was.
                return Ok(Page { items: Vec::new(), next: find.page.after });
            }
            (Fault::LooksIntoLists, Some(Filter::Eq(field, value))) => {
                let mut page = self.inner.find(collection, &find).await?;
                let all = Find::all().page(PageRequest::first(1_000));
                for document in self.inner.find(collection, &all).await?.items {
                    if document.body[&**field].as_array().is_some_and(|list| list.contains(value)) {
                        page.items.push(document);
                    }
                }
                return Ok(page);
            }
            _ => {}
        }
        match self.inner.find(collection, &find).await {
            Err(error) if self.fault == Fault::NamesNoField => Err(Error::new(error.kind(), "refused")),
            found => found,
        }
    }
}

fn mixed(filter: &Filter) -> Filter {
    match filter {
        Filter::Or(parts) | Filter::And(parts) => Filter::And(parts.iter().map(mixed).collect()),
        filter => filter.clone(),
    }
}

type Promise = fn(&dyn Documents) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $list:ident $promise:ident)*) => {
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(documents: &dyn Documents) -> Running<'_> {
                Box::pin(conformance::$list::$promise(documents))
            }
            promise
        })),*];
    };
}

faults! {
    Flattens documents what_was_written_is_read
    Doubles documents the_same_write_again_gives_the_first_outcome
    TakesAnyContent documents the_same_write_again_gives_the_first_outcome
    IgnoresKeys documents keys_are_unique
    KeepsOldKeys documents declarations_are_kept_or_refused
    DeclaresHalf documents declarations_are_kept_or_refused
    IgnoresVersions documents a_wrong_version_is_a_conflict
    ChecksThenWrites documents a_compare_and_set_race_loses_no_update
    LooksIntoLists documents values_are_compared_with_their_type
    MixesOperators documents filters_combine
    IgnoresOrder documents sorted_pages_hold_each_document_once
    ExpiredKeepKeys documents expired_documents_are_absent_and_free_their_keys
    NamesNoField documents bad_input_is_refused_and_named
    IgnoresVersions documents_model random_writes_match_the_model
    IgnoresKeys documents_model random_writes_match_the_model
    IgnoresOrder documents_model random_writes_match_the_model
}

async fn found(fault: Fault, promise: Promise) -> bool {
    let store = Broken::new(fault).await;
    caught(async move { promise(&store).await }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_documents_is_caught() {
    for (fault, name, promise) in FAULTS {
        assert!(found(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_documents_are_blamed_for_nothing() {
    for sound in [Fault::None, Fault::ShortPages] {
        for (_, name, promise) in FAULTS {
            assert!(!found(sound, *promise).await, "{sound:?} was blamed by {name}");
        }
    }
}

#[test]
fn each_promise_of_documents_has_a_store_that_breaks_it() {
    let broken: Vec<&str> = FAULTS.iter().map(|(_, name, _)| *name).collect();
    for list in ["documents", "documents_model"] {
        assert_all_broken(list, &broken);
    }
}
