//! What is done with data keys: wrapped anew after a rotation, shredded, counted.

use std::collections::BTreeMap;

use super::data_keys::{DataKeys, Kept, Rows, TRIES};
use super::rows::{Held, Named, Row, SHARDS, key_of, name_of, partition};
use crate::items::{Change, Condition, Item, Query, Transaction};
use crate::{
    Consistency, Error, ErrorKind, Items as _, ItemsExt as _, PageRequest, Result, SystemRandom, random,
};

/// So many rows are read at once.
const PAGE: u32 = 100;

/// How far [`DataKeys::rewrap`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrapProgress {
    /// Data keys that were looked at.
    pub checked: u64,
    /// Those that were wrapped anew by this call.
    pub rewrapped: u64,
    /// Those that could not be unwrapped, which the log names: damaged ones, or under a master key that is not known.
    pub failed: u64,
}

/// How the data keys stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The name of the master key that wraps now.
    pub current: String,
    /// How many data keys are wrapped under each master key.
    pub wrapped: BTreeMap<String, u64>,
    /// How many were shredded.
    pub erased: u64,
}

impl KeyStatus {
    /// How many data keys are wrapped under another master key than the current one.
    pub fn outdated(&self) -> u64 {
        self.wrapped.iter().filter(|(master, _)| **master != self.current).map(|(_, count)| count).sum()
    }
}

impl DataKeys {
    /// Wraps every data key under the current master key, and tells how far it has come. What was sealed stays as it is.
    ///
    /// It may be stopped and called again, by several processes at once too: each row says under which master key it is, and those
    /// that are done are passed over.
    ///
    /// # Errors
    /// Of the store and of the provider; what was done until then is done.
    pub async fn rewrap(&self, progress: &mut (dyn FnMut(RewrapProgress) + Send)) -> Result<RewrapProgress> {
        let mut done = RewrapProgress::default();
        let Kept::Rows(rows) = &*self.kept else { return Ok(done) };
        let current = rows.provider.current().await?;
        for shard in 0..SHARDS {
            let mut page = PageRequest::first(PAGE);
            loop {
                let query = Query::partition(partition(shard)).page(page.clone());
                let found = rows.items.query(&query).await?;
                for item in found.items {
                    let id = item.key.sort.clone();
                    match rows.rewrap(item, &current).await {
                        Ok(rewrapped) => done.rewrapped += u64::from(rewrapped),
                        // It stops none of the others.
                        Err(error) if error.kind() != ErrorKind::Unavailable => {
                            tracing::error!(key = %id, %error, "a data key cannot be wrapped anew");
                            done.failed += 1;
                        }
                        Err(error) => return Err(error),
                    }
                    done.checked += 1;
                }
                progress(done);
                match found.next {
                    Some(next) => page = page.after(next),
                    None => break,
                }
            }
        }
        Ok(done)
    }

    /// The name of the master key that wraps now; nothing, where there is one key for everything. When it is another one than before, it
    /// is time to [`rewrap`](Self::rewrap).
    ///
    /// # Errors
    /// Of the provider.
    pub async fn master(&self) -> Result<Option<String>> {
        match &*self.kept {
            Kept::Rows(rows) => rows.provider.current().await.map(Some),
            Kept::One(_) => Ok(None),
        }
    }

    /// Shreds the key of a subject: what was sealed with it opens nowhere again, in other processes after the time for which they
    /// believe their keys. `false` where the subject has none.
    ///
    /// What is sealed of the subject later has another key, so that services go on; it can be shredded again. Copies of the store of
    /// keys, such as backups, still have the key: they end with the master key that it is wrapped under.
    ///
    /// # Errors
    /// Of the store; `Rejected` where there is one key for everything.
    pub async fn shred(&self, subject: &str) -> Result<bool> {
        let Kept::Rows(rows) = &*self.kept else {
            let message = "there is one key for everything here, which cannot be shredded for one subject";
            return Err(Error::new(ErrorKind::Rejected, message).with_field("subject"));
        };
        rows.shred(&name_of(subject)).await
    }

    /// Counts the data keys by master key. It reads all of them.
    ///
    /// # Errors
    /// Of the store and of the provider.
    pub async fn status(&self) -> Result<KeyStatus> {
        let mut status = KeyStatus::default();
        let Kept::Rows(rows) = &*self.kept else { return Ok(status) };
        status.current = rows.provider.current().await?;
        for shard in 0..SHARDS {
            let mut page = PageRequest::first(1_000);
            loop {
                let query = Query::partition(partition(shard)).page(page.clone());
                let found = rows.items.query(&query).await?;
                for item in found.items {
                    match item.json::<Row>()?.held {
                        Held::Wrapped { master, .. } => *status.wrapped.entry(master).or_default() += 1,
                        Held::Erased {} => status.erased += 1,
                    }
                }
                match found.next {
                    Some(next) => page = page.after(next),
                    None => break,
                }
            }
        }
        Ok(status)
    }
}

impl Rows {
    /// Whether the key was wrapped anew.
    async fn rewrap(&self, item: Item, current: &str) -> Result<bool> {
        let row: Row = item.json()?;
        let Some(wrapped) = row.held.wrapped()?.filter(|wrapped| wrapped.master != current) else {
            return Ok(false);
        };
        let id = &item.key.sort;
        let material = self.provider.unwrap(&wrapped, id).await?;
        let held = Held::from(self.provider.wrap(&material, id).await?);
        let change = Change::put(item.key.clone(), &Row { held, ..row })?;
        let change = change.when(Condition::Version(item.version));
        let transaction = Transaction::new(random::id(&SystemRandom::new(), "seal:rewrap:")).change(change);
        match self.items.commit_one(transaction).await {
            Ok(_) => Ok(true),
            // Somebody else has wrapped it anew, or has shredded it.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn shred(&self, name: &str) -> Result<bool> {
        let named = Named::key(name);
        let mut erased = false;
        for _ in 0..TRIES {
            let row = self.items.get_json::<Named>(&named, Consistency::Current).await?;
            let Some((Named { key: id }, version)) = row else { return Ok(erased) };
            let key = key_of(&id);
            let row = self.items.get_json::<Row>(&key, Consistency::Current).await?;
            let mut transaction = Transaction::new(random::id(&SystemRandom::new(), "seal:shred:"))
                .change(Change::delete(named.clone()).when(Condition::Version(version)));
            if let Some((row, version)) = row {
                let gone = Change::put(key, &Row { held: Held::Erased {}, ..row })?;
                transaction = transaction.change(gone.when(Condition::Version(version)));
            }
            let outcome = self.items.commit_one(transaction).await;
            self.by_name.invalidate(name);
            self.by_id.invalidate(&id);
            match outcome {
                Ok(_) => return Ok(true),
                // It is wrapped anew at this moment: look again.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                // If it happened, there is nothing left to be shredded.
                Err(error) if error.kind() == ErrorKind::Indeterminate => erased = true,
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the key of the subject changes all the time"))
    }
}
