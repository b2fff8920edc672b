//! Deliberate faults: each is applied to a copy of the source, and a named test must then fail.
//!
//! They are what no ordering says: a helping step left out, a wake-up forgotten, a latch in a hot path.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::run::{lines, model_build};
use crate::{
    command::{capture, cargo},
    error::{Context as _, Error, Result},
    workspace::{Workspace, folder, short},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    #[serde(default)]
    fault: Vec<Fault>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    /// Relative to the crate.
    file: String,
    /// Occurs once in the file.
    find: String,
    replace: String,
    /// `models::name` or `it::module::name`.
    caught_by: Vec<String>,
}

/// What came of one.
enum Fate {
    Caught,
    Missed(String),
    /// It could not be tried.
    Broken(String),
}

fn all(workspace: &Workspace) -> Result<Vec<(String, Fault)>> {
    let mut faults = Vec::new();
    for package in workspace.published() {
        let file = folder(package).join("faults.toml");
        let parsed: Faults =
            toml::from_str(&lines(&file)?.join("\n")).context(format_args!("{}", file.display()))?;
        faults.extend(parsed.fault.into_iter().map(|fault| (package.name.clone(), fault)));
    }
    Ok(faults)
}

/// Those that the source has left behind.
pub(super) fn stale(workspace: &Workspace) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (package, fault) in all(workspace)? {
        let name = short(&package);
        let path = workspace.root.join("crates").join(name).join(&fault.file);
        let text = fs::read_to_string(&path).context(format_args!("cannot read {}", path.display()))?;
        let found = text.matches(&fault.find).count();
        if found != 1 {
            stale.push(format!(
                "crates/{name}/faults.toml: `{}`: its text occurs {found} times in {}",
                fault.name, fault.file
            ));
        }
    }
    Ok(stale)
}

pub(super) fn run(workspace: &Workspace, only: Option<&str>, budget: Option<Duration>) -> Result<bool> {
    let mut faults = all(workspace)?;
    if let Some(only) = only {
        faults.retain(|(package, fault)| package.contains(only) || fault.name.contains(only));
    }
    let started = Instant::now();
    let copy = Copy::new(workspace)?;
    let (mut caught, mut tried) = (0, 0);
    println!();
    for (package, fault) in &faults {
        if budget.is_some_and(|budget| started.elapsed() >= budget) {
            break;
        }
        tried += 1;
        let place = format!("{} {}", short(package), fault.name);
        match copy.apply(workspace, package, fault)? {
            Fate::Caught => {
                caught += 1;
                println!("  caught   {place}: by {}", fault.caught_by.join(", "));
            }
            Fate::Missed(test) => println!("  MISSED   {place}: {test} passes"),
            Fate::Broken(why) => println!("  BROKEN   {place}: {why}"),
        }
    }
    println!(
        "deliberate faults: {caught} caught of {tried} tried, {} in all; {:.1} s",
        faults.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(caught == tried)
}

/// The tracked files of the workspace, somewhere else.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new(workspace: &Workspace) -> Result<Self> {
        let root = workspace.target.join("prove").join("faulty");
        if root.exists() {
            fs::remove_dir_all(&root).context(format_args!("cannot clear {}", root.display()))?;
        }
        let mut command = Command::new("git");
        command.current_dir(&workspace.root).args(["ls-files", "-z"]);
        for file in capture(&mut command)?.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (workspace.root.join(file), root.join(file));
            if !from.is_file() {
                continue; // removed in the working tree
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).context(format_args!("cannot make {}", parent.display()))?;
            }
            fs::copy(&from, &to).context(format_args!("cannot copy {file}"))?;
        }
        // cargo tells members of workspaces apart by name, version and place in the workspace, so in one target
        // folder a copy that has another version shares what is built from outside and nothing else.
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).context("the copy has no manifest")?;
        let renumbered = renumbered(&text)
            .ok_or_else(|| Error::new("the workspace's manifest has no version of three numbers"))?;
        write(&manifest, &renumbered)?;
        Ok(Self { root })
    }

    /// Applies it, runs the tests, takes it back.
    fn apply(&self, workspace: &Workspace, package: &str, fault: &Fault) -> Result<Fate> {
        let path = self.root.join("crates").join(short(package)).join(&fault.file);
        let text = fs::read_to_string(&path).context(format_args!("cannot read {}", path.display()))?;
        let found = text.matches(&fault.find).count();
        if found != 1 {
            return Ok(Fate::Broken(format!("its text occurs {found} times in {}", fault.file)));
        }
        write(&path, &text.replace(&fault.find, &fault.replace))?;
        let fate = fault
            .caught_by
            .iter()
            .map(|test| self.test(workspace, package, test))
            .collect::<Result<Vec<_>>>();
        write(&path, &text)?;
        let fates = fate?;
        if fates.is_empty() {
            return Ok(Fate::Broken("no test is to catch it".to_owned()));
        }
        let bad = fates.into_iter().find(|fate| !matches!(fate, Fate::Caught));
        Ok(bad.unwrap_or(Fate::Caught))
    }

    fn test(&self, workspace: &Workspace, package: &str, test: &str) -> Result<Fate> {
        let Some((binary, name)) = test.split_once("::") else {
            return Ok(Fate::Broken(format!("`{test}` is no test's name")));
        };
        let mut command = if binary == "models" {
            let mut command = model_build(workspace);
            command.current_dir(&self.root).args(["test", "--release", "--target-dir"]);
            command.arg(workspace.target.join("models")).env("LOOM_MAX_PREEMPTIONS", "3");
            command
        } else {
            let mut command = cargo(&self.root);
            command.args(["test", "--all-features", "--target-dir"]).arg(&workspace.target);
            command
        };
        command.args(["--package", package]);
        if binary == "unit" {
            command.arg("--lib")
        } else {
            command.args(["--test", binary])
        };
        let built = command.args(["--quiet", "--no-run"]).output().context("cannot start cargo")?;
        if !built.status.success() {
            let errors = String::from_utf8_lossy(&built.stderr);
            let error = errors.lines().find(|line| line.starts_with("error")).unwrap_or("it does not build");
            return Ok(Fate::Broken(error.to_owned()));
        }
        // The same command again, now to run.
        let mut again = Command::new(command.get_program());
        again.current_dir(&self.root).args(command.get_args().filter(|arg| *arg != "--no-run"));
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                again.env(key, value);
            }
        }
        again.args(["--", "--exact", name, "--test-threads", "1"]);
        let ran = ended(&mut again)?;
        Ok(match ran {
            Some(output) if output.contains("running 1 test") && output.contains("test result: ok") => {
                Fate::Missed(test.to_owned())
            }
            Some(output) if output.contains("running 0 tests") => {
                Fate::Broken(format!("there is no test `{test}`"))
            }
            _ => Fate::Caught,
        })
    }
}

/// The manifest of a workspace whose packages have the next version.
fn renumbered(manifest: &str) -> Option<String> {
    let (before, rest) = manifest.split_once("[workspace.package]")?;
    let (head, tail) = rest.split_once("version = \"")?;
    let (version, tail) = tail.split_once('"')?;
    let (start, patch) = version.rsplit_once('.')?;
    let patch = patch.parse::<u64>().ok()? + 1;
    Some(format!("{before}[workspace.package]{head}version = \"{start}.{patch}\"{tail}"))
}

/// A fault may make its test wait for ever.
const LIMIT: Duration = Duration::from_secs(45);

/// What it printed; `None` when it had to be ended.
fn ended(command: &mut Command) -> Result<Option<String>> {
    use std::{io::Read as _, os::unix::process::CommandExt as _, process::Stdio, thread};
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start a test")?;
    let mut pipe = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut pipe {
            let _ = pipe.read_to_string(&mut text);
        }
        text
    });
    let started = Instant::now();
    loop {
        if child.try_wait().context("cannot wait for a test")?.is_some() {
            return Ok(Some(reader.join().unwrap_or_default()));
        }
        if started.elapsed() > LIMIT {
            // cargo hands a signal to nobody, so the whole group is ended.
            let group = format!("-{}", child.id());
            capture(Command::new("kill").args(["-KILL", "--", &group])).context("cannot end a test")?;
            child.wait().context("cannot wait for a test")?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context(format_args!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_next_version() {
        let text = "[workspace]\n[workspace.package]\nversion = \"0.1.9\"\nedition = \"2024\"\n[workspace.dependencies]\na = \"0.1.9\"\n";
        assert_eq!(renumbered(text).unwrap(), text.replacen("0.1.9", "0.1.10", 1));
        assert_eq!(renumbered("[workspace.package]\nedition = \"2024\""), None);
        assert_eq!(renumbered("[package]\nversion = \"0.1.0\""), None);
    }
}
