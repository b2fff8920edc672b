//! Steps with one answer for the whole workspace.

use std::process::Command;

use super::{
    Outcome,
    scope::Scope,
    tally::{Kind, Tally, WORKSPACE},
};
use crate::{
    command::{cargo, stream},
    error::Result,
    tidy,
    workspace::Workspace,
};

fn gate(name: &str, command: &mut Command, tally: &mut Tally) -> Result<Outcome> {
    if stream(command, |_| {})? {
        tally.pass(WORKSPACE, Kind::Gate);
    } else {
        tally.fail(WORKSPACE, Kind::Gate, format!("{name} failed"));
    }
    Ok(Outcome::Done)
}

pub(super) fn fmt(workspace: &Workspace, tally: &mut Tally) -> Result<Outcome> {
    gate("fmt", cargo(&workspace.root).args(["fmt", "--all", "--check"]), tally)
}

pub(super) fn clippy(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let mut command = cargo(&scope.workspace.root);
    command.arg("clippy").args(scope.flags()).args([
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]);
    gate("clippy", &mut command, tally)
}

pub(super) fn docs(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let mut command = cargo(&scope.workspace.root);
    command
        .arg("doc")
        .args(scope.flags())
        .args(["--all-features", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    gate("docs", &mut command, tally)
}

pub(super) fn tidy(workspace: &Workspace, tally: &mut Tally) -> Result<Outcome> {
    for (name, problems) in tidy::all(workspace)? {
        tidy::print(name, &problems);
        if problems.is_empty() {
            tally.pass(WORKSPACE, Kind::Tidy);
        } else {
            tally.fail(WORKSPACE, Kind::Tidy, format!("tidy {name}: {} problems", problems.len()));
        }
    }
    Ok(Outcome::Done)
}

/// Checks the published crates with the oldest compiler they name. Tests and tools may need a newer one.
pub(super) fn msrv(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    let published = scope.published();
    let Some(oldest) = published.iter().filter_map(|package| package.rust_version.clone()).max() else {
        tally.fail(WORKSPACE, Kind::Gate, "msrv: no published crate declares a rust-version");
        return Ok(Outcome::Done);
    };
    let toolchain = format!("{}.{}", oldest.major, oldest.minor);
    if !is_installed(&toolchain) {
        tally.skip(WORKSPACE, Kind::Gate);
        return Ok(Outcome::Skipped(format!(
            "no {toolchain} toolchain (`rustup toolchain install {toolchain}`)"
        )));
    }
    // `CARGO` names the cargo of our own toolchain; only rustup can start another one.
    let mut command = Command::new("rustup");
    command.current_dir(&scope.workspace.root).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command.args(["run", &toolchain, "cargo", "check", "--lib", "--all-features", "--target-dir"]);
    command.arg(scope.workspace.target.join("msrv"));
    for package in published {
        command.args(["--package", &package.name]);
    }
    gate("msrv", &mut command, tally)
}

fn is_installed(toolchain: &str) -> bool {
    let probe = Command::new("rustup").args(["run", toolchain, "rustc", "--version"]).output();
    probe.is_ok_and(|output| output.status.success())
}
