//! The map of the house: who may stand on whom.

use cargo_metadata::DependencyKind;

use super::{House, Problems};
use crate::{error::Result, workspace::short};

/// The floors of a crate and the neighbours it may name. A missing row is a problem: a new crate gets its place here.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) floor: u8,
    may_name: &'static [&'static str],
}

const fn row(floor: u8, name: &'static str, may_name: &'static [&'static str]) -> Row {
    Row { name, floor, may_name }
}

/// Crates that anybody may use in tests: the proof tools.
const FOR_TESTS: &[&str] = &["prove"];

pub(super) const MAP: &[Row] = &[
    // Floor 0 is a chain; `series` stands beside it, alone.
    row(0, "prove", &[]),
    row(0, "sync", &["prove"]),
    row(0, "measure", &["prove", "sync"]),
    row(0, "series", &[]),
    row(1, "resources", &["prove", "sync", "measure"]),
    row(1, "graph", &["prove", "sync", "measure"]),
    row(1, "cache", &["prove", "sync", "measure"]),
    row(1, "connections", &["prove", "sync", "measure"]),
    row(1, "batch", &["prove", "sync", "measure"]),
    row(1, "balance", &["prove", "sync", "measure"]),
    row(1, "scale", &["series", "sync"]),
    row(1, "monitor", &["measure", "series", "sync"]),
    row(2, "llm", &["cache", "batch", "balance", "sync", "measure"]),
    row(2, "store", &["connections", "batch", "cache", "sync", "measure"]),
    row(2, "agents", &["graph", "resources", "sync", "measure"]),
    row(2, "dashboard", &["monitor", "measure", "sync"]),
    row(
        3,
        "ropewalk",
        &[
            "prove",
            "sync",
            "measure",
            "series",
            "resources",
            "graph",
            "cache",
            "connections",
            "batch",
            "balance",
            "scale",
            "monitor",
            "llm",
            "store",
            "agents",
            "dashboard",
        ],
    ),
];

/// One edge between two crates of the house.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    for_tests: bool,
}

pub(super) fn check(house: &House<'_>) -> Result<Problems> {
    let published = house.workspace.published();
    let is_ours =
        |name: &str| house.workspace.metadata.workspace_packages().iter().any(|ours| ours.name == name);
    let mut problems = Vec::new();
    for package in &published {
        let from = short(&package.name);
        if !MAP.iter().any(|row| row.name == from) {
            problems
                .push(format!("`{from}` has no place in the map of the house (xtask/src/tidy/arrows.rs)"));
        }
        let edges = package.dependencies.iter().filter(|dependency| is_ours(&dependency.name));
        problems.extend(edges.filter_map(|dependency| {
            let for_tests = dependency.kind == DependencyKind::Development;
            judge(&Edge { from, to: short(&dependency.name), for_tests })
        }));
    }
    Ok(problems)
}

fn judge(edge: &Edge<'_>) -> Option<String> {
    let Edge { from, to, for_tests } = *edge;
    let row = MAP.iter().find(|row| row.name == from)?;
    if row.may_name.contains(&to) || (for_tests && FOR_TESTS.contains(&to)) {
        return None;
    }
    let kind = if for_tests { " in its tests" } else { "" };
    Some(match MAP.iter().find(|row| row.name == to) {
        Some(other) if other.floor >= row.floor => {
            format!(
                "`{from}` (floor {}) names `{to}` (floor {}){kind}: arrows point down only",
                row.floor, other.floor
            )
        }
        Some(_) => format!("`{from}` names `{to}`{kind}, which the map does not give it"),
        None => format!("`{from}` names `{to}`{kind}, which is not published"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &'static str, to: &'static str, for_tests: bool) -> Option<String> {
        judge(&Edge { from, to, for_tests })
    }

    #[test]
    fn arrows_down_are_fine() {
        assert_eq!(edge("cache", "sync", false), None);
        assert_eq!(edge("scale", "prove", true), None);
    }

    #[test]
    fn arrows_up_and_sideways_are_caught() {
        assert!(edge("cache", "batch", false).unwrap().contains("down only"));
        assert!(edge("sync", "measure", false).unwrap().contains("down only"));
        assert!(edge("batch", "monitor", true).unwrap().contains("in its tests"));
        assert!(edge("series", "sync", true).is_some());
        assert!(edge("agents", "cache", false).unwrap().contains("does not give it"));
        assert!(edge("cache", "xtask", true).unwrap().contains("not published"));
    }

    #[test]
    fn the_map_itself_points_down_or_along_the_chain() {
        for (place, row) in MAP.iter().enumerate() {
            for name in row.may_name {
                let below = MAP.iter().position(|other| other.name == *name).unwrap();
                assert!(
                    below < place && (MAP[below].floor < row.floor || row.floor == 0),
                    "{} -> {name}",
                    row.name
                );
            }
        }
    }
}
