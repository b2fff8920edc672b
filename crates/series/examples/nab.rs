//! Scores the anomaly detector by the rules of the Numenta Anomaly Benchmark (standard profile).
//!
//! `cargo run -p ropewalk-series --release --example nab -- DIR [--sweep] [--each]`
//!
//! DIR holds `GROUP/NAME.csv` files (`timestamp,value` with a header) and `windows.json`, which gives
//! for each `GROUP/NAME.csv` its anomaly windows as `[start, end]` timestamps; the data and
//! `labels/combined_windows.json` of github.com/numenta/NAB have that form. The detector gets nothing but the values in
//! order and the length of the probation, which every detector in the benchmark gets. One threshold serves all series:
//! its default, or with `--sweep` a list of others too.

use ropewalk_series::AnomalyDetector;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The cost of a false alarm and the value of a window in the standard profile.
const FALSE_ALARM: f64 = 0.11;

struct Series {
    name: String,
    values: Vec<f64>,
    /// First and last index of each window.
    windows: Vec<(usize, usize)>,
}

impl Series {
    /// The first records, which are not scored.
    fn probation(&self) -> usize {
        (self.values.len() * 15 / 100).min(750)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let Some(directory) = arguments.iter().find(|a| !a.starts_with("--")) else {
        eprintln!("usage: nab DIR [--sweep] [--each]: DIR holds windows.json and GROUP/NAME.csv files");
        return ExitCode::FAILURE;
    };
    let corpus = match load(Path::new(directory)) {
        Ok(corpus) => corpus,
        Err(problem) => {
            eprintln!("nab: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let windows: usize = corpus.iter().map(|s| s.windows.len()).sum();
    let records: usize = corpus.iter().map(|s| s.values.len()).sum();
    println!("{} series, {records} records, {windows} windows", corpus.len());
    if flag("--each") {
        for series in &corpus {
            let outcome = score(series, None);
            println!(
                "  {:<60} {:>2} windows, {:>2} found, {:>3} false alarms, raw {:>7.2}",
                series.name,
                series.windows.len(),
                outcome.found,
                outcome.false_alarms,
                outcome.raw
            );
        }
    }
    report("default", &corpus, None);
    if flag("--sweep") {
        for step in 1..20 {
            let threshold = f64::from(step) * 0.05;
            report(&format!("{threshold:.2}"), &corpus, Some(threshold));
        }
    }
    ExitCode::SUCCESS
}

fn report(name: &str, corpus: &[Series], threshold: Option<f64>) {
    let start = Instant::now();
    let (mut raw, mut found, mut false_alarms) = (0.0, 0, 0);
    for outcome in corpus.iter().map(|series| score(series, threshold)) {
        raw += outcome.raw;
        found += outcome.found;
        false_alarms += outcome.false_alarms;
    }
    let windows = corpus.iter().map(|s| s.windows.len()).sum::<usize>() as f64;
    let records = corpus.iter().map(|s| s.values.len()).sum::<usize>() as f64;
    // A perfect detector has `windows`, one that never speaks the opposite.
    let normalised = 100.0 * (raw + windows) / (2.0 * windows);
    let nanoseconds = start.elapsed().as_nanos() as f64 / records;
    println!(
        "threshold {name}: score {normalised:.2}, {found} windows found, {false_alarms} false alarms, {nanoseconds:.0} ns a value"
    );
}

struct Outcome {
    raw: f64,
    found: usize,
    false_alarms: usize,
}

fn score(series: &Series, threshold: Option<f64>) -> Outcome {
    let mut detector = AnomalyDetector::new(series.probation());
    if let Some(threshold) = threshold {
        detector = AnomalyDetector::builder(series.probation().max(16))
            .threshold(threshold)
            .build()
            .expect("a threshold between 0 and 1");
    }
    let mut best = vec![None::<f64>; series.windows.len()];
    let mut outcome = Outcome { raw: 0.0, found: 0, false_alarms: 0 };
    for (i, &value) in series.values.iter().enumerate() {
        let seen = detector.observe(value);
        if !seen.anomalous || i < series.probation() {
            continue;
        }
        if let Some(at) = series.windows.iter().position(|(first, last)| (*first..=*last).contains(&i)) {
            let (first, last) = series.windows[at];
            let place = -((last - i + 1) as f64) / (last - first + 1) as f64;
            let worth = sigmoid(place) / sigmoid(-1.0);
            best[at] = Some(best[at].map_or(worth, |b| b.max(worth)));
        } else {
            outcome.false_alarms += 1;
            let before = series.windows.iter().rev().find(|(_, last)| *last < i);
            outcome.raw += FALSE_ALARM
                * before.map_or(-1.0, |(first, last)| {
                    sigmoid((i - last) as f64 / ((last - first) as f64).max(1.0))
                });
        }
    }
    for worth in best {
        outcome.found += usize::from(worth.is_some());
        outcome.raw += worth.unwrap_or(-1.0);
    }
    outcome
}

fn sigmoid(y: f64) -> f64 {
    if y > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * y).exp()) - 1.0 }
}

fn load(directory: &Path) -> Result<Vec<Series>, String> {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&read(directory.join("windows.json"))?)
            .map_err(|e| format!("windows.json: {e}"))?;
    let mut corpus = Vec::new();
    for (name, windows) in labels {
        let text = read(directory.join(&name))?;
        let rows: Vec<(&str, f64)> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(','))
            .map(|(time, value)| {
                Ok((time, value.trim().parse().map_err(|_| format!("{name}: bad value {value}"))?))
            })
            .collect::<Result<_, String>>()?;
        // Timestamps sort as text once the fraction of a second, which only labels have, is off.
        let second = |time: &str| time.split('.').next().unwrap_or_default().to_owned();
        let windows = windows
            .iter()
            .map(|(start, end)| (second(start), second(end)))
            .map(|(start, end)| {
                let first = rows.partition_point(|(time, _)| *time < start.as_str());
                (first, rows.partition_point(|(time, _)| *time <= end.as_str()).max(1) - 1)
            })
            .collect();
        corpus.push(Series { windows, values: rows.iter().map(|r| r.1).collect(), name });
    }
    Ok(corpus)
}
