//! Documents of which chosen fields are sealed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::data_keys::DataKeys;
use super::fields::{Fields, INDEX, SealedFields, blind};
use super::sealer::Sealer;
use super::subjects::Subjects;
use super::values::{ERASED, Opened, is_sealed, lasting, seal_json};
use crate::documents::{Collection, Document, DocumentChange, DocumentWrite, Find, Written};
use crate::{
    Consistency, Documents, DocumentsExt as _, Error, ErrorKind, Page, Result, SystemRandom, random,
};

/// [`Documents`] over others: it seals the chosen fields of bodies with the key of the document's subject.
///
/// Ids and other fields stay as they are. A field that is [indexed](SealedFields::seal_indexed) is found by equality and may be in
/// unique keys; any other filter over a sealed field is `Invalid`, field `filter`. Versions, expiry and replays are those of the
/// store below.
///
/// A field whose key was shredded reads as [`ERASED`], where it was a text, and as null otherwise, so that lists go on. So does one that
/// nobody has sealed, unless [allowed](DataKeys::allow_unsealed): then it reads as itself, and no filter finds it until
/// [`reseal`](Self::reseal) has sealed it.
#[derive(Clone)]
pub struct SealedDocuments {
    inner: Arc<dyn Documents>,
    keys: DataKeys,
    subjects: Arc<dyn Subjects>,
    fields: Arc<SealedFields>,
    name: Arc<str>,
}

impl SealedDocuments {
    /// Seals these fields of what is in `inner`. `name` is bound into each value: give each store its own, for good.
    pub fn new(
        inner: Arc<dyn Documents>,
        keys: DataKeys,
        subjects: Arc<dyn Subjects>,
        fields: SealedFields,
        name: impl Into<String>,
    ) -> Self {
        let name: String = name.into();
        Self { inner, keys, subjects, fields: Arc::new(fields), name: name.into() }
    }

    /// Seals the fields of a collection that nobody has sealed, and tells after each page how many documents were looked at and
    /// sealed; gives the same at the end. It may be stopped and called again: a field that is sealed stays as it is, also where it
    /// does not open. A document that somebody changes at the same moment is sealed by that.
    ///
    /// # Errors
    /// Of the store and of the keys; what was sealed until then is sealed.
    pub async fn reseal(
        &self,
        collection: &str,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(u64, u64)> {
        let (mut checked, mut sealed) = (0, 0);
        let mut find = Find::all();
        loop {
            let page = self.inner.find(collection, &find).await?;
            for document in page.items {
                checked += 1;
                let Document { id, version, body, expires_at, .. } = document;
                let name = random::id(&SystemRandom::new(), "seal:reseal:");
                let Some(body) = self.resealed(collection, &id, &name, body).await? else { continue };
                let change = DocumentChange::Replace { id, version, body, expires_at };
                match self.inner.write_one(collection, DocumentWrite::new(name, change)).await {
                    Ok(_) => sealed += 1,
                    Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            progress(checked, sealed);
            match page.next {
                Some(next) => find.page = find.page.after(next),
                None => return Ok((checked, sealed)),
            }
        }
    }

    fn place<'a>(&'a self, collection: &'a str, id: &'a str, field: &'a str) -> [&'a str; 5] {
        ["document", &self.name, collection, id, field]
    }

    async fn index(&self, fields: Fields<'_>) -> Result<Option<Arc<Sealer>>> {
        match fields.names().any(|field| fields.is_indexed(field)) {
            true => self.keys.index().await.map(Some),
            false => Ok(None),
        }
    }

    async fn seal(&self, collection: &str, mut write: DocumentWrite) -> Result<DocumentWrite> {
        write.validate()?;
        let fields = self.fields.of(collection);
        let DocumentWrite { write: name, change } = &mut write;
        let (DocumentChange::Insert { id, body, .. } | DocumentChange::Replace { id, body, .. }) = change
        else {
            return Ok(write);
        };
        if fields.is_empty() {
            return Ok(write);
        }
        if body.get(INDEX).is_some() {
            return Err(Error::invalid(
                format!("body.{INDEX}"),
                "the name of this field is taken by sealing",
            ));
        }
        let subject = self.subjects.of_document(collection, id, body);
        let Value::Object(body) = body else { return Ok(write) };
        self.seal_plain(collection, id, name.as_str(), subject, body).await?;
        Ok(write)
    }

    /// The body of a document with its plain fields sealed; nothing, where it has none.
    async fn resealed(
        &self,
        collection: &str,
        id: &str,
        write: &str,
        mut stored: Value,
    ) -> Result<Option<Value>> {
        let is_plain =
            |field: &str| stored.get(field).is_some_and(|value| !value.is_null() && !is_sealed(value));
        if !self.fields.of(collection).names().any(is_plain) {
            return Ok(None);
        }
        let reading = Self { keys: self.keys.clone().allow_unsealed(), ..self.clone() };
        let opened = reading.open(collection, id, stored.clone()).await?;
        let subject = self.subjects.of_document(collection, id, &opened);
        let Value::Object(body) = &mut stored else { return Ok(None) };
        let sealed =
            |(field, value): (&String, &Value)| is_sealed(value).then(|| (field.clone(), value.clone()));
        let mut sealed: Map<String, Value> = body.iter().filter_map(sealed).collect();
        let indexes = body.remove(INDEX);
        // What is sealed already is out of the way, and comes back as it was.
        body.retain(|field, _| !sealed.contains_key(field));
        self.seal_plain(collection, id, write, subject, body).await?;
        body.append(&mut sealed);
        if let Some(Value::Object(mut before)) = indexes {
            match body.get_mut(INDEX) {
                Some(Value::Object(indexes)) => indexes.append(&mut before),
                _ => drop(body.insert(INDEX.to_owned(), Value::Object(before))),
            }
        }
        Ok(Some(stored))
    }

    /// Seals the fields of a body, all of which are plain.
    async fn seal_plain(
        &self,
        collection: &str,
        id: &str,
        write: &str,
        subject: Option<String>,
        body: &mut Map<String, Value>,
    ) -> Result<()> {
        let fields = self.fields.of(collection);
        let index = self.index(fields).await?;
        let sealer = self.keys.of(subject.as_deref()).await?;
        let mut indexes = Map::new();
        for field in fields.names() {
            let Some(value) = body.get_mut(field).filter(|value| !value.is_null()) else { continue };
            if let Some(index) = index.as_ref().filter(|_| fields.is_indexed(field)) {
                // What is no text or number is found by nothing, and is refused by unique keys as it would be itself.
                let stands = blind(index, collection, field, value).unwrap_or(Value::Bool(false));
                indexes.insert(field.to_owned(), stands);
            }
            *value = seal_json(&sealer, &self.place(collection, id, field), write, value)?;
        }
        if !indexes.is_empty() {
            body.insert(INDEX.to_owned(), Value::Object(indexes));
        }
        Ok(())
    }

    async fn open(&self, collection: &str, id: &str, mut stored: Value) -> Result<Value> {
        let Value::Object(body) = &mut stored else { return Ok(stored) };
        let fields = self.fields.of(collection);
        if !fields.is_empty() {
            body.remove(INDEX);
        }
        for field in fields.names() {
            let Some(value) = body.get_mut(field).filter(|value| !value.is_null()) else { continue };
            let held = std::mem::take(value);
            let was_text = held.is_string();
            let opened = self.keys.open_json(&self.place(collection, id, field), held).await;
            *value = match lasting(opened.and_then(|opened| self.keys.allowed(opened)))? {
                Opened::Sealed(value) | Opened::Plain(value) => value,
                Opened::Erased if was_text => Value::String(ERASED.to_owned()),
                Opened::Erased => Value::Null,
            };
        }
        Ok(stored)
    }

    async fn document(&self, collection: &str, document: Document) -> Result<Document> {
        let Document { id, version, body, expires_at, created } = document;
        let body = self.open(collection, &id, body).await?;
        Ok(Document { id, version, body, expires_at, created })
    }
}

/// A field as the caller knows it.
fn renamed(error: Error) -> Error {
    let field =
        error.field().and_then(|field| field.strip_prefix("body.")?.strip_prefix(INDEX)?.strip_prefix('.'));
    match field.map(|field| format!("body.{field}")) {
        Some(field) => error.with_field(field),
        None => error,
    }
}

#[async_trait]
impl Documents for SealedDocuments {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        let declared = self.fields.of(&collection.name).declared(collection)?;
        self.inner.declare(&declared).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        match self.inner.get(collection, id, read).await? {
            Some(document) => self.document(collection, document).await.map(Some),
            None => Ok(None),
        }
    }

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut sealed = Vec::with_capacity(writes.len());
        for write in writes {
            match self.seal(collection, write).await {
                Ok(write) => {
                    sealed.push(write);
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(Err(error))),
            }
        }
        let mut done = match sealed.is_empty() {
            true => Vec::new().into_iter(),
            false => self.inner.write(collection, sealed).await.into_iter(),
        };
        let lost = || Err(Error::new(ErrorKind::Indeterminate, "the store gave no outcome"));
        let outcome = |refused: Option<Result<Written>>| {
            refused.or_else(|| done.next()).unwrap_or_else(lost).map_err(renamed)
        };
        outcomes.into_iter().map(outcome).collect()
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        find.validate()?;
        let fields = self.fields.of(collection);
        let mut asked = find.clone();
        if let Some(filter) = asked.filter.take() {
            let index = self.index(fields).await?;
            asked.filter = Some(fields.filter(filter, collection, index.as_deref())?);
        }
        let page = self.inner.find(collection, &asked).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for document in page.items {
            items.push(self.document(collection, document).await?);
        }
        Ok(Page { items, next: page.next })
    }
}

impl fmt::Debug for SealedDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedDocuments")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
