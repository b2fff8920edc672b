//! The table of guarantees: one row for each public operation on shared state, and what shows it.
//!
//! Each crate says what it promises in `guarantees.toml`; `docs/GUARANTEES.md` is made of these files, and this
//! module checks them against the source: no operation without a row, no evidence without a test.

mod api;
mod check;
mod modules;
mod page;
mod rows;
mod tests_of;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use self::{
    api::Api,
    rows::{Class, Guarantees},
};
use crate::{
    error::{Context as _, Result},
    workspace::{Workspace, folder, short},
};

/// Where the generated page stands.
const PAGE: &str = "docs/GUARANTEES.md";

/// One crate's rows, and what its source says about them.
struct Sheet {
    name: String,
    package: String,
    text: String,
    rows: Guarantees,
    api: Api,
    /// Tests that the source declares.
    tests: BTreeSet<String>,
    /// Lines of documentation: file, line, text.
    docs: Vec<(String, usize, String)>,
}

impl Sheet {
    /// The tests that rows stand on.
    fn named(&self) -> BTreeSet<&str> {
        let cells = self.rows.entries().flat_map(|entry| entry.cells().collect::<Vec<_>>());
        cells.flat_map(|(_, cell)| cell.tests()).map(String::as_str).collect()
    }
}

struct House {
    sheets: Vec<Sheet>,
    /// Files that could not be read as rows, and faults that cannot be applied.
    broken: Vec<String>,
}

/// The rows of all crates.
pub(crate) struct Table(House);

/// Reads the rows and the source of all published crates.
pub(crate) fn examine(workspace: &Workspace) -> Result<Table> {
    // A row's control may be a fault.
    let mut house = House { sheets: Vec::new(), broken: super::faults::stale(workspace)? };
    for package in workspace.published() {
        let name = short(&package.name).to_owned();
        let file = folder(package).join("guarantees.toml");
        let api = Api::of(package, &workspace.root)?;
        if !file.exists() {
            house.broken.push(format!("crates/{name}/guarantees.toml is missing"));
            continue;
        }
        let text = fs::read_to_string(&file).context(format_args!("cannot read {}", file.display()))?;
        let rows = match Guarantees::parse(&text) {
            Ok(rows) => rows,
            Err(slip) => {
                house.broken.push(format!("crates/{name}/guarantees.toml:{slip}"));
                continue;
            }
        };
        let tests = tests_of::of(package, &workspace.root)?;
        let docs = docs(&workspace.root, folder(package))?;
        house.sheets.push(Sheet { name, package: package.name.clone(), text, rows, api, tests, docs });
    }
    Ok(Table(house))
}

/// Doc comments of the sources and the lines of the README.
fn docs(root: &Path, folder: &Path) -> Result<Vec<(String, usize, String)>> {
    let mut lines = Vec::new();
    let mut files = vec![folder.join("README.md")];
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).context(format_args!("cannot list {}", folder.display()))? {
            let path = entry.context("cannot list a folder")?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    for file in files {
        let text = fs::read_to_string(&file).context(format_args!("cannot read {}", file.display()))?;
        let is_source = file.extension().is_some_and(|extension| extension == "rs");
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        for (at, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            if !is_source || trimmed.starts_with("///") || trimmed.starts_with("//!") {
                lines.push((name.clone(), at + 1, line.to_owned()));
            }
        }
    }
    Ok(lines)
}

impl Table {
    /// What is wrong, with file and line.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.broken.iter().cloned().chain(check::problems(&self.0)).collect()
    }

    /// Tests that rows stand on, by package.
    pub(crate) fn tests(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.0.sheets.iter().map(|sheet| (sheet.package.as_str(), sheet.named())).collect()
    }

    /// How many operations there are, by the class of their evidence.
    pub(crate) fn summary(&self) -> String {
        let mut counts = BTreeMap::<Option<Class>, usize>::new();
        for entry in self.0.sheets.iter().flat_map(|sheet| sheet.rows.entries()) {
            *counts.entry(entry.class()).or_default() += entry.row.operations.len();
        }
        let all: usize = counts.values().sum();
        let of = |class| counts.get(&Some(class)).copied().unwrap_or(0);
        format!(
            "{all} operations of {} crates: {} modelled, {} derived, {} tested",
            self.0.sheets.len(),
            of(Class::Modelled),
            of(Class::Derived),
            of(Class::Tested)
        )
    }

    /// Writes the page, or tells whether it is current.
    pub(crate) fn settle_page(&self, workspace: &Workspace, write: bool) -> Result<bool> {
        let path = workspace.root.join(PAGE);
        let page = page::page(&self.0);
        if write {
            fs::write(&path, page).context(format_args!("cannot write {}", path.display()))?;
            println!("wrote {PAGE}");
            return Ok(true);
        }
        let is_current = fs::read_to_string(&path).is_ok_and(|now| now == page);
        if !is_current {
            println!("  {PAGE} is not current: `cargo xtask prove --table --write`");
        }
        Ok(is_current)
    }
}
