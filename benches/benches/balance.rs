//! Picking a node and giving it back.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use ropewalk_balance::{Balancer, LeastLoaded, Need, Node, PeakEwma, RoundRobin, SmoothWeighted, Strategy};
use ropewalk_benches::{THREADS, on_threads};

const NODES: u32 = 20;

fn balancer(strategy: impl Strategy) -> Balancer {
    let balancer = Balancer::builder().strategy(strategy).build().expect("the settings are valid");
    for number in 0..NODES {
        let node = Node::new(format!("10.0.0.{number}:8000")).weight(1 + number % 3).offers("model");
        balancer.insert(node).expect("its address is new");
    }
    balancer
}

fn pick(criterion: &mut Criterion, name: &str, balancer: &Balancer) {
    let mut group = criterion.benchmark_group("balance");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new(name, threads), |bencher| {
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    for _ in 0..share {
                        drop(black_box(balancer.pick(Need::of("model"))));
                    }
                })
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    pick(&mut criterion, "pick-round-robin", &balancer(RoundRobin::default()));
    pick(&mut criterion, "pick-smooth-weighted", &balancer(SmoothWeighted::default()));
    pick(&mut criterion, "pick-least-loaded", &balancer(LeastLoaded::default()));
    pick(&mut criterion, "pick-peak-ewma", &balancer(PeakEwma::default()));
    criterion.final_summary();
}
