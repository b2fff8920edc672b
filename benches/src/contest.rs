//! The measuring side of a race.
//!
//! A race area is a folder `benches/peers-AREA`: a workspace of its own whose program calls [`main`] with a list of
//! entries, each one contestant at one work. `cargo xtask race AREA` builds it, asks it for its list (`--list`), and then
//! starts it once for each sample (`--run WORK CONTESTANT`), so that every sample has a fresh process and contestants take
//! turns. Both answers are JSON, one object a line.

use std::{process::ExitCode, time::Instant};

/// The contestant name of our own entries.
pub const OURS: &str = "ropewalk";

/// One contestant at one work.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What is done, in kebab-case.
    pub work: &'static str,
    /// Who does it: [`OURS`], or the peer's name and version.
    pub contestant: &'static str,
    /// Does it once and says what it cost.
    pub run: fn(Effort) -> Vec<Sample>,
}

/// How much work a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For a look: about a tenth of a second a sample.
    Quick,
    /// For the record: about a second a sample.
    Full,
}

impl Effort {
    /// As many operations as this effort asks for, given what a quick sample takes.
    pub fn operations(self, quick: u64) -> u64 {
        match self {
            Self::Quick => quick,
            Self::Full => quick.saturating_mul(10),
        }
    }
}

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// `cpu_ns`, `wall_ns`, `ops_per_s`, `p999_us`, `bytes`, `hit_ratio`, `fairness`, …
    pub metric: &'static str,
    /// What one of the value is.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
}

/// Runs `body` once as a warm-up with a tenth of the operations, then with all of them, and returns the CPU time of the
/// whole process and the wall time, both per operation.
pub fn per_operation(operations: u64, mut body: impl FnMut(u64)) -> Vec<Sample> {
    let operations = operations.max(1);
    body(operations.div_ceil(10));
    let (cpu, wall) = (cpu_nanoseconds(), Instant::now());
    body(operations);
    let (cpu, wall) = (cpu_nanoseconds().saturating_sub(cpu), wall.elapsed().as_nanos());
    let per = |nanoseconds: f64| nanoseconds / operations as f64;
    vec![
        Sample { metric: "cpu_ns", unit: "ns/op", value: per(cpu as f64) },
        Sample { metric: "wall_ns", unit: "ns/op", value: per(wall as f64) },
    ]
}

/// The CPU time that all threads of this process have used.
pub fn cpu_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable `timespec` for the whole call, which keeps no pointer to it.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0, "the process CPU clock exists on every system the races run on");
    let (seconds, nanoseconds) = (time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u64);
    seconds * 1_000_000_000 + nanoseconds
}

/// The program of a race area.
pub fn main(entries: &[Entry]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match answer(entries, &arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(entries: &[Entry], arguments: &[&str]) -> Result<Vec<String>, String> {
    match arguments {
        ["--list"] => Ok(entries
            .iter()
            .map(|entry| format!(r#"{{"work":"{}","contestant":"{}"}}"#, entry.work, entry.contestant))
            .collect()),
        ["--run", work, contestant, rest @ ..] => {
            let effort = match rest {
                [] => Effort::Full,
                ["--quick"] => Effort::Quick,
                _ => return Err(format!("unknown arguments: {rest:?}")),
            };
            let wanted = |entry: &&Entry| entry.work == *work && entry.contestant == *contestant;
            let entry = entries
                .iter()
                .find(wanted)
                .ok_or_else(|| format!("no contestant `{contestant}` at `{work}` (see --list)"))?;
            Ok((entry.run)(effort).iter().map(line).collect())
        }
        _ => Err("started by `cargo xtask race`; understands --list and --run WORK CONTESTANT [--quick]"
            .to_owned()),
    }
}

fn line(sample: &Sample) -> String {
    format!(r#"{{"metric":"{}","unit":"{}","value":{}}}"#, sample.metric, sample.unit, sample.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &[Entry] = &[Entry {
        work: "count",
        contestant: OURS,
        run: |effort| vec![Sample { metric: "bytes", unit: "B", value: effort.operations(5) as f64 }],
    }];

    #[test]
    fn entries_are_listed() {
        assert_eq!(answer(ENTRIES, &["--list"]).unwrap(), [r#"{"work":"count","contestant":"ropewalk"}"#]);
    }

    #[test]
    fn an_entry_runs_with_the_effort_asked_for() {
        let quick = answer(ENTRIES, &["--run", "count", "ropewalk", "--quick"]).unwrap();
        assert_eq!(quick, [r#"{"metric":"bytes","unit":"B","value":5}"#]);
        let full = answer(ENTRIES, &["--run", "count", "ropewalk"]).unwrap();
        assert_eq!(full, [r#"{"metric":"bytes","unit":"B","value":50}"#]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_a_reason() {
        assert!(answer(ENTRIES, &[]).unwrap_err().contains("--list"));
        assert!(answer(ENTRIES, &["--run", "count", "nobody"]).unwrap_err().contains("nobody"));
        assert!(answer(ENTRIES, &["--run", "count", "ropewalk", "--slow"]).is_err());
    }

    #[test]
    fn a_warm_up_runs_before_the_measurement_and_both_costs_are_told() {
        let mut calls = Vec::new();
        let samples = per_operation(100, |operations| calls.push(operations));
        assert_eq!(calls, [10, 100]);
        assert_eq!(samples.iter().map(|sample| sample.metric).collect::<Vec<_>>(), ["cpu_ns", "wall_ns"]);
    }
}
