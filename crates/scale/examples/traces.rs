//! Replays recorded loads against the policy and prints what it would have cost and missed.
//!
//! `cargo run -p ropewalk-scale --release --example traces -- DIR`, where DIR holds text files: the first line is the
//! length of a bin in seconds, the second the load of each bin, separated by blanks. The load is scaled
//! to 20 nodes' worth of work on average, nodes take 60 s to start, and a violation is work that waits
//! for more than 0.1 s. The oracle knows the future and has no violation.

use ropewalk_scale::{Load, Memory, Policy, Utilization};
use std::{
    collections::VecDeque,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

const MEAN_NODES: f64 = 20.0;
const START_UP: u64 = 60;
const DECIDE_EVERY: u64 = 15;
const PATIENCE: f64 = 0.1;

struct Trace {
    bin: u64,
    load: Vec<f64>,
}

fn read(path: &Path) -> Option<Trace> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let bin: u64 = lines.next()?.trim().parse().ok()?;
    let load: Vec<f64> =
        lines.next()?.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let mean = load.iter().sum::<f64>() / load.len() as f64;
    (bin > 0 && mean > 0.0).then(|| Trace { bin, load: load.iter().map(|v| v / mean * MEAN_NODES).collect() })
}

struct Score {
    violations: f64,
    node_seconds: f64,
    changes: u64,
}

fn replay(trace: &Trace, policy: &Policy) -> Score {
    let start = Instant::now();
    let first = policy.reactive(0, trace.load[0]).max(1);
    let mut memory = Memory::new(first, start);
    let (mut wanted, mut ready) = (first, first);
    let mut starting: VecDeque<(u64, usize)> = VecDeque::new();
    let mut score = Score { violations: 0.0, node_seconds: 0.0, changes: 0 };
    let (mut backlog, mut arrived, mut late) = (0.0, 0.0, 0.0);
    let mut recent = 0.0;
    for second in 0..trace.bin * trace.load.len() as u64 {
        let demand = trace.load[(second / trace.bin) as usize];
        while starting.front().is_some_and(|(at, _)| *at <= second) {
            ready += starting.pop_front().map_or(0, |(_, nodes)| nodes);
        }
        backlog = (backlog + demand - ready as f64).max(0.0);
        arrived += demand;
        if backlog > PATIENCE * ready as f64 {
            late += demand;
        }
        recent += demand;
        score.node_seconds += wanted as f64;
        if second % DECIDE_EVERY == DECIDE_EVERY - 1 {
            let now = start + Duration::from_secs(second);
            // What arrived, not what was served: utilisation would hide an overload.
            let load = Load::demand(recent / DECIDE_EVERY as f64);
            recent = 0.0;
            let decision = policy.decide(&mut memory, wanted, ready, load, now);
            if decision.to > decision.from {
                starting.push_back((second + START_UP, decision.to - decision.from));
            }
            let mut surplus = decision.from.saturating_sub(decision.to);
            // Those that do not serve yet go first.
            while surplus > 0 {
                let Some((at, nodes)) = starting.pop_back() else { break };
                let gone = nodes.min(surplus);
                surplus -= gone;
                if nodes > gone {
                    starting.push_back((at, nodes - gone));
                }
            }
            ready -= surplus;
            wanted = decision.to;
            score.changes += u64::from(decision.is_change());
        }
    }
    score.violations = late / arrived;
    score
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!(
            "usage: traces DIR   (a directory of load traces; see the head of this file for their format)"
        );
        return ExitCode::FAILURE;
    };
    let Ok(entries) = std::fs::read_dir(&dir) else {
        eprintln!("{dir} is not there or cannot be read; give a directory of load traces");
        return ExitCode::FAILURE;
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    println!(
        "{:<40} {:>7} {:>12} {:>12} {:>12}",
        "trace", "target", "violations", "node-hours", "changes/day"
    );
    let mut found = false;
    for path in paths {
        let Some(trace) = read(&path) else { continue };
        found = true;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let oracle: f64 = trace.load.iter().map(|demand| demand.ceil().max(1.0) * trace.bin as f64).sum();
        let days = trace.bin as f64 * trace.load.len() as f64 / 86_400.0;
        for percent in [50, 70] {
            let policy = match Policy::new(1..=100_000, Utilization::percent(percent)) {
                Ok(policy) => policy,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            };
            let score = replay(&trace, &policy);
            println!(
                "{name:<40} {percent:>5} % {:>10.3} % {:>10.2} x {:>12.0}",
                100.0 * score.violations,
                score.node_seconds / oracle,
                score.changes as f64 / days
            );
        }
        println!("{name:<40} {:>7} {:>10.3} % {:>10.2} x", "oracle", 0.0, 1.0);
    }
    if !found {
        eprintln!(
            "no load trace in {dir}: the first line of a file is a bin in seconds, the second the load of each bin"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
