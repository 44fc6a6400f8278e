//! Postings to the ledger on a disk, every commit flushed: one after the other, and many in flight, which share commits.

use bank_benches::posting::Book;
use bank_benches::{Failure, bank};
use criterion::{BenchmarkId, Criterion, Throughput};

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let directory = tempfile::Builder::new().prefix("bank-bench-").tempdir_in(bank::on_disk(None)?)?;
    let book = runtime.block_on(Book::open(directory.path()))?;
    let mut group = criterion.benchmark_group("ledger_posting");
    group.sample_size(20);
    for in_flight in [1, 64, 2_000] {
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(BenchmarkId::new("in flight", in_flight), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let count = usize::try_from(in_flight).expect("a small number");
                book.post_at_once(count).await.expect("accounts may be overdrawn");
            });
        });
    }
    group.finish();
    criterion.final_summary();
    runtime.block_on(book.close());
    Ok(())
}
