//! Building the model tests and running them, two processes side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use super::evidence::Line;
use crate::{
    command::{capture, cargo, stream},
    error::{Context as _, Result},
    workspace::{Workspace, folder, short},
};

/// loom explores schedules with this many preemptions unless the environment says otherwise.
const PREEMPTIONS: &str = "3";
/// The test machines have two cores.
const SIDE_BY_SIDE: usize = 2;

/// The model tests of one crate, built.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    pub(crate) package: String,
    /// Where cargo runs tests: the package's folder.
    pub(super) folder: PathBuf,
    pub(super) binary: PathBuf,
    /// Where evidence is left.
    scratch: PathBuf,
}

impl Models {
    pub(super) fn short(&self) -> &str {
        short(&self.package)
    }

    /// The binary with its environment; tests one after the other, so that their CPU time is their own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder).stdin(Stdio::null()).args(["--test-threads", "1"]);
        command.env("RUST_BACKTRACE", "0");
        if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS);
        }
        command
    }

    pub(super) fn file(&self, what: &str) -> PathBuf {
        self.scratch.join(format!("{}.{what}.jsonl", self.short()))
    }
}

/// What the model tests of one crate did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) package: String,
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
    pub(super) evidence: Vec<Line>,
    /// What a failing binary printed.
    pub(crate) output: String,
}

/// Builds all model tests; `None` when they do not build.
pub(crate) fn build(workspace: &Workspace) -> Result<Option<Vec<Models>>> {
    let modelled: Vec<_> = workspace
        .published()
        .into_iter()
        .filter(|package| folder(package).join("tests/models.rs").exists())
        .collect();
    let command = || {
        let mut command = model_build(workspace);
        command.args(["test", "--release", "--test", "models", "--no-run", "--target-dir"]);
        command.arg(workspace.target.join("models"));
        for package in &modelled {
            command.args(["--package", &package.name]);
        }
        command
    };
    if !stream(&mut command(), |_| {})? {
        return Ok(None);
    }
    let scratch = workspace.target.join("prove");
    fs::create_dir_all(&scratch).context(format_args!("cannot make {}", scratch.display()))?;
    // Everything is fresh now: the same build again, silent but for its messages.
    let messages = capture(command().args(["--message-format", "json", "--quiet"]))?;
    let mut binaries = BTreeMap::new();
    for message in cargo_metadata::Message::parse_stream(messages.as_bytes()) {
        let message = message.context("cannot read cargo's messages")?;
        let cargo_metadata::Message::CompilerArtifact(artifact) = message else { continue };
        if let Some(path) = artifact.executable {
            binaries.insert(workspace.metadata[&artifact.package_id].name.clone(), PathBuf::from(path));
        }
    }
    let models = modelled.into_iter().filter_map(|package| {
        Some(Models {
            package: package.name.clone(),
            folder: folder(package).to_owned(),
            binary: binaries.get(&package.name)?.clone(),
            scratch: scratch.clone(),
        })
    });
    Ok(Some(models.collect()))
}

/// A cargo that builds models.
pub(super) fn model_build(workspace: &Workspace) -> Command {
    let mut command = cargo(&workspace.root);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg ropewalk_loom -C debug-assertions").trim_start());
    command
}

/// Runs them all, or those whose crate or name contains `only`.
pub(crate) fn run(models: &[Models], only: Option<&str>) -> Result<Vec<Ran>> {
    side_by_side(models, |models| one(models, only))
}

/// Calls `work` for each item, a few at a time, and keeps their order.
pub(super) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let item = next.lock().expect("no panic under the lock").next();
                    let Some((at, item)) = item else { return };
                    let result = work(item);
                    done.lock().expect("no panic under the lock").insert(at, result);
                }
            });
        }
    });
    done.into_inner().expect("no panic under the lock").into_values().collect()
}

fn one(models: &Models, only: Option<&str>) -> Result<Ran> {
    let (evidence, sites) = (models.file("evidence"), models.file("sites"));
    for file in [&evidence, &sites] {
        if file.exists() {
            fs::remove_file(file).context(format_args!("cannot remove {}", file.display()))?;
        }
    }
    let mut command = models.command();
    command.env("ROPEWALK_EVIDENCE", &evidence).env("ROPEWALK_SITES", &sites);
    if let Some(only) = only.filter(|only| !models.package.contains(*only)) {
        command.arg(only);
    }
    let output = command.output().context(format_args!("cannot start {}", models.binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut ran = Ran { package: models.package.clone(), ..Ran::default() };
    for line in text.lines() {
        let Some((name, verdict)) = verdict(line) else { continue };
        if verdict { &mut ran.passed } else { &mut ran.failed }.insert(name.to_owned());
    }
    if !output.status.success() {
        ran.output = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        if ran.failed.is_empty() {
            ran.failed.insert(format!("(the binary ended with {})", output.status));
        }
    }
    ran.evidence = lines(&evidence)?.iter().filter_map(|line| Line::read(line)).collect();
    Ok(ran)
}

/// `test name ... ok`, whatever the test printed in between.
fn verdict(line: &str) -> Option<(&str, bool)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    match verdict.trim() {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

/// The lines of a file that may not be there.
pub(super) fn lines(file: &Path) -> Result<Vec<String>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(file).context(format_args!("cannot read {}", file.display()))?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        assert_eq!(verdict("test a::b ... ok"), Some(("a::b", true)));
        assert_eq!(verdict("test a::b - should panic ... ok"), Some(("a::b", true)));
        assert_eq!(verdict("test a::b ... FAILED"), Some(("a::b", false)));
        assert_eq!(verdict("test result: ok. 3 passed"), None);
        assert_eq!(verdict("running 3 tests"), None);
    }

    #[test]
    fn work_side_by_side_keeps_its_order() {
        let items: Vec<u32> = (0..50).collect();
        let doubled = side_by_side(&items, |item| Ok(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }
}
