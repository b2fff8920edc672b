//! The step `guarantees`: the rows stand on tests that ran.

use super::{
    Outcome,
    scope::Scope,
    tally::{Kind, Tally, WORKSPACE},
};
use crate::{error::Result, prove};

/// `whole` when all tests of all crates were to run before this.
pub(super) fn run(scope: &Scope<'_>, whole: bool, tally: &mut Tally) -> Result<Outcome> {
    let table = prove::examine(scope.workspace)?;
    println!("  {}", table.summary());
    let mut problems = table.problems();
    if !table.settle_page(scope.workspace, false)? {
        problems.push("the page is not current".to_owned());
    }
    if whole {
        for (package, tests) in table.tests() {
            let ran = tally.ran_in(package);
            let missing = tests.into_iter().filter(|test| ran.is_none_or(|ran| !ran.contains(*test)));
            problems.extend(
                missing.map(|test| format!("{package}: a row stands on {test}, which did not run and pass")),
            );
        }
    }
    problems.iter().for_each(|problem| println!("  {problem}"));
    if problems.is_empty() {
        tally.pass(WORKSPACE, Kind::Gate);
    } else {
        tally.fail(WORKSPACE, Kind::Gate, format!("guarantees: {} problems", problems.len()));
    }
    if whole {
        return Ok(Outcome::Done);
    }
    println!("  whether the tests ran is not looked at: not all of them were asked for");
    Ok(Outcome::Done)
}
