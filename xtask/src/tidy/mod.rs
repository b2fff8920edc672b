//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Each check has a name, returns its problems as sentences, and has a test with a bad sample that it must catch.

mod arrows;
mod comments;
mod dependencies;
mod files;
mod manifests;
mod raw;
mod source;
mod style;

use clap::Args;

use self::{files::TextFile, source::Source};
use crate::{
    error::{Error, Result},
    workspace::{Workspace, folder},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only this check (repeatable)
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// List the checks and end
    #[arg(long)]
    list: bool,
}

/// What the checks look at, read once.
pub(crate) struct House<'a> {
    workspace: &'a Workspace,
    /// Every text file that is tracked or would be.
    files: Vec<TextFile>,
    /// The Rust files among them, parsed.
    sources: Vec<Source>,
}

impl House<'_> {
    /// The sources of the published crates.
    fn published(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.path().starts_with("crates/"))
    }

    /// The folder of a published crate relative to the root, as in `Source::path`.
    fn folder(&self, package: &cargo_metadata::Package) -> String {
        let folder = folder(package);
        let relative = folder.strip_prefix(&self.workspace.root).unwrap_or(folder);
        relative.to_string_lossy().replace('\\', "/")
    }
}

type Problems = Vec<String>;

struct Check {
    name: &'static str,
    what: &'static str,
    run: fn(&House<'_>) -> Result<Problems>,
}

const CHECKS: &[Check] = &[
    Check { name: "arrows", what: "crates know only what stands below them", run: arrows::check },
    Check {
        name: "runtime-free",
        what: "default builds of base and leaves name no runtime",
        run: dependencies::runtime_free,
    },
    Check {
        name: "c-free",
        what: "default builds of base and leaves compile no C",
        run: dependencies::c_free,
    },
    Check {
        name: "forbidden-crates",
        what: "unmaintained crates are not in Cargo.lock",
        run: dependencies::forbidden,
    },
    Check {
        name: "minimum-versions",
        what: "versions with known advisories are not in Cargo.lock",
        run: dependencies::minimum,
    },
    Check {
        name: "manifests",
        what: "published crates have README, description, license, rust-version, lints",
        run: manifests::complete,
    },
    Check {
        name: "one-test-binary",
        what: "one integration binary per crate besides its models",
        run: manifests::one_test_binary,
    },
    Check {
        name: "send-sync",
        what: "each published crate asserts Send + Sync in a test",
        run: manifests::send_sync,
    },
    Check {
        name: "models",
        what: "a crate whose src/raw stands on the shim has tests/models.rs",
        run: manifests::models,
    },
    Check {
        name: "raw-shim",
        what: "modelled cores take atomics, locks, cells and threads from the shim alone",
        run: raw::check,
    },
    Check { name: "parses", what: "every Rust file parses", run: style::parses },
    Check { name: "no-ignored-docs", what: "no doc fence is marked `ignore`", run: style::ignored_fences },
    Check { name: "no-ignored-tests", what: "no test is marked `#[ignore]`", run: style::ignored_tests },
    Check { name: "long-files", what: "files over 800 lines say why", run: style::long_files },
    Check { name: "no-sleep", what: "tests do not sleep", run: style::sleeps },
    Check { name: "no-todo", what: "nothing is left as todo or unimplemented", run: style::todos },
    Check {
        name: "no-machine-paths",
        what: "no file names a path of somebody's machine",
        run: style::machine_paths,
    },
    Check {
        name: "safety-comments",
        what: "each unsafe block and impl has a SAFETY comment",
        run: comments::safety,
    },
    Check {
        name: "ordering-comments",
        what: "each ordering stronger than Relaxed names its partner",
        run: comments::orderings,
    },
];

/// Runs every check: names and problems, in order.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<(&'static str, Problems)>> {
    selected(workspace, &[])
}

fn selected(workspace: &Workspace, only: &[String]) -> Result<Vec<(&'static str, Problems)>> {
    if let Some(unknown) = only.iter().find(|name| !CHECKS.iter().any(|check| check.name == **name)) {
        return Err(Error::new(format!(
            "no check is called `{unknown}`; `cargo xtask tidy --list` names them"
        )));
    }
    let files = files::read(&workspace.root)?;
    let sources = source::parse_all(&files);
    let house = House { workspace, files, sources };
    CHECKS
        .iter()
        .filter(|check| only.is_empty() || only.iter().any(|name| name == check.name))
        .map(|check| Ok((check.name, (check.run)(&house)?)))
        .collect()
}

pub(crate) fn print(name: &str, problems: &[String]) {
    if problems.is_empty() {
        println!("  ok      {name}");
        return;
    }
    println!("  FAILED  {name}: {} problems", problems.len());
    for problem in problems {
        println!("          {problem}");
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    if options.list {
        for check in CHECKS {
            println!("{:<18} {}", check.name, check.what);
        }
        return Ok(true);
    }
    let results = selected(workspace, &options.only)?;
    for (name, problems) in &results {
        print(name, problems);
    }
    let failed = results.iter().filter(|(_, problems)| !problems.is_empty()).count();
    println!("\n{} checks passed, {failed} failed", results.len() - failed);
    Ok(failed == 0)
}
