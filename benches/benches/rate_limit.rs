//! Taking from a bucket: of one caller, of many, of strangers for whom there is no room; and as the gateway does it, with the
//! fields that tell the caller how it stands.

use std::num::NonZeroU32;
use std::sync::Arc;

use bank_benches::{Failure, gateways};
use bank_gateway::step::Waiting;
use bank_gateway::{Buckets, Exchange, RateLimit, Step as _};
use bank_sdk::Principal;
use bank_sdk::http::Body;
use bank_stores::limit::{Charge, LimitKey, LimitTable, Rate};
use criterion::{BatchSize, Criterion};
use http::Request;

const CAPACITY: usize = 65_536;

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let rate = Rate::per_second(NonZeroU32::MAX);
    let charge = |number: usize| [Charge::one(LimitKey::of("bench", &number.to_string()), rate)];

    let mut group = criterion.benchmark_group("rate_limit");
    let table = LimitTable::new(CAPACITY);
    group.bench_function("one caller", |bencher| {
        let (charge, mut now) = (charge(0), 0);
        bencher.iter(|| {
            now += 1_000;
            table.take(now, &charge)
        });
    });
    let charges: Vec<_> = (0..CAPACITY / 2).map(charge).collect();
    group.bench_function("32,768 callers in turn", |bencher| {
        let (mut turns, mut now) = (charges.iter().cycle(), 0);
        bencher.iter(|| {
            now += 1_000;
            turns.next().map(|charge| table.take(now, charge))
        });
    });
    group.bench_function("strangers without room", |bencher| {
        // Nobody's bucket is full again while the time stands still.
        let full = LimitTable::new(1_024);
        charges.iter().take(4_096).for_each(|charge| drop(full.take(0, charge)));
        let mut strangers = charges.iter().skip(8_192).cycle();
        bencher.iter(|| strangers.next().map(|charge| full.take(0, charge)));
    });
    let limit = RateLimit::new("bench", gateways::huge(), Buckets::new(CAPACITY))?;
    let principal = Arc::new(Principal::customer("cus_bench"));
    group.bench_function("step", |bencher| {
        bencher.iter_batched(
            || {
                let exchange = Exchange::new(Request::new(Body::empty()));
                exchange.facts.set_principal(principal.clone());
                exchange
            },
            |mut exchange| {
                assert!(limit.before(&mut exchange, &mut Waiting::default()).is_ok());
                exchange
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
