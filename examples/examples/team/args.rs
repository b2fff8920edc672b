//! The command line.

use clap::Parser;
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// A team of agents reviews a Cargo workspace.
///
/// Every source file, every package and the whole become tasks of one dependency graph; agents take
/// them, lease the files, ask a language model and commit what they learn to SQLite. A second run on
/// the same tree answers from there.
///
/// The model is a set of stand-in servers on the loopback that the auto-scaler starts and stops.
/// With OPENAI_BASE_URL (and OPENAI_API_KEY) set it is that server instead.
#[derive(Parser, Debug)]
#[command(name = "team", version)]
pub(crate) struct Args {
    /// The workspace to review [default: the one this stands in]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Where report.md and team.db go [default: target/team of this project]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Agents at once
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) agents: u32,
    /// Model servers: the most, or a range such as 2..20
    #[arg(long, default_value = "1..20", value_parser = nodes)]
    pub(crate) nodes: RangeInclusive<usize>,
    /// Latency of the stand-in model when it is idle
    #[arg(long, default_value_t = 200, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub(crate) model_latency_ms: u64,
    /// Share of model calls that fail, from 0 to 1
    #[arg(long, default_value_t = 0.02, value_parser = share)]
    pub(crate) fail_rate: f64,
    /// Seeds the stand-in model and the choice of nodes
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The model to ask for
    #[arg(long, default_value = "reviewer")]
    pub(crate) model: String,
    /// Serve the live dashboard here while the job runs, and after it until Ctrl-C
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    pub(crate) serve: Option<String>,
    /// Print the figures as JSON, and nothing else, on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn model_latency(&self) -> Duration {
        Duration::from_millis(self.model_latency_ms)
    }
}

fn nodes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number =
        |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{text:?} is not a number of nodes"));
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (number(min)?, number(max.trim_start_matches('='))?),
        None => (1, number(text)?),
    };
    if min == 0 || min > max || max > 200 {
        return Err(format!("{text} must lie within 1..200, the smaller number first"));
    }
    Ok(min..=max)
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text} is not a share from 0 to 1")),
    }
}
