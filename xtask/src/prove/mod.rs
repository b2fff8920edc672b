//! `cargo xtask prove`: runs every model, prints what each claim stands on, and checks the table of guarantees.

mod evidence;
mod faults;
mod foreign;
mod mutants;
mod run;
mod table;

use std::time::{Duration, Instant};

use clap::Args;

pub(crate) use self::{
    evidence::{problems, report},
    run::{Models, Ran, build, run as run_models},
    table::examine,
};
use crate::{error::Result, workspace::Workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only models whose crate or name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Weaken each ordering, remove each fence and apply each deliberate fault: some model or test must then fail
    #[arg(long)]
    mutants: bool,
    /// Stop the mutants after this many seconds; which come first depends on the commit
    #[arg(long, value_name = "SECONDS", requires = "mutants")]
    budget: Option<u64>,
    /// Write docs/GUARANTEES.md instead of checking that it is current
    #[arg(long)]
    write: bool,
    /// Check the table of guarantees and run nothing
    #[arg(long)]
    table: bool,
    /// Run the tests of the small crates under Miri, where a nightly toolchain has it
    #[arg(long)]
    miri: bool,
    /// Run the tests of the small crates with the address sanitizer, where a nightly toolchain is there
    #[arg(long)]
    asan: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    if options.miri || options.asan {
        return foreign::run(workspace, options.miri, options.asan);
    }
    let mut good = guarantees(workspace, options.write)?;
    if options.table {
        return Ok(good);
    }
    let started = Instant::now();
    let Some(models) = run::build(workspace)? else {
        println!("the models do not build");
        return Ok(false);
    };
    let mut ran = run::run(&models, options.only.as_deref())?;
    if let Some(only) = &options.only {
        ran.retain(|ran| !ran.passed.is_empty() || !ran.failed.is_empty());
        if ran.is_empty() {
            println!("no crate and no model is called `{only}`");
            return Ok(false);
        }
    }
    print!("\n{}", evidence::report(&ran));
    println!("{:.1} s passed", started.elapsed().as_secs_f64());
    let problems: Vec<_> = ran.iter().flat_map(evidence::problems).collect();
    problems.iter().for_each(|problem| println!("  {problem}"));
    good &= problems.is_empty();
    if options.mutants {
        let budget = options.budget.map(Duration::from_secs);
        good &= mutants::run(workspace, &models, &ran, options.only.as_deref(), budget)?;
        good &= faults::run(workspace, options.only.as_deref(), budget)?;
    }
    Ok(good)
}

/// Checks the rows, and that the page shows them.
fn guarantees(workspace: &Workspace, write: bool) -> Result<bool> {
    let table = table::examine(workspace)?;
    let problems = table.problems();
    problems.iter().for_each(|problem| println!("  {problem}"));
    println!("{}", table.summary());
    let is_current = table.settle_page(workspace, write)?;
    Ok(problems.is_empty() && is_current)
}

/// The part of the mutants that `cargo xtask test` runs.
pub(crate) fn some_mutants(
    workspace: &Workspace,
    models: &[Models],
    ran: &[Ran],
    budget: Duration,
) -> Result<bool> {
    mutants::run(workspace, models, ran, None, Some(budget))
}
