//! What the bank seals, and with which keys.
//!
//! | Part | Seals | Its data keys are kept |
//! | --- | --- | --- |
//! | accounts | names of accounts, references, notes | in `accounts/seal.db`; beside a ledger on a server, where `[seal] store` says |
//! | transactions | all values, all events | with them |
//! | identity | all values, and sessions in the cache | with them |
//! | partners | what notifications say | in `partners/seal.db`; beside documents on a server, where `[seal] store` says |
//!
//! Where a server keeps the ledger or the documents and `[seal] store` is not said, the part has one key for everything, in a file of
//! `keys`: it is not rotated, and customers cannot be shredded there.
//!
//! A value in the clear where a sealed one belongs is refused, unless `[seal] allow_unsealed` names the part.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::Key;
use bank_stores::outbox::NewEvent;
use bank_stores::seal::{
    DataKeys, KeyProvider, Keyring, SealedCache, SealedDocuments, SealedFields, SealedItems, SealedLedger,
    Sealer, Subjects,
};
use bank_stores::{Cache, Documents, Items, Ledger};
use serde::Deserialize;
use serde_json::Value;

use crate::Fatal;
use crate::args::Part;
use crate::config::Place;
use crate::files::Files;
use crate::store_calls::StoreCalls;
use crate::stores::{self, Close};

/// The collection of notifications, and what its documents say to a customer.
const NOTIFICATIONS: &str = "notifications";
const SAID: [&str; 4] = ["account", "counterparty", "reference", "transfer"];
/// How often it is looked whether the master key is another one.
const LOOK: Duration = Duration::from_secs(10);

/// Where master keys are, and where data keys are that have no store of items beside them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SealSection {
    /// The file with the master keys; `keys/seal.json` in the data directory otherwise.
    pub(crate) key_file: Option<PathBuf>,
    /// The ARN of a key of AWS KMS, instead of the file.
    pub(crate) kms: Option<String>,
    /// Keys of AWS KMS that older data keys are wrapped under.
    pub(crate) kms_old: Vec<String>,
    /// Where AWS KMS is reached, if not where the region's is.
    pub(crate) kms_endpoint: Option<String>,
    /// A `dynamodb:` address for data keys of parts whose own store is a server that is not DynamoDB.
    pub(crate) store: Option<String>,
    /// Parts whose data may be from before it was sealed: what is in the clear there is read as it stands.
    pub(crate) allow_unsealed: Vec<String>,
}

impl SealSection {
    pub(crate) fn check(&self) -> Result<(), Fatal> {
        if self.kms.is_some() && self.key_file.is_some() {
            return Err(Fatal::new(
                "[seal] names both `key_file` and `kms`; the master keys are in one place",
            ));
        }
        if self.kms.is_none() && (!self.kms_old.is_empty() || self.kms_endpoint.is_some()) {
            return Err(Fatal::new("[seal] says more about AWS KMS, but names no key: add `kms`"));
        }
        self.allowed()?;
        match &self.store {
            Some(store) if !store.starts_with("dynamodb:") => {
                Err(Fatal::new("[seal] store: give an address of the form dynamodb:TABLE"))
            }
            _ => Ok(()),
        }
    }

    /// The parts that may hold what nobody has sealed.
    fn allowed(&self) -> Result<Vec<Part>, Fatal> {
        let part = |name: &String| {
            let part = Part::SERVICES.into_iter().find(|part| part.name() == name);
            part.ok_or_else(|| {
                let names = Part::SERVICES.map(Part::name).join(", ");
                Fatal::new(format!("[seal] allow_unsealed: `{name}` is none of {names}"))
            })
        };
        self.allow_unsealed.iter().map(part).collect()
    }

    /// The file with the master keys, where they are in one.
    fn file(&self, files: &Files) -> Option<PathBuf> {
        let file = || self.key_file.clone().unwrap_or_else(|| files.path("keys/seal.json"));
        self.kms.is_none().then(file)
    }

    /// The master keys that are in a file, which is there.
    pub(crate) fn keyring(&self, files: &Files) -> Result<Option<Arc<Keyring>>, Fatal> {
        let keyring = self.file(files).map(Keyring::load).transpose();
        keyring.map(|keyring| keyring.map(Arc::new)).map_err(wrong)
    }

    /// The master keys; a file that is missing is made by a bank that starts, and by nothing else.
    async fn provider(&self, files: &Files, starts: bool) -> Result<Arc<dyn KeyProvider>, Fatal> {
        let Some(file) = self.file(files) else { return Box::pin(self.kms()).await };
        let load = move || if starts { Keyring::load_or_create(file) } else { Keyring::load(file) };
        let loaded = tokio::task::spawn_blocking(load).await.map_err(Fatal::new)?;
        Ok(Arc::new(loaded.map_err(wrong)?))
    }

    #[cfg(feature = "servers")]
    async fn kms(&self) -> Result<Arc<dyn KeyProvider>, Fatal> {
        use bank_stores::seal::{KmsOptions, KmsProvider};

        let mut options = KmsOptions::new(self.kms.as_deref().unwrap_or_default()).map_err(wrong)?;
        for old in &self.kms_old {
            options = options.old_key(old).map_err(wrong)?;
        }
        if let Some(endpoint) = &self.kms_endpoint {
            options = options.endpoint(endpoint).map_err(wrong)?;
        }
        Ok(Arc::new(KmsProvider::open(options).await))
    }

    #[cfg(not(feature = "servers"))]
    async fn kms(&self) -> Result<Arc<dyn KeyProvider>, Fatal> {
        Err(Fatal::new(
            "[seal] kms: this bank was built without servers; build it with `cargo build -p bank --features servers`",
        ))
    }
}

fn wrong(error: bank_stores::Error) -> Fatal {
    Fatal::caused("[seal]", &error)
}

/// Seals the stores of this process.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    files: Files,
    provider: Arc<dyn KeyProvider>,
    shared: Option<Place>,
    /// Parts that may hold what nobody has sealed.
    allowed: Vec<Part>,
    calls: StoreCalls,
}

impl Seal {
    /// For a bank that starts, or for a command.
    pub(crate) async fn open(section: &SealSection, files: &Files, starts: bool) -> Result<Self, Fatal> {
        let provider = section.provider(files, starts).await?;
        let shared = section.store.as_ref().map(|url| Place::seal(url));
        let allowed = section.allowed()?;
        Ok(Self { files: files.clone(), provider, shared, allowed, calls: StoreCalls::default() })
    }

    /// Counts the calls of stores that it opens.
    pub(crate) fn counted(mut self, calls: StoreCalls) -> Self {
        self.calls = calls;
        self
    }

    /// The keys of a part whose store of items has them beside its data.
    pub(crate) fn keys_in(&self, part: Part, items: Arc<dyn Items>) -> DataKeys {
        self.allowing(part, DataKeys::new(items, self.provider.clone()))
    }

    fn allowing(&self, part: Part, keys: DataKeys) -> DataKeys {
        if self.allowed.contains(&part) { keys.allow_unsealed() } else { keys }
    }

    /// The keys of a part that keeps no items, and the store that is to be closed with it.
    pub(crate) async fn keys_beside(
        &self,
        part: Part,
        at: Option<&Place>,
    ) -> Result<(DataKeys, Option<Arc<dyn Close>>), Fatal> {
        let file = keys_file(part);
        if at.is_none() {
            let opened = stores::items(&self.files, file, None).await?;
            let role = self.calls.items(keys_store(part), opened.role);
            return Ok((self.keys_in(part, role), Some(opened.close)));
        }
        let name = format!("seal-{}.key", part.name());
        if let Some(shared) = &self.shared {
            let opened = stores::items(&self.files, file, Some(shared)).await?;
            let role = self.calls.items(keys_store(part), opened.role);
            let keys = match self.files.path(&format!("keys/{name}")).exists() {
                // There was no store of keys before: what was sealed until then opens.
                true => DataKeys::after_single(role, self.provider.clone(), self.single(part, &name)?),
                false => self.keys_in(part, role),
            };
            return Ok((self.allowing(part, keys), Some(opened.close)));
        }
        Ok((self.allowing(part, DataKeys::single(self.single(part, &name)?)), None))
    }

    /// The one key of a part, known by what it is: another file is another key.
    fn single(&self, part: Part, name: &str) -> Result<Sealer, Fatal> {
        let secret = self.files.secret(name)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &secret);
        let mark: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Sealer::new(format!("{}-{mark}", part.name()), secret).map_err(wrong)
    }

    /// Whether a part has one key for everything, so that there are no data keys to look at.
    pub(crate) fn has_single_key(&self, part: Part, at: Option<&Place>) -> bool {
        matches!(part, Part::Accounts | Part::Partners) && at.is_some() && self.shared.is_none()
    }

    /// The same to be read beside a part that runs; nothing, where there are none.
    pub(crate) async fn keys_to_read(
        &self,
        part: Part,
        at: Option<&Place>,
    ) -> Result<Option<DataKeys>, Fatal> {
        let has_items = matches!(part, Part::Transactions | Part::Identity);
        let place = if has_items { at } else { at.and(self.shared.as_ref()) };
        if let Some(place) = place {
            let opened = stores::items(&self.files, keys_file(part), Some(place)).await?;
            return Ok(Some(self.keys_in(part, opened.role)));
        }
        let path = self.files.path(keys_file(part));
        if at.is_some() || !path.is_file() {
            return Ok(None);
        }
        let items = SqliteItems::open(SqliteOptions::new(path).read_only()).await;
        let items = items.map_err(|error| Fatal::caused(part.name(), &error))?;
        Ok(Some(self.keys_in(part, Arc::new(items))))
    }
}

/// The file that holds a part's data keys, where no server does.
pub(crate) const fn keys_file(part: Part) -> &'static str {
    match part {
        Part::Accounts => "accounts/seal.db",
        Part::Transactions => stores::TRANSACTIONS,
        Part::Partners => "partners/seal.db",
        Part::Identity | Part::Gateway => stores::IDENTITY,
    }
}

/// What a part's store of data keys is called in metrics.
const fn keys_store(part: Part) -> &'static str {
    match part {
        Part::Accounts => "accounts-keys",
        Part::Partners => "partners-keys",
        // Their keys are among their data.
        Part::Transactions | Part::Identity | Part::Gateway => part.name(),
    }
}

/// Found out before anything is served: with other master keys than before, nothing that is there would open.
pub(crate) async fn ready(keys: &DataKeys) -> Result<(), Fatal> {
    keys.ready().await.map_err(wrong)
}

pub(crate) fn items(inner: Arc<dyn Items>, keys: &DataKeys, part: Part) -> SealedItems {
    SealedItems::new(inner, keys.clone(), Arc::new(Customers), part.name())
}

pub(crate) fn ledger(inner: Arc<dyn Ledger>, keys: &DataKeys) -> Arc<dyn Ledger> {
    Arc::new(SealedLedger::new(inner, keys.clone(), Part::Accounts.name()))
}

pub(crate) fn documents(inner: Arc<dyn Documents>, keys: &DataKeys) -> SealedDocuments {
    let fields = SAID.iter().fold(SealedFields::new(), |fields, field| fields.seal(NOTIFICATIONS, *field));
    SealedDocuments::new(inner, keys.clone(), Arc::new(Customers), fields, Part::Partners.name())
}

/// Sessions in a cache; in memory they stay as they are.
pub(crate) fn cache(shared: Arc<dyn Cache>, keys: &DataKeys) -> Arc<dyn Cache> {
    Arc::new(SealedCache::new(shared, keys.clone(), Part::Identity.name()))
}

/// Seals what was written before the bank sealed anything, in the lists that documents are.
pub(crate) const COLLECTIONS: [&str; 1] = [NOTIFICATIONS];

/// Wraps the data keys anew whenever the master key is another one, for ever: `bank seal rotate` needs no pause of the bank.
pub(crate) async fn follow_rotation(keys: DataKeys) {
    let mut done: Option<String> = None;
    loop {
        match rewrapped(&keys, done.as_deref()).await {
            Ok(current) => done = current.or(done),
            Err(error) => tracing::warn!(%error, "data keys cannot be wrapped anew now"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The master key under which all data keys are now, where that is another one than before.
async fn rewrapped(keys: &DataKeys, done: Option<&str>) -> bank_stores::Result<Option<String>> {
    let Some(current) = keys.master().await?.filter(|current| done != Some(current.as_str())) else {
        return Ok(None);
    };
    let pass = keys.rewrap(&mut |_| ()).await?;
    if pass.rewrapped > 0 {
        tracing::info!(count = pass.rewrapped, master = %current, "data keys were wrapped anew");
    }
    // A key that was just being made under the old one is found by another pass.
    Ok((pass.rewrapped == 0).then_some(current))
}

/// What is a customer's, by the rows of the services.
#[derive(Debug)]
struct Customers;

/// Who a row names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    id: Option<String>,
    customer: Option<String>,
    owner: Option<String>,
    state: Option<State>,
}

/// How far a transfer is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    state: String,
}

impl Subjects for Customers {
    fn of_item(&self, key: &Key, value: &[u8]) -> Option<String> {
        let (kind, rest) = key.partition.split_once('#')?;
        let names = || serde_json::from_slice::<Names>(value).unwrap_or_default();
        match (kind, &*key.sort) {
            // The second part, where there is one, is an account.
            ("activity" | "customer", _) => rest.split('#').next().map(str::to_owned),
            ("user", _) => names().id,
            ("session", _) => names().customer,
            // Until it has ended it is brought to its end, whoever is shredded.
            ("transfer", "transfer") => {
                let Names { owner, state, .. } = names();
                owner.filter(|_| state.is_none_or(|state| state.state != "pending"))
            }
            ("transfer", "answer") => names().owner,
            _ => None,
        }
    }

    /// Each side of a transfer has its own events, in the order of that customer.
    fn of_event(&self, event: &NewEvent) -> Option<String> {
        Some(event.stream.as_str().to_owned())
    }

    fn of_document(&self, _collection: &str, _id: &str, body: &Value) -> Option<String> {
        body.get("customer").and_then(Value::as_str).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_row_of_a_customer_is_theirs() {
        let of = |partition: &str, sort: &str, value: Value| {
            Customers.of_item(&Key::new(partition, sort), value.to_string().as_bytes())
        };
        let ann = Some("cus_1".to_owned());
        assert_eq!(of("user#ann", "user", json!({ "id": "cus_1", "name": "Ann" })), ann);
        assert_eq!(of("customer#cus_1", "user", json!("ann")), ann);
        assert_eq!(of("customer#cus_1", "session#1#ses_1", json!({ "id": "ses_1" })), ann);
        assert_eq!(of("session#ses_1", "session", json!({ "id": "ses_1", "customer": "cus_1" })), ann);
        let transfer = |state: &str| json!({ "id": "trf_1", "owner": "cus_1", "state": { "state": state } });
        assert_eq!(of("transfer#trf_1", "transfer", transfer("completed")), ann);
        assert_eq!(of("transfer#trf_1", "transfer", transfer("pending")), None);
        assert_eq!(of("transfer#trf_1", "answer", json!({ "owner": "cus_1", "answer": null })), ann);
        assert_eq!(of("activity#cus_1", "1#trf_1", json!({ "id": "trf_1" })), ann);
        assert_eq!(of("activity#cus_1#acc_1", "1#trf_1", json!({ "id": "trf_1" })), ann);
        for (partition, sort) in [("pending#0", "x"), ("other", "x")] {
            assert_eq!(of(partition, sort, json!({ "id": "cus_1", "owner": "cus_1" })), None);
        }
        let event = NewEvent::new("e", "cus_1", "transfer.completed", json!({}));
        assert_eq!(Customers.of_event(&event), ann);
        assert_eq!(Customers.of_document("notifications", "n", &json!({ "customer": "cus_1" })), ann);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let check = |text: &str| toml::from_str::<SealSection>(text).unwrap().check();
        assert!(check("allow_unsealed = [\"accounts\", \"partners\"]").is_ok());
        assert!(check("").is_ok() && check("key_file = \"x\"").is_ok() && check("kms = \"arn\"").is_ok());
        for text in [
            "kms = \"arn\"\nkey_file = \"x\"",
            "kms_old = [\"arn\"]",
            "kms_endpoint = \"https://kms\"",
            "store = \"sqlite:x\"",
            "allow_unsealed = [\"gateway\"]",
        ] {
            assert!(check(text).unwrap_err().to_string().starts_with("[seal]"), "{text}");
        }
    }
}
