//! How long each piece takes by itself: `cargo bench --bench functions`, with a part of a name for some of them.
//!
//! A piece that is done faster here is not yet a faster whole: see the shapes. And times tell little on a machine that
//! others use, too: see the guard.

use std::time::{Duration, Instant};

use benches::all_pieces;
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("standin");
    for piece in all_pieces() {
        group.throughput(Throughput::Elements(piece.times));
        let mut begun = None;
        group.bench_function(piece.name, |bencher| {
            let round = begun.get_or_insert_with(|| (piece.begin)().expect("the piece begins"));
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    round(&mut |part| {
                        let begin = Instant::now();
                        part();
                        took += begin.elapsed();
                    });
                }
                took
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
