//! What it costs to seal and to open a field of 64 bytes.

use std::hint::black_box;

use bank_benches::Failure;
use bank_stores::seal::Sealer;
use criterion::Criterion;

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let sealer = Sealer::new("k00000000000000000000000001", [7; 32])?;
    let (context, value) = (b"items/user#ada/user".as_slice(), [b'x'; 64]);
    let mut group = criterion.benchmark_group("seal");
    group.bench_function("seal and open 64 bytes", |bench| {
        bench.iter(|| {
            let sealed = sealer.seal_bytes(black_box(context), black_box(&value));
            sealed.and_then(|sealed| sealer.open_bytes(context, &sealed))
        });
    });
    group.bench_function("seal and open 64 bytes of a write that may be sent again", |bench| {
        bench.iter(|| {
            let sealed = sealer.seal_bytes_write(black_box(context), "write_1", black_box(&value));
            sealed.and_then(|sealed| sealer.open_bytes(context, &sealed))
        });
    });
    group.bench_function("seal and open 64 bytes as text", |bench| {
        bench.iter(|| {
            let sealed = sealer.seal_write(black_box(context), "write_1", black_box(&value));
            sealed.and_then(|sealed| sealer.open(context, &sealed))
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
