//! Building a graph and working through it.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion};
use ropewalk_graph::{Graph, Task, TaskId, Workers};

const TASKS: usize = 1_000;

/// Tasks in layers of ten, each after two of the layer above it.
fn layered(graph: &Graph) -> Vec<TaskId> {
    let mut tasks: Vec<TaskId> = Vec::with_capacity(TASKS);
    for number in 0..TASKS {
        let mut task = Task::new("task");
        if let Some(above) = (number / 10).checked_sub(1) {
            task = task.after(tasks[above * 10 + number % 10]).after(tasks[above * 10 + (number + 1) % 10]);
        }
        tasks.push(graph.add(task));
    }
    tasks
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("graph");
    group.bench_function(BenchmarkId::new("add-1000", 1), |bencher| {
        bencher.iter(|| {
            let graph = Graph::new();
            black_box(layered(&graph));
            graph
        });
    });
    group.bench_function(BenchmarkId::new("complete-1000", 1), |bencher| {
        let setup = || {
            let graph = Graph::new();
            let tasks = layered(&graph);
            (graph, tasks)
        };
        let body = |(graph, tasks): (Graph, Vec<TaskId>)| {
            for task in tasks {
                black_box(graph.complete(task).expect("all before it are complete"));
            }
            graph
        };
        bencher.iter_batched(setup, body, BatchSize::LargeInput);
    });
    group.bench_function(BenchmarkId::new("refuse-cycle-chain-1000", 1), |bencher| {
        let graph = Graph::new();
        let first = graph.add(Task::new("first"));
        let last = (1..TASKS).fold(first, |before, _| graph.add(Task::new("next").after(before)));
        bencher.iter(|| graph.depend(black_box(first), black_box(last)).expect_err("it closes the chain"));
    });
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("frozen-run-1000", threads), |bencher| {
            let graph = Graph::new();
            layered(&graph);
            let frozen = graph.freeze().expect("it has no cycle");
            let workers = Workers::new(threads);
            bencher.iter(|| {
                frozen.run(&workers, |task| _ = black_box(task.name())).expect("workers run").wait()
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
