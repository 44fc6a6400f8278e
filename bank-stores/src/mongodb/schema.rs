//! How collections are made.
//!
//! A collection that has documents gets a new key in steps, since no transaction spans them: the definition says that the key is
//! coming; every writer learns of it; the documents that are there get the key; a unique index is made; the definition says that the
//! key is there. A declaration that stops half-way, or is cancelled, leaves a key that is coming and binds nothing; the next one starts
//! again.

use std::future::IntoFuture as _;
use std::time::Duration;

use ::mongodb::IndexModel;
use ::mongodb::bson::{Bson, Document as Bsons, doc};
use ::mongodb::options::{IndexOptions, ReadConcern};
use serde_json::json;
use tokio::time::Instant;

use super::body::from_bson;
use super::definition::{Declared, Definition, conflict};
use super::error::{Effect, from_driver, is_duplicate, is_missing};
use super::filter::path;
use super::keys::{sort_key, sort_name, unique_key};
use super::row::whole;
use super::store::{FRESH, Store};
use crate::documents::Collection;
use crate::{Error, ErrorKind, Random as _, Result, SystemRandom};

/// How often a declaration starts again where others declare the same collection.
const TRIES: u32 = 100;
/// How long somebody who declares the same is waited for, before the work is taken over, and how long an index may take.
const OTHERS: Duration = Duration::from_secs(10);
const BUILDING: Duration = Duration::from_secs(3_600);
/// How long after its expiry the server removes a document: its clock may be ahead.
const REMOVED_AFTER: Duration = Duration::from_secs(3_600);

/// Makes what is missing of the collection, or nothing.
pub(super) async fn declare(store: &Store, collection: &Collection) -> Result<()> {
    let others_until = Instant::now() + OTHERS;
    for _ in 0..TRIES {
        let done = match store.read_definition(&collection.name).await? {
            None => create(store, collection).await?,
            Some(known) => {
                let added = known.declared.added(collection)?;
                if added.is_empty() {
                    // One that was declared half-way by somebody else has its indexes afterwards, too.
                    make_indexes(store, &known.name, &known.declared).await?;
                    true
                } else if known.coming == added && Instant::now() < others_until {
                    // Somebody does it already; who died half-way is taken over from.
                    false
                } else {
                    extend(store, known, added).await?
                }
            }
        };
        store.forget_definition(&collection.name);
        if done {
            return Ok(());
        }
        pause().await;
    }
    Err(Error::new(ErrorKind::Unavailable, "others declare this collection at the same time"))
}

/// Makes a collection that nobody writes to yet; says whether nobody else did.
async fn create(store: &Store, collection: &Collection) -> Result<bool> {
    let declared = Declared::default().added(collection)?;
    make_index(store, &collection.name, expiry_index()).await?;
    make_indexes(store, &collection.name, &declared).await?;
    let definitions = store.definitions();
    let row = doc! {
        "_id": &collection.name,
        "r": 1_i64,
        "declared": json!(declared).to_string(),
        "coming": json!(Declared::default()).to_string(),
    };
    match store.call(definitions.insert_one(row).write_concern(store.write_concern())).await {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(from_driver(error, Effect::Some)),
    }
}

/// Adds to a collection; says whether nobody else changed it meanwhile.
async fn extend(store: &Store, mut known: Definition, added: Declared) -> Result<bool> {
    known.coming = added;
    if !save(store, &mut known).await? {
        return Ok(false);
    }
    store.forget_definition(&known.name);
    let made = make(store, &known).await;
    let added = std::mem::take(&mut known.coming);
    if let Err(error) = made {
        // Whoever has taken over makes the same indexes: they are not this call's to drop.
        if is_still(store, &known).await? {
            drop_indexes(store, &known.name, &added).await?;
            save(store, &mut known).await?;
        }
        return Err(error);
    }
    known.declared = known.declared.with(added);
    let saved = save(store, &mut known).await?;
    if saved {
        // Who had begun before, and was slow, may have dropped one.
        make_indexes(store, &known.name, &known.declared).await?;
    }
    Ok(saved)
}

/// Whether nobody else has changed the definition since.
async fn is_still(store: &Store, known: &Definition) -> Result<bool> {
    let now = store.read_definition(&known.name).await?;
    Ok(now.is_some_and(|now| now.revision == known.revision))
}

/// A while, by chance, so that those who meet do not meet again.
async fn pause() {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte);
    tokio::time::sleep(Duration::from_millis(100 + u64::from(byte[0]))).await;
}

async fn make(store: &Store, definition: &Definition) -> Result<()> {
    let added = &definition.coming;
    if !added.uniques.is_empty() || !added.sorted.is_empty() {
        // Until no writer uses an older definition, and what it had sent is executed.
        tokio::time::sleep(2 * FRESH).await;
        if is_still(store, definition).await? {
            drop_indexes(store, &definition.name, added).await?;
        }
        fill(store, &definition.name, added).await?;
    }
    make_indexes(store, &definition.name, added).await
}

/// Stores the definition, if it is still of the revision that was read.
async fn save(store: &Store, definition: &mut Definition) -> Result<bool> {
    let filter = doc! { "_id": &definition.name, "r": definition.revision };
    let update = doc! { "$set": {
        "r": definition.revision + 1,
        "declared": json!(definition.declared).to_string(),
        "coming": json!(definition.coming).to_string(),
    } };
    let definitions = store.definitions();
    let call = definitions.find_one_and_update(filter, update).write_concern(store.write_concern());
    let saved = store.call(call).await.map_err(|error| from_driver(error, Effect::Some))?;
    definition.revision += 1;
    Ok(saved.is_some())
}

/// Gives the documents that are there what is new: keys, and what they are sorted by. `Conflict` where they hold what cannot be that.
async fn fill(store: &Store, name: &str, added: &Declared) -> Result<()> {
    let keys =
        added.uniques.iter().fold(Collection::new(name), |keys, (key, fields)| keys.unique(key, fields));
    let orders = added.sorted.iter().fold(Collection::new(name), Collection::sorted);
    let rows = store.rows(name);
    let all = rows
        .find(doc! {})
        .projection(doc! { "_id": 1, "v": 1, "body": 1 })
        .read_concern(ReadConcern::majority());
    let mut cursor = store.read(all).await?;
    while let Some(mut row) = store.next(&mut cursor).await? {
        let body = from_bson(row.remove("body").unwrap_or(Bson::Undefined))?;
        for (what, rules) in [("unique", &keys), ("sorted", &orders)] {
            rules.check(&body).map_err(|source| {
                conflict(what, "documents that are there hold what cannot be in such a field")
                    .with_source(source)
            })?;
        }
        let (mut set, mut unset) = (Bsons::new(), Bsons::new());
        let uniques = added
            .uniques
            .iter()
            .map(|(key, fields)| (format!("k.{key}"), unique_key(fields, &body).map(Bson::from)));
        let sorted =
            added.sorted.iter().map(|field| (format!("s.{}", sort_name(field)), sort_key(field, &body)));
        for (field, value) in uniques.chain(sorted) {
            match value {
                Some(value) => set.insert(field, value),
                // A key that was not made may have left one.
                None => unset.insert(field, ""),
            };
        }
        let mut update = Bsons::new();
        for (operator, fields) in [("$set", set), ("$unset", unset)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        // Where it was changed meanwhile, the writer has done that.
        let unchanged = doc! { "_id": row.get_str("_id").unwrap_or_default(), "v": whole(&row, "v")? };
        let call = rows
            .find_one_and_update(unchanged, update)
            .projection(doc! { "_id": 1 })
            .write_concern(store.write_concern());
        store.call(call).await.map_err(|error| from_driver(error, Effect::Some))?;
    }
    Ok(())
}

async fn make_indexes(store: &Store, name: &str, declared: &Declared) -> Result<()> {
    let sorted = declared.sorted.iter().map(|field| sort_index(field));
    let plain = declared.indexes.iter().filter_map(|fields| fields.first()).map(|field| plain_index(field));
    for index in declared.uniques.iter().map(|(key, _)| unique_index(key)).chain(sorted).chain(plain) {
        make_index(store, name, index).await?;
    }
    Ok(())
}

/// Makes an index, unless it is there. A server may take another definition under a name that is there for the same, so that it is
/// compared before.
async fn make_index(store: &Store, name: &str, index: IndexModel) -> Result<()> {
    let wanted = index.options.clone().unwrap_or_default();
    let there = indexes(store, name).await?;
    if let Some(found) = there.iter().find(|found| found.get_str("name").ok() == wanted.name.as_deref()) {
        let is_unique = found.get_bool("unique").unwrap_or(false);
        let same_keys = found.get_document("key").is_ok_and(|keys| is_same_order(keys, &index.keys));
        if !same_keys || is_unique != wanted.unique.unwrap_or(false) {
            return Err(conflict("indexes", "an index of this name is there and is another one"));
        }
        // It may be one that is still being built: to ask for it again waits for it, and costs nothing otherwise.
    }
    let rows = store.rows(name);
    let call = rows.create_index(index).write_concern(store.write_concern());
    // Large collections take long.
    let Ok(made) = tokio::time::timeout(BUILDING, call.into_future()).await else {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "the index is not built in an hour; declare again later",
        ));
    };
    made.map(drop).map_err(|error| match is_duplicate(&error) {
        true => conflict("unique", "documents that are there break the unique key").with_source(error),
        false => from_driver(error, Effect::Some),
    })
}

/// Whether two indexes have the same fields in the same order; all of ours ascend.
fn is_same_order(one: &Bsons, other: &Bsons) -> bool {
    one.keys().eq(other.keys())
}

/// Removes the unique indexes of keys that are not declared.
async fn drop_indexes(store: &Store, name: &str, added: &Declared) -> Result<()> {
    let there = indexes(store, name).await?;
    let rows = store.rows(name);
    for (key, _) in &added.uniques {
        let index = unique_name(key);
        if there.iter().any(|found| found.get_str("name").ok() == Some(&*index)) {
            match store.call(rows.drop_index(&index)).await {
                Err(error) if !is_missing(&error) => return Err(from_driver(error, Effect::Some)),
                _ => {}
            }
        }
    }
    Ok(())
}

async fn indexes(store: &Store, name: &str) -> Result<Vec<Bsons>> {
    let command = doc! { "listIndexes": store.rows(name).name() };
    let mut cursor = match store.call(store.database().run_cursor_command(command)).await {
        Ok(cursor) => cursor,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(from_driver(error, Effect::None)),
    };
    let mut found = Vec::new();
    while let Some(index) = store.next(&mut cursor).await? {
        found.push(index);
    }
    Ok(found)
}

fn unique_name(key: &str) -> String {
    format!("k.{key}")
}

/// Sparse: a document without the key is not bound by it.
fn unique_index(key: &str) -> IndexModel {
    let name = unique_name(key);
    let options = IndexOptions::builder().name(name.clone()).unique(true).sparse(true).build();
    IndexModel::builder().keys(doc! { name: 1 }).options(options).build()
}

fn sort_index(field: &str) -> IndexModel {
    let name = format!("s.{}", sort_name(field));
    let options = IndexOptions::builder().name(name.clone()).build();
    IndexModel::builder().keys(doc! { name: 1, "_id": 1 }).options(options).build()
}

/// Over the first field alone: MongoDB refuses a document that has lists in two fields of one index.
fn plain_index(field: &str) -> IndexModel {
    let options = IndexOptions::builder().name(format!("i.{field}")).build();
    IndexModel::builder().keys(doc! { path(field): 1 }).options(options).build()
}

fn expiry_index() -> IndexModel {
    let options = IndexOptions::builder().name("ttl".to_owned()).expire_after(REMOVED_AFTER).build();
    IndexModel::builder().keys(doc! { "ttl": 1 }).options(options).build()
}
