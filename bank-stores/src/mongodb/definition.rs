//! What a collection was declared to be.

use serde::{Deserialize, Serialize};

use crate::documents::Collection;
use crate::{Error, ErrorKind, Result};

/// Keys, orders and indexes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Declared {
    pub(super) uniques: Vec<(String, Vec<String>)>,
    pub(super) sorted: Vec<String>,
    pub(super) indexes: Vec<Vec<String>>,
}

impl Declared {
    /// What `collection` declares besides; `Conflict` where a key has other fields.
    pub(super) fn added(&self, collection: &Collection) -> Result<Self> {
        let mut added = Self::default();
        for unique in &collection.unique {
            let known = self.uniques.iter().chain(&added.uniques).find(|(name, _)| *name == unique.name);
            match known {
                Some((_, fields)) if *fields == unique.fields => {}
                Some(_) => {
                    let message = format!("the unique key {} has other fields", unique.name);
                    return Err(conflict("unique", message));
                }
                None => added.uniques.push((unique.name.clone(), unique.fields.clone())),
            }
        }
        for field in &collection.sorted {
            if !self.sorted.contains(field) && !added.sorted.contains(field) {
                added.sorted.push(field.clone());
            }
        }
        for fields in &collection.indexes {
            if !self.indexes.contains(fields) && !added.indexes.contains(fields) {
                added.indexes.push(fields.clone());
            }
        }
        Ok(added)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn with(mut self, added: Self) -> Self {
        self.uniques.extend(added.uniques);
        self.sorted.extend(added.sorted);
        self.indexes.extend(added.indexes);
        self
    }
}

/// A collection as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Definition {
    pub(super) name: String,
    /// Another number after each change, so that two who declare do not overwrite each other.
    pub(super) revision: i64,
    pub(super) declared: Declared,
    /// What is being declared: writers keep it already, so that documents written meanwhile have its keys.
    pub(super) coming: Declared,
}

impl Definition {
    pub(super) fn uniques(&self) -> impl Iterator<Item = &(String, Vec<String>)> {
        self.declared.uniques.iter().chain(&self.coming.uniques)
    }

    pub(super) fn sorted(&self) -> impl Iterator<Item = &String> {
        self.declared.sorted.iter().chain(&self.coming.sorted)
    }

    /// In the words of the role.
    pub(super) fn collection(&self) -> Collection {
        let mut collection = Collection::new(&self.name);
        for (name, fields) in self.uniques() {
            collection = collection.unique(name, fields);
        }
        self.sorted().fold(collection, Collection::sorted)
    }
}

pub(super) fn conflict(field: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Conflict, message).with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_added() {
        let first = Collection::new("c").unique("k", ["a"]).sorted("s").index(["i"]);
        let declared = Declared::default().with(Declared::default().added(&first).unwrap());
        assert!(declared.added(&first).unwrap().is_empty());
        let more = declared.added(&first.sorted("t").unique("l", ["a"])).unwrap();
        assert_eq!((more.uniques.len(), &*more.sorted, more.indexes.len()), (1, &["t".to_owned()][..], 0));
        let other = declared.added(&Collection::new("c").unique("k", ["b"])).unwrap_err();
        assert_eq!((other.kind(), other.field()), (ErrorKind::Conflict, Some("unique")));
    }
}
