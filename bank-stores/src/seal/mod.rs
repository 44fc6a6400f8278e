//! Sealing at rest: values are encrypted before a store has them, with keys that are kept apart from it.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::sync::Arc;
//!
//! use bank_stores::embedded::{SqliteItems, SqliteOptions};
//! use bank_stores::items::{Change, Key, Transaction};
//! use bank_stores::seal::{Common, DataKeys, Keyring, SealedItems};
//! use bank_stores::{Consistency, Items, ItemsExt};
//!
//! let directory = tempfile::tempdir().unwrap();
//! let keyring = Arc::new(Keyring::load_or_create(directory.path().join("seal.key"))?);
//! let store = Arc::new(SqliteItems::open(SqliteOptions::temporary()?).await?);
//! let keys = DataKeys::new(store.clone(), keyring.clone());
//! let items = SealedItems::new(store.clone(), keys.clone(), Arc::new(Common::new()), "users");
//!
//! let key = Key::new("user", "ada");
//! let put = Change::put(key.clone(), &"ada@example.com")?;
//! items.commit_one(Transaction::new("w1").change(put)).await?;
//! let (read, _): (String, u64) = items.get_json(&key, Consistency::Current).await?.unwrap();
//! assert_eq!(read, "ada@example.com");
//! let stored = store.get(&key, Consistency::Current).await?.unwrap();
//! assert!(!stored.value.windows(3).any(|part| part == b"ada"));
//!
//! // The master key is rotated: what is sealed stays as it is.
//! keyring.rotate()?;
//! assert_eq!(keys.rewrap(&mut |_| ()).await?.rewrapped, 1);
//! assert_eq!(keys.status().await?.outdated(), 0);
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! | Key | Is | Ends by |
//! | --- | --- | --- |
//! | master key | with a [`KeyProvider`]: a file ([`Keyring`]) or AWS KMS (`KmsProvider`, feature `kms`) | rotation |
//! | data key | one for each subject, and a common one, wrapped under a master key ([`DataKeys`]) | shredding |
//! | key of blind indexes | a data key of its own | never: indexes stay comparable |
//!
//! | Store | Wrapper | Seals |
//! | --- | --- | --- |
//! | [`Items`](crate::Items) | [`SealedItems`] | values, payloads of events |
//! | [`Documents`](crate::Documents) | [`SealedDocuments`] | the fields that are chosen ([`SealedFields`]) |
//! | [`Ledger`](crate::Ledger) | [`SealedLedger`] | names of accounts, references, notes, metadata |
//! | [`Cache`](crate::Cache) | [`SealedCache`] | values |
//!
//! [`Sealer`] is one key by itself, for values of your own.
//!
//! Limits on lengths hold for what is sealed. Only a transaction whose values and events come close to
//! [`MAX_TRANSACTION`](crate::items::MAX_TRANSACTION) is refused earlier (`Invalid`, field `transaction`): sealed, its events are longer
//! by a third.

mod cache;
mod data_keys;
mod documents;
mod fields;
mod items;
mod keyring;
mod keyring_file;
#[cfg(feature = "kms")]
mod kms;
mod ledger;
mod ledger_texts;
mod provider;
mod rotation;
mod rows;
mod sealer;
mod subjects;
mod values;
mod xaes;

pub use cache::SealedCache;
pub use data_keys::DataKeys;
pub use documents::SealedDocuments;
pub use fields::SealedFields;
pub use items::SealedItems;
pub use keyring::Keyring;
#[cfg(feature = "kms")]
pub use kms::{KmsOptions, KmsProvider};
pub use ledger::SealedLedger;
pub use provider::{KeyMaterial, KeyProvider, WrappedKey};
pub use rotation::{KeyStatus, RewrapProgress};
pub use sealer::Sealer;
pub use subjects::{Common, Subjects};
pub use values::ERASED;
