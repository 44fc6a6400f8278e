//! Master keys are rotated, by a program that may be ended at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::seal::{DataKeys, KeyMaterial, KeyProvider, Keyring, RewrapProgress, WrappedKey};
use bank_stores::{Consistency, Error, ErrorKind, Items, ItemsExt, Result};

use crate::ground::Ground;

/// A provider that does so many things and fails from then on, as one does whose process was ended.
#[derive(Debug)]
struct Ending(Arc<Keyring>, AtomicI32);

impl Ending {
    fn step(&self) -> Result<()> {
        match self.1.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Unavailable, "it was ended")),
        }
    }
}

#[async_trait]
impl KeyProvider for Ending {
    async fn current(&self) -> Result<String> {
        self.0.current().await
    }

    async fn wrap(&self, key: &KeyMaterial, context: &str) -> Result<WrappedKey> {
        self.step()?;
        self.0.wrap(key, context).await
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<KeyMaterial> {
        self.step()?;
        self.0.unwrap(wrapped, context).await
    }
}

/// Something of each of so many.
async fn write(ground: &Ground, count: usize) {
    let items = ground.items("things");
    for n in 0..count {
        let change = Change::put(Key::new(format!("of#{n}"), "name"), &n).unwrap();
        items.commit_one(Transaction::new(format!("w{n}")).change(change)).await.unwrap();
    }
}

async fn read(ground: &Ground, count: usize) {
    let items = ground.items("things");
    for n in 0..count {
        let key = Key::new(format!("of#{n}"), "name");
        let (value, _): (usize, u64) = items.get_json(&key, Consistency::Current).await.unwrap().unwrap();
        assert_eq!(value, n);
    }
}

#[tokio::test]
async fn a_rotation_that_was_ended_goes_on_where_it_was() {
    const COUNT: usize = 60;
    let ground = Ground::new().await;
    write(&ground, COUNT).await;
    let before = ground.keys().status().await.unwrap();
    assert_eq!((before.outdated(), before.wrapped[&before.current]), (0, COUNT as u64));
    ground.keyring.rotate().unwrap();
    assert_eq!(ground.keys().status().await.unwrap().outdated(), COUNT as u64);
    // One key takes two steps: each run ends in the midst, some after an unwrapping.
    let mut runs = 0;
    loop {
        runs += 1;
        assert!(runs < 100, "it does not come to its end");
        let ending = Ending(ground.keyring.clone(), AtomicI32::new(15));
        let keys = DataKeys::new(ground.rows.clone(), Arc::new(ending));
        let mut told = Vec::new();
        let mut progress = |progress: RewrapProgress| told.push(progress);
        match keys.rewrap(&mut progress).await {
            Ok(done) => {
                assert_eq!(done.checked, COUNT as u64);
                assert_eq!(told.last(), Some(&done));
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
        read(&ground, COUNT).await;
    }
    assert!(runs > 5, "{runs}");
    let after = ground.keys().status().await.unwrap();
    assert_eq!((after.outdated(), after.wrapped[&after.current]), (0, COUNT as u64));
    assert_ne!(after.current, before.current);
    // The old one can go: everything opens without it.
    ground.keyring.retire(&before.current).unwrap();
    read(&ground, COUNT).await;
    assert_eq!(ground.keys().rewrap(&mut |_| ()).await.unwrap().rewrapped, 0);
}

#[tokio::test]
async fn two_that_rotate_at_once_lose_no_key_and_no_shredding() {
    let ground = Ground::new().await;
    write(&ground, 40).await;
    ground.keyring.rotate().unwrap();
    let rewrap = || {
        let keys = ground.keys();
        tokio::spawn(async move { keys.rewrap(&mut |_| ()).await.unwrap().rewrapped })
    };
    let shred = {
        let keys = ground.keys();
        tokio::spawn(async move {
            for n in 40..45 {
                assert!(!keys.shred(&n.to_string()).await.unwrap());
            }
            for n in 30..40 {
                assert!(keys.shred(&n.to_string()).await.unwrap());
            }
        })
    };
    let (one, two) = (rewrap(), rewrap());
    shred.await.unwrap();
    let rewrapped = one.await.unwrap() + two.await.unwrap();
    assert!((30..=40).contains(&rewrapped), "{rewrapped}");
    let status = ground.keys().status().await.unwrap();
    assert_eq!((status.erased, status.outdated()), (10, 0));
    read(&ground, 30).await;
    for n in 30..40 {
        let key = Key::new(format!("of#{n}"), "name");
        assert!(ground.items("things").get(&key, Consistency::Current).await.is_err(), "{n}");
    }
}

#[tokio::test]
async fn without_the_master_key_nothing_opens_and_nothing_is_lost() {
    let ground = Ground::new().await;
    write(&ground, 3).await;
    ground.keys().ready().await.unwrap();
    let other = Keyring::load_or_create(ground.directory.path().join("other.json")).unwrap();
    let keys = DataKeys::new(ground.rows.clone(), Arc::new(other));
    assert_eq!(keys.ready().await.unwrap_err().kind(), ErrorKind::Denied);
    let pass = keys.rewrap(&mut |_| ()).await.unwrap();
    assert_eq!((pass.checked, pass.rewrapped, pass.failed), (4, 0, 4));
    let items = bank_stores::seal::SealedItems::new(
        ground.rows.clone(),
        keys,
        Arc::new(crate::ground::ByName),
        "things",
    );
    let key = Key::new("of#1", "name");
    let refused = items.get(&key, Consistency::Current).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Denied && !refused.is_erased(), "{refused}");
    let change = Change::put(key, &7).unwrap();
    let refused = items.commit_one(Transaction::new("x").change(change)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    read(&ground, 3).await;
}
