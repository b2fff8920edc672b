//! Scores the forecasters on forecasting tasks in the manner of the M4 competition.
//!
//! `cargo run -p ropewalk-series --release --example m4 -- DIR [FILE...]`
//!
//! DIR holds text files with one task a line, `id,period,horizon,h1|h2|...,f1|f2|...`: the seasonal
//! period, the number of points to forecast, the history, the true future. Without FILE every `.csv` is
//! scored. OWA is relative to Naive 2 on the same tasks; coverage is of 95 % intervals.

use ropewalk_series::{
    Auto, Damped, ForecastError, Forecaster, Naive, SeasonalNaive, Ses, Theta, mase, owa, smape,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

struct Task {
    period: usize,
    history: Vec<f64>,
    future: Vec<f64>,
}

/// Means over tasks.
#[derive(Default)]
struct Score {
    smape: f64,
    mase: f64,
    inside: f64,
    msis: f64,
    seconds: f64,
}

type Method = (&'static str, fn(usize) -> Box<dyn Forecaster>);

const METHODS: [Method; 6] = [
    ("Naive 2", |p| Box::new(Naive::new().period(p))),
    ("seasonal naive", |p| Box::new(SeasonalNaive::new(p))),
    ("SES", |p| Box::new(Ses::new().period(p))),
    ("damped", |p| Box::new(Damped::new().period(p))),
    ("Theta", |p| Box::new(Theta::new().period(p))),
    ("Auto", |p| match p {
        1 => Box::new(Auto::new().periods(&[52])),
        24 => Box::new(Auto::new().periods(&[24, 168])),
        p => Box::new(Auto::new().periods(&[p])),
    }),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(directory) = arguments.next() else {
        eprintln!(
            "usage: m4 DIR [FILE...]: DIR holds tasks, one a line: id,period,horizon,h1|h2|...,f1|f2|..."
        );
        return ExitCode::FAILURE;
    };
    let mut files: Vec<PathBuf> = arguments.map(|file| directory.join(file)).collect();
    if files.is_empty() {
        match std::fs::read_dir(&directory) {
            Ok(entries) => {
                files = entries
                    .flatten()
                    .map(|e| e.path())
                    .filter(|p| p.extension().is_some_and(|e| e == "csv"))
                    .collect();
                files.sort();
            }
            Err(error) => {
                eprintln!("m4: no tasks at {}: {error}", directory.display());
                return ExitCode::FAILURE;
            }
        }
    }
    if files.is_empty() {
        eprintln!("m4: no .csv files in {}", directory.display());
        return ExitCode::FAILURE;
    }
    for file in &files {
        if let Err(problem) = report(file) {
            eprintln!("m4: {}: {problem}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn report(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let tasks: Vec<Task> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| parse(line).ok_or_else(|| format!("line {} is not a task", i + 1)))
        .collect::<Result<_, _>>()?;
    println!("{} ({} tasks)", file.display(), tasks.len());
    println!(
        "  {:<15} {:>7} {:>7} {:>6} {:>9} {:>7} {:>8}",
        "method", "sMAPE", "MASE", "OWA", "coverage", "MSIS", "ms/task"
    );
    let mut reference = None;
    for (name, method) in METHODS {
        let score = score(&tasks, method).map_err(|error| format!("{name}: {error}"))?;
        let (smape, mase) = *reference.get_or_insert((score.smape, score.mase));
        println!(
            "  {name:<15} {:>7.3} {:>7.3} {:>6.3} {:>7.1} % {:>7.2} {:>8.2}",
            score.smape,
            score.mase,
            owa(score.smape, score.mase, smape, mase),
            100.0 * score.inside,
            score.msis,
            1e3 * score.seconds,
        );
    }
    println!();
    Ok(())
}

fn parse(line: &str) -> Option<Task> {
    let numbers = |field: &str| field.split('|').map(|v| v.trim().parse().ok()).collect::<Option<Vec<f64>>>();
    let mut fields = line.split(',').skip(1);
    let period = fields.next()?.parse().ok()?;
    let horizon: usize = fields.next()?.parse().ok()?;
    let task = Task { period, history: numbers(fields.next()?)?, future: numbers(fields.next()?)? };
    (task.future.len() == horizon).then_some(task)
}

fn score(tasks: &[Task], method: fn(usize) -> Box<dyn Forecaster>) -> Result<Score, ForecastError> {
    let mut total = Score::default();
    let n = tasks.len() as f64;
    for task in tasks {
        let method = method(task.period);
        let start = Instant::now();
        let points = method.predict(&task.history, task.future.len())?;
        total.seconds += start.elapsed().as_secs_f64() / n;
        total.smape += smape(&task.future, &points) / n;
        total.mase += mase(&task.future, &points, &task.history, task.period) / n;
        let forecast = method.forecast(&task.history, task.future.len())?;
        total.inside += forecast.coverage(&task.future).unwrap_or(1.0) / n;
        // The mean scaled interval score of M4: width, and 2 / (1 - level) times what lies outside.
        let outside: f64 = (0..task.future.len())
            .map(|h| {
                let (low, high, truth) = (forecast.lower[h], forecast.upper[h], task.future[h]);
                high - low + 40.0 * ((low - truth).max(0.0) + (truth - high).max(0.0))
            })
            .sum();
        let scale = mase(&[1.0], &[0.0], &task.history, task.period);
        total.msis += outside / task.future.len() as f64 * scale / n;
    }
    Ok(total)
}
