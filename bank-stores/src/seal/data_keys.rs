//! Data keys: one for each subject and a common one, wrapped under a master key and kept as items.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `seal.names#SHARD` | `common`, `index`, `of:SUBJECT` | the id of the key that seals now |
//! | `seal.keys#SHARD` | id | the wrapped key, or that it was shredded |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::provider::{KeyMaterial, KeyProvider};
use super::rows::{Held, Named, Row, key_of, name_of};
use super::sealer::Sealer;
use crate::items::{Change, Condition, Transaction};
use crate::{Consistency, Error, ErrorKind, Items, ItemsExt as _, Result, SystemRandom, random};

/// Others may make the same key at the same moment; after so many times something else is wrong.
pub(super) const TRIES: usize = 8;

/// The keys that values are sealed with. Cloning is cheap, and clones are one.
///
/// Each subject has a key of its own, made when something of theirs is first sealed. Keys are kept in any store of
/// [`Items`], wrapped by a [`KeyProvider`]; a store of their own or that of the sealed items will do. Any number of processes may use
/// one store of keys.
///
/// Keys that were read are believed for a minute (see [`caching`](Self::caching)). So long another process may still open, and seal,
/// with a key that was shredded.
#[derive(Clone)]
pub struct DataKeys {
    pub(super) kept: Arc<Kept>,
    /// Whether a value that nobody has sealed is read as it stands.
    pub(super) allows_unsealed: bool,
}

pub(super) enum Kept {
    Rows(Rows),
    /// One key for everything, from elsewhere.
    One(Arc<Sealer>),
}

pub(super) struct Rows {
    pub(super) items: Arc<dyn Items>,
    /// The one key for everything of before there was a store of keys.
    old: Option<Arc<Sealer>>,
    pub(super) provider: Arc<dyn KeyProvider>,
    pub(super) by_name: Cache<String, Arc<Sealer>>,
    pub(super) by_id: Cache<String, Found>,
}

/// A key that was looked up.
#[derive(Clone)]
pub(super) enum Found {
    Key(Arc<Sealer>),
    Erased,
}

impl DataKeys {
    /// The keys in `items`, which `provider` wraps. Up to 100,000 are remembered, for a minute.
    pub fn new(items: Arc<dyn Items>, provider: Arc<dyn KeyProvider>) -> Self {
        Self::caching(items, provider, 100_000, Duration::from_secs(60))
    }

    /// The same, with so many keys in memory at most, about 1 KiB each, and each read again after `believed`.
    pub fn caching(
        items: Arc<dyn Items>,
        provider: Arc<dyn KeyProvider>,
        keys: u64,
        believed: Duration,
    ) -> Self {
        Self::rows(items, provider, None, keys, believed)
    }

    /// Keys as [`new`](Self::new) gives them, for a store whose values were sealed with one key for everything until now: it still opens
    /// them.
    pub fn after_single(items: Arc<dyn Items>, provider: Arc<dyn KeyProvider>, old: Sealer) -> Self {
        Self::rows(items, provider, Some(Arc::new(old)), 100_000, Duration::from_secs(60))
    }

    fn rows(
        items: Arc<dyn Items>,
        provider: Arc<dyn KeyProvider>,
        old: Option<Arc<Sealer>>,
        keys: u64,
        believed: Duration,
    ) -> Self {
        let by_name = Cache::builder().max_capacity(keys).time_to_live(believed).build();
        let by_id = Cache::builder().max_capacity(keys).time_to_live(believed).build();
        Self::of_kept(Kept::Rows(Rows { items, old, provider, by_name, by_id }))
    }

    /// Whether values can be sealed and opened: the common key is there, and its master key opens it. Call it before anything is served, so
    /// that a wrong file of master keys is found at the start.
    ///
    /// # Errors
    /// `Denied` where the provider does not know the master key, or lets nobody use it.
    pub async fn ready(&self) -> Result<()> {
        self.of(None).await.map(drop)
    }

    /// One key for everything, for where there is no store of keys: nobody's values can be shredded apart, and it cannot be rotated.
    pub fn single(sealer: Sealer) -> Self {
        Self::of_kept(Kept::One(Arc::new(sealer)))
    }

    fn of_kept(kept: Kept) -> Self {
        Self { kept: Arc::new(kept), allows_unsealed: false }
    }

    /// The same keys for stores that may hold values which nobody has sealed: they are read as they stand, until they are written again
    /// or resealed. Otherwise they are refused as damaged, because whoever can write to a store could put them there.
    #[must_use]
    pub fn allow_unsealed(mut self) -> Self {
        self.allows_unsealed = true;
        self
    }

    /// The key of a subject, or the common one. It is made where there is none; of several that make it at once, one does.
    pub(super) async fn of(&self, subject: Option<&str>) -> Result<Arc<Sealer>> {
        self.named(&subject.map_or_else(|| "common".to_owned(), name_of)).await
    }

    /// The key of blind indexes, which is never shredded and never rotated: indexes stay comparable.
    pub(super) async fn index(&self) -> Result<Arc<Sealer>> {
        self.named("index").await
    }

    /// The key of this id, to open what was sealed with it.
    pub(super) async fn find(&self, id: &str) -> Result<Found> {
        match &*self.kept {
            Kept::One(one) if one.id() == id => Ok(Found::Key(one.clone())),
            Kept::One(_) => Err(unknown(id)),
            Kept::Rows(rows) => rows.find(id).await,
        }
    }

    async fn named(&self, name: &str) -> Result<Arc<Sealer>> {
        match &*self.kept {
            Kept::One(one) => Ok(one.clone()),
            Kept::Rows(rows) => rows.named(name).await,
        }
    }
}

impl Rows {
    async fn named(&self, name: &str) -> Result<Arc<Sealer>> {
        if let Some(sealer) = self.by_name.get(name) {
            return Ok(sealer);
        }
        for _ in 0..TRIES {
            let row = Named::key(name);
            let Some((named, _)) = self.items.get_json::<Named>(&row, Consistency::Current).await? else {
                if let Some(sealer) = self.make(name).await? {
                    return Ok(sealer);
                }
                continue;
            };
            // A key that was shredded in between has another one in its place, or none.
            if let Found::Key(sealer) = self.find(&named.key).await? {
                self.by_name.insert(name.to_owned(), sealer.clone());
                return Ok(sealer);
            }
            self.by_id.invalidate(&named.key);
        }
        Err(Error::new(ErrorKind::Unavailable, "the key of a subject changes all the time"))
    }

    /// Makes the key; nothing, where somebody else may have.
    async fn make(&self, name: &str) -> Result<Option<Arc<Sealer>>> {
        let (id, material) = (random::id(&SystemRandom::new(), "k"), KeyMaterial::generate());
        let wrapped = self.provider.wrap(&material, &id).await?;
        let row = Row { name: name.to_owned(), held: Held::from(wrapped) };
        let transaction = Transaction::new(format!("seal:{id}"))
            .change(Change::put(Named::key(name), &Named { key: id.clone() })?.when(Condition::Absent))
            .change(Change::put(key_of(&id), &row)?.when(Condition::Absent));
        match self.items.commit_one(transaction).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Indeterminate) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let sealer = Arc::new(Sealer::new(&*id, *material.expose())?);
        self.by_name.insert(name.to_owned(), sealer.clone());
        self.by_id.insert(id, Found::Key(sealer.clone()));
        Ok(Some(sealer))
    }

    async fn find(&self, id: &str) -> Result<Found> {
        if let Some(found) = self.by_id.get(id) {
            return Ok(found);
        }
        if let Some(old) = self.old.as_ref().filter(|old| old.id() == id) {
            return Ok(Found::Key(old.clone()));
        }
        let row = self.items.get_json::<Row>(&key_of(id), Consistency::Current).await?;
        let Some((Row { held, .. }, _)) = row else { return Err(unknown(id)) };
        let found = match held.wrapped()? {
            None => Found::Erased,
            Some(wrapped) => {
                let material = self.provider.unwrap(&wrapped, id).await?;
                Found::Key(Arc::new(Sealer::new(id, *material.expose())?))
            }
        };
        self.by_id.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}

impl fmt::Debug for DataKeys {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kept {
            Kept::Rows(Rows { items, provider, .. }) => {
                let mut debug = f.debug_struct("DataKeys");
                debug.field("items", items).field("provider", provider).finish_non_exhaustive()
            }
            Kept::One(one) => f.debug_tuple("DataKeys").field(one).finish(),
        }
    }
}

fn unknown(id: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("sealed with the key {id}, which is not known here"))
        .with_field("sealed")
}
