//! Steps that run `cargo test` and count what it ran.

use std::{collections::BTreeMap, process::Command};

use super::{
    Outcome,
    parse::Follower,
    scope::Scope,
    tally::{Kind, Tally, WORKSPACE},
};
use crate::{
    command::{capture, cargo, stream},
    error::{Context as _, Result},
};

/// Published crates that may have no test in a binary: crate, what is empty, and why.
const MAY_BE_EMPTY: &[(&str, &str, &str)] = &[];

pub(super) fn tests(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let command = || {
        let mut command = cargo(&scope.workspace.root);
        // All targets whose manifest says `test = true`: a library without unit tests says that it has none.
        command.arg("test").args(scope.flags()).args(["--all-features", "--tests"]);
        command
    };
    let Some(packages) = build(command(), scope, tally)? else { return Ok(Outcome::Done) };
    let mut follower = Follower::new(packages, None);
    follow(command().arg("--no-fail-fast"), &mut follower, tally)?;
    let expected = |source: &str| source != "tests/models.rs"; // compiled away outside model builds
    fail_empty(scope, &follower, expected, tally);
    Ok(Outcome::Done)
}

pub(super) fn doc_tests(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let mut command = cargo(&scope.workspace.root);
    command.arg("test").args(scope.flags()).args(["--all-features", "--doc", "--no-fail-fast"]);
    let mut follower = Follower::new(BTreeMap::new(), None);
    follow(&mut command, &mut follower, tally)?;
    fail_empty(scope, &follower, |_| true, tally);
    Ok(Outcome::Done)
}

/// Builds the tests and learns which binary belongs to which package: `it-0123` alone would not say.
///
/// `None` if the build failed, which is then counted.
fn build(
    mut command: Command,
    scope: &Scope<'_>,
    tally: &mut Tally,
) -> Result<Option<BTreeMap<String, String>>> {
    if !stream(command.arg("--no-run"), |_| {})? {
        tally.fail(WORKSPACE, Kind::Gate, "the tests do not build");
        return Ok(None);
    }
    // Everything is fresh now: the same build again, silent but for its messages.
    let messages = capture(command.args(["--message-format", "json", "--quiet"]))?;
    let mut packages = BTreeMap::new();
    for message in cargo_metadata::Message::parse_stream(messages.as_bytes()) {
        let message = message.context("cannot read cargo's messages")?;
        let cargo_metadata::Message::CompilerArtifact(artifact) = message else { continue };
        let Some(file) = artifact.executable.as_ref().and_then(|path| path.file_name()) else { continue };
        let package = &scope.workspace.metadata[&artifact.package_id];
        packages.insert(file.to_owned(), package.name.clone());
    }
    Ok(Some(packages))
}

fn follow(command: &mut Command, follower: &mut Follower, tally: &mut Tally) -> Result<()> {
    let failed_before = tally.total().failed;
    let ok = stream(command, |line| follower.line(line))?;
    follower.count_into(tally);
    if !ok && tally.total().failed == failed_before {
        tally.fail(WORKSPACE, Kind::Gate, "cargo test failed without naming a test");
    }
    Ok(())
}

/// A published crate whose binary ran no test looks tested and is not.
fn fail_empty(scope: &Scope<'_>, follower: &Follower, expected: impl Fn(&str) -> bool, tally: &mut Tally) {
    let published = scope.published();
    for binary in &follower.binaries {
        if binary.reports == 0 || !binary.counts.is_empty() || !expected(&binary.source) {
            continue;
        }
        let Some(package) = published.iter().find(|package| package.name == binary.package) else { continue };
        match MAY_BE_EMPTY.iter().find(|(name, what, _)| *name == package.name && *what == binary.source) {
            Some((name, what, why)) => println!("  {name}: {what} is empty: {why}"),
            None => tally.fail(&package.name, binary.kind, format!("{} has no test", binary.source)),
        }
    }
}
