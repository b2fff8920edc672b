//! `cargo xtask race AREA`: ourselves and the named peers on the same work, interleaved in one run.
//!
//! An area is one or more folders `benches/peers-AREA` or `benches/peers-AREA-*`, each a workspace of its own with its own
//! lock file (some peers cannot share a build), whose package and program have the folder's name and whose `main` is
//! `ropewalk_benches::contest::main`. A new area is such a folder and nothing here.

mod area;
mod machine;
mod report;

use std::{fs, path::PathBuf};

use clap::Args;

use self::{
    area::{Area, Entry},
    report::Row,
};
use crate::{
    error::{Context as _, Error, Result},
    workspace::Workspace,
};

/// Samples of each entry.
const ROUNDS: usize = 15;
const QUICK_ROUNDS: usize = 5;

#[derive(Args)]
pub(crate) struct Options {
    /// What is raced: `pools`, `semaphore`, … (without it: the list of areas)
    area: Option<String>,
    /// Fewer and shorter samples
    #[arg(long)]
    quick: bool,
    /// Race only this work (repeatable)
    #[arg(long, value_name = "WORK")]
    only: Vec<String>,
    /// Where the results go as JSON [default: target/race/AREA.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write docs/benchmarks/AREA.md although the run is not a full one
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let Some(name) = &options.area else {
        println!("areas: {}", area::names(&workspace.root)?.join(", "));
        return Ok(true);
    };
    let area = Area::build(workspace, name)?;
    let entries = chosen(area.entries()?, &options.only)?;
    let rows = race(&area, &entries, options)?;

    println!("\n{}", report::table(&rows));
    let json =
        options.json.clone().unwrap_or_else(|| workspace.target.join("race").join(format!("{name}.json")));
    write(&json, &report::json(&rows)?)?;
    let is_full = !options.quick && options.only.is_empty();
    if is_full || options.write_docs {
        let page = workspace.root.join("docs/benchmarks").join(format!("{name}.md"));
        write(&page, &report::page(name, &machine::describe(), is_full, &rows))?;
    }
    Ok(true)
}

fn chosen(entries: Vec<Entry>, only: &[String]) -> Result<Vec<Entry>> {
    if let Some(unknown) = only.iter().find(|work| !entries.iter().any(|entry| entry.work == **work)) {
        let mut works: Vec<_> = entries.iter().map(|entry| entry.work.as_str()).collect();
        works.dedup();
        return Err(Error::new(format!("no work is called `{unknown}`; there are {}", works.join(", "))));
    }
    Ok(entries.into_iter().filter(|entry| only.is_empty() || only.contains(&entry.work)).collect())
}

/// Takes one sample of every entry per round; each round starts with another one, so that nobody always runs first.
fn race(area: &Area, entries: &[Entry], options: &Options) -> Result<Vec<Row>> {
    let rounds = if options.quick { QUICK_ROUNDS } else { ROUNDS };
    let mut rows = Vec::new();
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        for place in 0..entries.len() {
            let entry = &entries[(place + round) % entries.len()];
            for sample in area.sample(entry, options.quick)? {
                report::add(&mut rows, entry, &sample);
            }
        }
    }
    let place = |row: &Row| {
        entries.iter().position(|entry| entry.work == row.work && entry.contestant == row.contestant)
    };
    // Stable: the metrics of an entry keep the order in which it told them.
    rows.sort_by_key(|row| place(row));
    Ok(rows)
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).context(format_args!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).context(format_args!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(work: &str) -> Entry {
        Entry { work: work.to_owned(), contestant: "ropewalk".to_owned(), program: PathBuf::new() }
    }

    #[test]
    fn an_unknown_work_is_refused_with_the_known_ones() {
        let error = chosen(vec![entry("a"), entry("b")], &["c".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("a, b"), "{error}");
        assert_eq!(chosen(vec![entry("a"), entry("b")], &["b".to_owned()]).unwrap().len(), 1);
    }
}
