//! The step `prove`: every model, and as many mutants as the budget allows.

use std::time::Duration;

use super::{
    Outcome,
    scope::Scope,
    tally::{Kind, Tally, WORKSPACE},
};
use crate::{error::Result, prove};

/// Seconds for mutants; the commit decides which come first.
const MUTANTS: Duration = Duration::from_secs(180);

pub(super) fn run(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let Some(mut models) = prove::build(scope.workspace)? else {
        tally.fail(WORKSPACE, Kind::Gate, "the models do not build");
        return Ok(Outcome::Done);
    };
    models.retain(|models| scope.published().iter().any(|package| package.name == models.package));
    let ran = prove::run_models(&models, None)?;
    println!("{}", prove::report(&ran));
    for ran in &ran {
        for test in &ran.passed {
            tally.pass(&ran.package, Kind::Model);
            tally.ran(&ran.package, format!("models::{test}"));
        }
        for problem in prove::problems(ran) {
            tally.fail(&ran.package, Kind::Model, problem);
        }
        if !ran.output.is_empty() {
            println!("{}", ran.output);
        }
    }
    if prove::some_mutants(scope.workspace, &models, &ran, MUTANTS)? {
        tally.pass(WORKSPACE, Kind::Gate);
    } else {
        tally.fail(WORKSPACE, Kind::Gate, "an ordering mutant survives, or a waiver does not hold");
    }
    Ok(Outcome::Done)
}
