//! A value that this process has a copy of, beside the map itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_benches::Failure;
use bank_stores::cache::{Cached, Load, Loaded, ReadThrough, ReadThroughOptions, Subscription};
use bank_stores::{Cache, Error, ErrorKind, Result};
use bytes::Bytes;
use criterion::Criterion;

const KEYS: usize = 10_000;
const DAY: Duration = Duration::from_secs(86_400);

struct Names;

#[async_trait]
impl Load<String> for Names {
    async fn load(&self, key: &str) -> Result<Loaded<String>> {
        Ok(Loaded::found(format!("the name of {key}"), 1))
    }
}

/// A shared cache is not asked for what is here.
#[derive(Debug)]
struct Away;

fn away<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, "away"))
}

#[async_trait]
impl Cache for Away {
    async fn get(&self, _: &str) -> Result<Option<Cached>> {
        away()
    }

    async fn set(&self, _: &str, _: Bytes, _: u64, _: Duration) -> Result<bool> {
        away()
    }

    async fn remove(&self, _: &str, _: u64, _: Duration) -> Result<()> {
        away()
    }

    async fn publish(&self, _: &str, _: Bytes) -> Result<()> {
        away()
    }

    async fn subscribe(&self, _: &str) -> Result<Subscription> {
        away()
    }
}

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    let keys: Vec<String> = (0..KEYS).map(|number| format!("customer-{number}")).collect();
    let options = ReadThroughOptions::new("names")?.ttl(DAY)?.local_ttl(DAY)?.local_capacity(2 * KEYS as u64);
    let names = ReadThrough::new(Arc::new(Away), Names, options);
    let map = moka::sync::Cache::<String, Arc<String>>::new(2 * KEYS as u64);
    runtime.block_on(async {
        for key in &keys {
            if let Some(name) = names.get_or_load(key).await? {
                map.insert(key.clone(), name);
            }
        }
        Ok::<_, Failure>(())
    })?;

    let mut group = criterion.benchmark_group("read_through");
    for (name, used) in [("one key", 1), ("10,000 keys in turn", KEYS)] {
        group.bench_function(format!("a hit, {name}"), |bencher| {
            let mut turns = keys[..used].iter().cycle();
            bencher.iter(|| turns.next().map(|key| runtime.block_on(names.get_or_load(key))));
        });
        group.bench_function(format!("moka alone, {name}"), |bencher| {
            let mut turns = keys[..used].iter().cycle();
            bencher.iter(|| turns.next().map(|key| runtime.block_on(async { map.get(key) })));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
