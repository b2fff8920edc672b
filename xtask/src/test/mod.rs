//! `cargo xtask test`: every check of the project, step by step, with a count of what ran.

mod cargo_test;
mod features;
mod gates;
mod guarantees;
mod models;
mod package;
mod parse;
mod scope;
mod tally;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

pub(crate) use self::tally::align;
use self::{
    scope::Scope,
    tally::{Counts, Kind, Tally, WORKSPACE},
};
use crate::{error::Result, workspace::Workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only this step (repeatable)
    #[arg(long, value_name = "STEP", value_enum)]
    only: Vec<Step>,
    /// Leave this step out (repeatable)
    #[arg(long, value_name = "STEP", value_enum)]
    skip: Vec<Step>,
    /// Look only at this package where a step can (repeatable)
    #[arg(long, short, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Go on after a failing step
    #[arg(long)]
    keep_going: bool,
    /// List the steps and end
    #[arg(long)]
    list: bool,
}

/// The steps in the order they run: what answers fastest stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Every file is formatted
    Fmt,
    /// The rules of the house (`cargo xtask tidy`)
    Tidy,
    /// clippy on all targets with all features, warnings are errors
    Clippy,
    /// Unit and integration tests with all features (clippy compiles the examples)
    Test,
    /// Examples in docs and READMEs
    DocTests,
    /// Models of orderings, progress and cancellation; some mutants (`cargo xtask prove`)
    Prove,
    /// Each operation has its row, each row tests that ran
    Guarantees,
    /// Each feature of each published crate, checked alone
    Features,
    /// API docs, warnings are errors
    Docs,
    /// Each published crate makes a clean package
    Package,
    /// The published crates on the oldest toolchain they declare, if it is installed
    Msrv,
}

/// How a step ended, apart from the checks it counted.
enum Outcome {
    Done,
    Skipped(String),
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn help(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }

    fn run(self, scope: &Scope<'_>, whole: bool, tally: &mut Tally) -> Result<Outcome> {
        match self {
            Self::Fmt => gates::fmt(scope.workspace, tally),
            Self::Tidy => gates::tidy(scope.workspace, tally),
            Self::Clippy => gates::clippy(scope, tally),
            Self::Test => cargo_test::tests(scope, tally),
            Self::DocTests => cargo_test::doc_tests(scope, tally),
            Self::Prove => models::run(scope, tally),
            Self::Guarantees => guarantees::run(scope, whole, tally),
            Self::Features => features::run(scope, tally),
            Self::Docs => gates::docs(scope, tally),
            Self::Package => package::run(scope.workspace, tally),
            Self::Msrv => gates::msrv(scope, tally),
        }
    }
}

/// A line of the closing list of steps.
struct Report {
    step: Step,
    took: Duration,
    verdict: String,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    if options.list {
        for &step in Step::value_variants() {
            println!("{:<10} {}", step.name(), step.help());
        }
        return Ok(true);
    }
    let scope = Scope::new(workspace, &options.package)?;
    let asked =
        |step| (options.only.is_empty() || options.only.contains(&step)) && !options.skip.contains(&step);
    let whole = options.package.is_empty() && asked(Step::Test) && asked(Step::Prove);
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut reports = Vec::new();
    let mut stopped = false;
    for &step in Step::value_variants() {
        if !options.only.is_empty() && !options.only.contains(&step) {
            continue;
        }
        let left_out = if options.skip.contains(&step) {
            Some("skipped: asked for")
        } else if stopped {
            Some("skipped: a step before it failed")
        } else {
            None
        };
        if let Some(reason) = left_out {
            tally.skip(WORKSPACE, Kind::Gate);
            reports.push(Report { step, took: Duration::ZERO, verdict: reason.to_owned() });
            continue;
        }
        let report = run_step(step, &scope, whole, &mut tally);
        stopped = tally.total().failed > 0 && !options.keep_going;
        reports.push(report);
    }
    println!("\n{}", summary(&tally, &reports, started.elapsed()));
    Ok(tally.total().failed == 0)
}

fn run_step(step: Step, scope: &Scope<'_>, whole: bool, tally: &mut Tally) -> Report {
    println!("\n=== {}: {} ===", step.name(), step.help());
    let started = Instant::now();
    let before = tally.total();
    let outcome = step.run(scope, whole, tally);
    let took = started.elapsed();
    if let Err(error) = &outcome {
        println!("  {error}");
        tally.fail(WORKSPACE, Kind::Gate, format!("{}: {error}", step.name()));
    }
    let mut ran = tally.total();
    ran -= before;
    let verdict = match outcome {
        _ if ran.failed > 0 => format!("FAILED ({} of {})", ran.failed, ran.passed + ran.failed),
        Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
        Ok(Outcome::Done) | Err(_) => format!("ok ({} passed)", ran.passed),
    };
    println!("--- {}: {verdict}, {:.1} s ---", step.name(), took.as_secs_f64());
    Report { step, took, verdict }
}

fn summary(tally: &Tally, reports: &[Report], took: Duration) -> String {
    let mut text = String::from("=== summary ===\n");
    for Report { step, took, verdict } in reports {
        writeln!(text, "  {:<10} {:>7.1} s  {verdict}", step.name(), took.as_secs_f64()).unwrap();
    }
    writeln!(text, "  {:<10} {:>7.1} s\n", "all", took.as_secs_f64()).unwrap();
    text.push_str(&tally.table());
    if !tally.failures().is_empty() {
        text.push_str("\nfailed:\n");
        for failure in tally.failures() {
            writeln!(text, "  {failure}").unwrap();
        }
    }
    let Counts { passed, failed, skipped } = tally.total();
    write!(text, "\n{passed} passed, {failed} failed, {skipped} skipped").unwrap();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_ends_with_the_line_of_counts() {
        let mut tally = Tally::default();
        tally.pass("a", Kind::Unit);
        tally.skip(WORKSPACE, Kind::Gate);
        let reports = [Report { step: Step::Test, took: Duration::from_secs(2), verdict: "ok".to_owned() }];
        let text = summary(&tally, &reports, Duration::from_secs(3));
        assert_eq!(text.lines().last(), Some("1 passed, 0 failed, 1 skipped"), "{text}");
    }

    #[test]
    fn every_step_has_a_name_and_a_sentence() {
        for &step in Step::value_variants() {
            assert!(!step.name().is_empty() && !step.help().is_empty(), "{step:?}");
        }
    }
}
