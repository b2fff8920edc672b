//! Each published crate makes a clean package: what a user downloads builds from what is in it.

use std::path::Path;

use super::{
    Outcome,
    tally::{Kind, Tally},
};
use crate::{
    command::{capture, cargo, stream},
    error::Result,
    workspace::Workspace,
};

/// Folders of a package and what may lie in them.
const FOLDERS: &[(&str, &[&str])] = &[
    ("src", &["rs", "md", "html", "css", "js", "svg", "sql"]),
    ("tests", &["rs", "txt", "csv", "json", "sql", "proptest-regressions"]),
    ("examples", &["rs"]),
    ("benches", &["rs"]),
    ("docs", &["md", "svg"]),
    ("assets", &["html", "css", "js", "svg"]),
];

const FILES: &[&str] = &[
    ".cargo_vcs_info.json",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
];

pub(super) fn run(workspace: &Workspace, tally: &mut Tally) -> Result<Outcome> {
    let mut command = cargo(&workspace.root);
    // All at once: cargo then finds the crates that stand on each other although no registry has them yet.
    // Not verified: every build step before this one has compiled the same sources.
    command.args(["package", "--workspace", "--no-verify", "--allow-dirty"]);
    for package in workspace.unpublished() {
        command.args(["--exclude", &package.name]);
    }
    let mut warnings = Vec::new();
    let ok = stream(&mut command, |line| {
        if line.starts_with("warning: ") {
            warnings.push(line.to_owned());
        }
    })?;
    for package in workspace.published() {
        let mut list = cargo(&workspace.root);
        list.args(["package", "--list", "--allow-dirty", "--package", &package.name]);
        let files = capture(&mut list)?;
        let mut problems = problems(&files, package.license.is_some());
        if !ok {
            problems.push("cargo package failed".to_owned());
        }
        if problems.is_empty() {
            println!("  {}: {} files", package.name, files.lines().count());
            tally.pass(&package.name, Kind::Package);
        }
        for problem in problems {
            println!("  {}: {problem}", package.name);
            tally.fail(&package.name, Kind::Package, problem);
        }
    }
    for warning in warnings {
        tally.fail("(package)", Kind::Package, warning);
    }
    Ok(Outcome::Done)
}

fn problems(list: &str, has_license_field: bool) -> Vec<String> {
    let files: Vec<_> = list.lines().map(|line| line.replace('\\', "/")).collect();
    let mut problems: Vec<_> =
        files.iter().filter(|file| is_stray(file)).map(|file| format!("stray file {file}")).collect();
    if !files.iter().any(|file| file == "README.md") {
        problems.push("no README.md in the package".to_owned());
    }
    if !has_license_field && !files.iter().any(|file| file.starts_with("LICENSE")) {
        problems.push("neither a license field nor a licence text".to_owned());
    }
    problems
}

fn is_stray(file: &str) -> bool {
    let Some((folder, rest)) = file.split_once('/') else {
        return !FILES.contains(&file);
    };
    let extension = Path::new(rest).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    !FOLDERS.iter().any(|(name, extensions)| *name == folder && extensions.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_list_has_no_problem() {
        assert!(
            problems("Cargo.toml\nREADME.md\nsrc/lib.rs\nsrc/raw/word.rs\ntests/it/main.rs\n", true)
                .is_empty()
        );
    }

    #[test]
    fn stray_and_missing_files_are_named() {
        let problems = problems("Cargo.toml\nsrc/lib.rs\nnotes.txt\nsrc/a.db\ntarget/x.rs\n", false);
        for wanted in ["notes.txt", "src/a.db", "target/x.rs", "no README.md", "licence text"] {
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{wanted} in {problems:?}");
        }
    }
}
