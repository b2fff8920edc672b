//! Miri and the address sanitizer, where a nightly toolchain has them.

use std::process::Command;

use crate::{
    command::stream,
    error::Result,
    workspace::{Workspace, folder},
};

pub(super) fn run(workspace: &Workspace, miri: bool, asan: bool) -> Result<bool> {
    let mut good = true;
    let mut skipped = 0;
    if miri {
        if has(&["run", "nightly", "cargo", "miri", "--version"]) {
            let mut command = nightly(workspace);
            command.args(["miri", "test"]).env("MIRIFLAGS", "-Zmiri-disable-isolation");
            good &= tests(workspace, &mut command)?;
        } else {
            skipped += 1;
            println!("skipped: Miri (`rustup +nightly component add miri rust-src`)");
        }
    }
    if asan {
        if has(&["run", "nightly", "rustc", "--version"]) {
            let mut command = nightly(workspace);
            command.args(["test", "--target", "x86_64-unknown-linux-gnu", "--target-dir"]);
            command.arg(workspace.target.join("asan")).env("RUSTFLAGS", "-Zsanitizer=address");
            good &= tests(workspace, &mut command)?;
        } else {
            skipped += 1;
            println!("skipped: the address sanitizer (`rustup toolchain install nightly`)");
        }
    }
    println!("{skipped} skipped");
    Ok(good)
}

fn tests(workspace: &Workspace, command: &mut Command) -> Result<bool> {
    // Those with models have cores of their own.
    for package in workspace.published() {
        let tests = folder(package).join("tests");
        if tests.join("it").exists() && tests.join("models.rs").exists() {
            command.args(["--package", &package.name]);
        }
    }
    stream(command.args(["--test", "it"]), |_| {})
}

fn nightly(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(&workspace.root).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command.args(["run", "nightly", "cargo"]);
    command
}

fn has(arguments: &[&str]) -> bool {
    let probe = Command::new("rustup").env_remove("RUSTUP_TOOLCHAIN").args(arguments).output();
    probe.is_ok_and(|output| output.status.success())
}
