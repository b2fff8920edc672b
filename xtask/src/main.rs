//! The project's task runner: `cargo xtask --help`.
//!
//! Each command is one module. Everything a person or the CI needs is here, so that both run exactly the same.

mod command;
mod error;
mod prove;
mod race;
mod test;
mod tidy;
mod tree;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{error::Result, workspace::Workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's task runner", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check of the project and count what ran
    Test(test::Options),
    /// Check the rules of the house: arrows, dependencies, comments, manifests
    Tidy(tidy::Options),
    /// Run every model and check what the guarantees stand on
    Prove(prove::Options),
    /// Run ourselves against the named peers on the same work
    Race(race::Options),
    /// Print how many crates each crate's default build compiles, as a table
    Tree,
}

fn run(cli: Cli) -> Result<bool> {
    let workspace = Workspace::load()?;
    match cli.command {
        Task::Test(options) => test::run(&workspace, &options),
        Task::Tidy(options) => tidy::run(&workspace, &options),
        Task::Prove(options) => prove::run(&workspace, &options),
        Task::Race(options) => race::run(&workspace, &options),
        Task::Tree => tree::run(&workspace),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
