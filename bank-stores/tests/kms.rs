//! Data keys under a key of AWS KMS, which moto stands for.

#![cfg(all(feature = "kms", feature = "embedded"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "server/mod.rs"]
mod running;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::seal::{
    Common, DataKeys, KeyMaterial, KeyProvider, KmsOptions, KmsProvider, SealedItems, WrappedKey,
};
use bank_stores::{Consistency, ErrorKind, ItemsExt};
use running::Running;

struct Server {
    running: Running,
    _directory: tempfile::TempDir,
}

/// Where `.ci/servers` has put moto; nothing, and a word why, where it has not.
fn program() -> Option<PathBuf> {
    let servers = match std::env::var_os("BANK_TEST_SERVERS") {
        Some(servers) => PathBuf::from(servers),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers"),
    };
    let program = servers.join("moto/bin/moto_server");
    if program.is_file() {
        return Some(program.canonicalize().unwrap());
    }
    assert!(std::env::var_os("BANK_TEST_REQUIRE").is_none(), "no moto: call .ci/servers");
    eprintln!("skipped: no moto: call .ci/servers");
    None
}

fn shared() -> Option<u16> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let program = program()?;
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start(directory.path(), |port| {
            let program = program.display().to_string();
            vec![program, "-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()]
        });
        Some(Server { running, _directory: directory })
    };
    SERVER.get_or_init(start).as_ref().map(|server| server.running.port)
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The ARN of a new key.
async fn new_key(port: u16) -> String {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint(port))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .build();
    let made = aws_sdk_kms::Client::from_conf(config).create_key().send().await.unwrap();
    made.key_metadata().and_then(|key| key.arn()).unwrap().to_owned()
}

fn options(port: u16, key: &str) -> KmsOptions {
    KmsOptions::new(key).unwrap().endpoint(&endpoint(port)).unwrap()
}

#[tokio::test]
async fn a_data_key_is_wrapped_under_the_key_and_bound_to_its_context() {
    let Some(port) = shared() else { return };
    let arn = new_key(port).await;
    let provider = KmsProvider::open(options(port, &arn)).await;
    let key = KeyMaterial::generate();
    let wrapped = provider.wrap(&key, "k1").await.unwrap();
    assert_eq!((provider.current().await.unwrap(), &wrapped.master), (arn.clone(), &arn));
    assert!(!wrapped.bytes.windows(32).any(|window| window == key.expose()));
    assert_eq!(provider.unwrap(&wrapped, "k1").await.unwrap().expose(), key.expose());
    assert_eq!(provider.unwrap(&wrapped, "k2").await.unwrap_err().kind(), ErrorKind::Denied);
    let mut changed = wrapped.clone();
    let last = changed.bytes.len() - 1;
    changed.bytes[last] ^= 1;
    assert_eq!(provider.unwrap(&changed, "k1").await.unwrap_err().kind(), ErrorKind::Denied);
    // A key that nobody has named here is not asked.
    let foreign = WrappedKey::new(new_key(port).await, wrapped.bytes);
    let refused = provider.unwrap(&foreign, "k1").await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Denied, Some("master")));
}

#[tokio::test]
async fn a_bank_goes_over_to_another_key() {
    let Some(port) = shared() else { return };
    let (old, new) = (new_key(port).await, new_key(port).await);
    let rows = Arc::new(SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap());
    let keys = async |options| DataKeys::new(rows.clone(), Arc::new(KmsProvider::open(options).await));
    let items = |keys| SealedItems::new(rows.clone(), keys, Arc::new(Common::new()), "things");
    let key = Key::new("p", "s");
    let put = Change::put(key.clone(), &"secret").unwrap();
    let first = items(keys(options(port, &old)).await);
    first.commit_one(Transaction::new("w").change(put)).await.unwrap();

    let both = keys(options(port, &new).old_key(&old).unwrap()).await;
    assert_eq!(both.status().await.unwrap().outdated(), 1);
    assert_eq!(both.rewrap(&mut |_| ()).await.unwrap().rewrapped, 1);
    let after = items(keys(options(port, &new)).await);
    let (value, _): (String, u64) = after.get_json(&key, Consistency::Current).await.unwrap().unwrap();
    assert_eq!(value, "secret");
    let before = items(keys(options(port, &old)).await);
    let refused = before.get_json::<String>(&key, Consistency::Current).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable_and_what_is_known_goes_on() {
    let Some(port) = shared() else { return };
    let arn = new_key(port).await;
    // Nobody listens there.
    let away = KmsOptions::new(&arn).unwrap().endpoint("http://127.0.0.1:9").unwrap();
    let away = KmsProvider::open(away).await;
    let refused = away.wrap(&KeyMaterial::generate(), "k").await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    let nothing = KmsProvider::open(options(port, "arn:aws:kms:eu-central-1:123456789012:key/none")).await;
    let refused = nothing.wrap(&KeyMaterial::generate(), "k").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused:?}");
}
