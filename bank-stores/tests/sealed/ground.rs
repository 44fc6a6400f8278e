//! Keys, stores and subjects for the tests.

use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::items::Key;
use bank_stores::outbox::NewEvent;
use bank_stores::seal::{
    DataKeys, Keyring, SealedDocuments, SealedFields, SealedItems, SealedLedger, Subjects,
};
use serde_json::Value;

/// For how long a process believes its keys.
pub(crate) const BELIEVED: Duration = Duration::from_millis(100);

/// Whatever says `of` belongs to who is named there; rows belong to whom their partition names.
#[derive(Debug)]
pub(crate) struct ByName;

impl Subjects for ByName {
    fn of_item(&self, key: &Key, _value: &[u8]) -> Option<String> {
        key.partition.strip_prefix("of#").map(str::to_owned)
    }

    fn of_event(&self, event: &NewEvent) -> Option<String> {
        event.stream.as_str().strip_prefix("of#").map(str::to_owned)
    }

    fn of_document(&self, _collection: &str, _id: &str, body: &Value) -> Option<String> {
        body.get("of").and_then(Value::as_str).map(str::to_owned)
    }
}

/// Keys in a file and a store, and the stores that are sealed with them.
pub(crate) struct Ground {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) keyring: Arc<Keyring>,
    /// Where the data keys are, and items too.
    pub(crate) rows: Arc<SqliteItems>,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keyring = Arc::new(Keyring::load_or_create(directory.path().join("seal.json")).unwrap());
        let rows = SqliteItems::open(SqliteOptions::new(directory.path().join("items.db"))).await.unwrap();
        Self { directory, keyring, rows: Arc::new(rows) }
    }

    /// Those of another process, as it were: nothing is remembered yet.
    pub(crate) fn keys(&self) -> DataKeys {
        DataKeys::caching(self.rows.clone(), self.keyring.clone(), 1_000, BELIEVED)
    }

    pub(crate) fn items(&self, name: &str) -> SealedItems {
        self.items_with(name, self.keys())
    }

    pub(crate) fn items_with(&self, name: &str, keys: DataKeys) -> SealedItems {
        SealedItems::new(self.rows.clone(), keys, Arc::new(ByName), name)
    }

    pub(crate) async fn documents(&self, fields: SealedFields) -> SealedDocuments {
        let options = SqliteOptions::new(self.directory.path().join("documents.db"));
        let inner = Arc::new(SqliteDocuments::open(options).await.unwrap());
        SealedDocuments::new(inner, self.keys(), Arc::new(ByName), fields, "documents")
    }

    pub(crate) async fn ledger(&self) -> SealedLedger {
        let options = SqliteOptions::new(self.directory.path().join("ledger.db"));
        let inner = Arc::new(SqliteLedger::open(options).await.unwrap());
        SealedLedger::new(inner, self.keys(), "ledger")
    }
}
