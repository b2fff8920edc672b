//! The programs of an area: finding, building, asking.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    command::{capture, cargo, stream},
    error::{Context as _, Error, Result},
    workspace::Workspace,
};

/// One contestant at one work, and the program that knows how.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) work: String,
    pub(super) contestant: String,
    pub(super) program: PathBuf,
}

/// One value that a program told.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) metric: String,
    pub(super) unit: String,
    pub(super) value: f64,
}

pub(super) struct Area {
    programs: Vec<PathBuf>,
}

const PREFIX: &str = "peers-";

/// The folders `benches/peers-*`.
fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let benches = root.join("benches");
    let mut folders = Vec::new();
    for entry in fs::read_dir(&benches).context(format_args!("cannot list {}", benches.display()))? {
        let path = entry.context("cannot list benches")?.path();
        if name(&path).starts_with(PREFIX) && path.join("Cargo.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// `peers-pools`, `peers-pools-sqlx` -> `pools`.
fn area_of(folder: &str) -> Option<&str> {
    folder.strip_prefix(PREFIX)?.split('-').next()
}

pub(super) fn names(root: &Path) -> Result<Vec<String>> {
    let mut names: Vec<_> =
        folders(root)?.iter().filter_map(|path| area_of(name(path))).map(str::to_owned).collect();
    names.dedup();
    Ok(names)
}

impl Area {
    pub(super) fn build(workspace: &Workspace, area: &str) -> Result<Self> {
        let folders: Vec<_> =
            folders(&workspace.root)?.into_iter().filter(|path| area_of(name(path)) == Some(area)).collect();
        if folders.is_empty() {
            let known = names(&workspace.root)?.join(", ");
            return Err(Error::new(format!("no area is called `{area}`; there are {known}")));
        }
        let mut programs = Vec::new();
        for folder in folders {
            let name = name(&folder).to_owned();
            let target = workspace.target.join("race").join(&name);
            let mut command = cargo(&folder);
            command.args(["build", "--release", "--target-dir"]).arg(&target);
            if !stream(&mut command, |_| {})? {
                return Err(Error::new(format!("{name} does not build")));
            }
            programs.push(target.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
        }
        Ok(Self { programs })
    }

    /// All entries, those of a work together: contestants of several programs take their turns side by side.
    pub(super) fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for program in &self.programs {
            for value in lines(Command::new(program).arg("--list"))? {
                let (work, contestant) = (text(&value, "work")?, text(&value, "contestant")?);
                entries.push(Entry { work, contestant, program: program.clone() });
            }
        }
        Ok(by_work(entries))
    }

    pub(super) fn sample(&self, entry: &Entry, quick: bool) -> Result<Vec<Sample>> {
        let mut command = Command::new(&entry.program);
        command.args(["--run", &entry.work, &entry.contestant]);
        if quick {
            command.arg("--quick");
        }
        lines(&mut command)?.iter().map(sample).collect()
    }
}

/// Works in the order in which they are first named; contestants keep theirs.
fn by_work(entries: Vec<Entry>) -> Vec<Entry> {
    let mut works: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        match works.iter_mut().find(|work| work[0].work == entry.work) {
            Some(work) => work.push(entry),
            None => works.push(vec![entry]),
        }
    }
    works.into_iter().flatten().collect()
}

fn lines(command: &mut Command) -> Result<Vec<Value>> {
    capture(command)?
        .lines()
        .map(|line| serde_json::from_str(line).context(format_args!("`{line}` is no JSON")))
        .collect()
}

fn sample(value: &Value) -> Result<Sample> {
    let number = value["value"].as_f64().filter(|number| number.is_finite());
    let number = number.ok_or_else(|| Error::new(format!("{value} has no finite `value`")))?;
    Ok(Sample { metric: text(value, "metric")?, unit: text(value, "unit")?, value: number })
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).ok_or_else(|| Error::new(format!("{value} has no text `{key}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_belong_to_areas() {
        assert_eq!(area_of("peers-pools"), Some("pools"));
        assert_eq!(area_of("peers-pools-sqlx"), Some("pools"));
        assert_eq!(area_of("benches"), None);
    }

    #[test]
    fn the_entries_of_a_work_stand_together() {
        let entry = |work: &str, contestant: &str| Entry {
            work: work.to_owned(),
            contestant: contestant.to_owned(),
            program: PathBuf::new(),
        };
        let entries = by_work(vec![entry("b", "us"), entry("a", "us"), entry("b", "them")]);
        let told: Vec<_> =
            entries.iter().map(|entry| (entry.work.as_str(), entry.contestant.as_str())).collect();
        assert_eq!(told, [("b", "us"), ("b", "them"), ("a", "us")]);
    }

    #[test]
    fn a_program_is_asked_in_its_own_words() {
        let values =
            lines(Command::new("echo").arg(r#"{"metric":"cpu_ns","unit":"ns/op","value":2.5}"#)).unwrap();
        let sample = sample(&values[0]).unwrap();
        assert_eq!((sample.metric.as_str(), sample.unit.as_str(), sample.value), ("cpu_ns", "ns/op", 2.5));
    }

    #[test]
    fn a_bad_answer_is_an_error() {
        assert!(lines(Command::new("echo").arg("hello")).unwrap_err().to_string().contains("hello"));
        assert!(sample(&serde_json::json!({ "metric": "cpu_ns", "unit": "ns/op", "value": null })).is_err());
        assert!(sample(&serde_json::json!({ "metric": "cpu_ns", "value": 1.0 })).is_err());
    }
}
