//! What the crates of the house may drag into a user's build.

use std::{collections::BTreeSet, fs};

use cargo_metadata::semver::Version;

use super::{House, Problems, arrows::MAP};
use crate::{
    error::{Context as _, Result},
    tree::default_build,
    workspace::{Workspace, short},
};

const RUNTIMES: &[&str] = &[
    "tokio",
    "async-std",
    "async-executor",
    "async-global-executor",
    "async-io",
    "compio",
    "glommio",
    "monoio",
    "smol",
];

/// Crates that only serve to compile or find C.
const C_BUILDERS: &[&str] = &["bindgen", "cc", "cmake", "pkg-config", "vcpkg"];

/// Crates that declare `links` for another reason than C.
const LINKS_WITHOUT_C: &[(&str, &str)] = &[("rayon-core", "so that only one copy exists in a program")];

/// Unmaintained or unsound.
const FORBIDDEN: &[&str] = &["async-std", "backoff", "bincode", "fxhash", "instant", "paste"];

/// The first version without a known advisory.
const MINIMUM: &[(&str, Version)] = &[
    ("crossbeam-channel", Version::new(0, 5, 15)),
    ("crossbeam-epoch", Version::new(0, 9, 20)),
    ("event-listener", Version::new(5, 4, 2)),
    ("lru", Version::new(0, 18, 2)),
    ("slab", Version::new(0, 4, 11)),
    ("tokio", Version::new(1, 44, 2)),
];

/// Base and leaves with what their default builds compile, as `name version`.
fn default_builds(workspace: &Workspace, edges: &str) -> Result<Vec<(String, BTreeSet<String>)>> {
    let published = workspace.published();
    let low = published
        .iter()
        .filter(|package| MAP.iter().any(|row| row.name == short(&package.name) && row.floor <= 1));
    low.map(|package| Ok((package.name.clone(), default_build(workspace, &package.name, edges)?))).collect()
}

fn named(build: &BTreeSet<String>, unwanted: &[&str]) -> Vec<String> {
    let name = |entry: &&String| entry.split(' ').next().is_some_and(|name| unwanted.contains(&name));
    build.iter().filter(name).cloned().collect()
}

pub(super) fn runtime_free(house: &House<'_>) -> Result<Problems> {
    let builds = default_builds(house.workspace, "normal")?;
    Ok(builds.iter().flat_map(|(package, build)| runtimes(package, build)).collect())
}

fn runtimes(package: &str, build: &BTreeSet<String>) -> Problems {
    let found = named(build, RUNTIMES);
    found.into_iter().map(|runtime| format!("{package}: its default build contains {runtime}")).collect()
}

pub(super) fn c_free(house: &House<'_>) -> Result<Problems> {
    let packages = &house.workspace.metadata.packages;
    let links: Vec<_> = packages
        .iter()
        .filter(|package| package.links.is_some())
        .filter(|package| !LINKS_WITHOUT_C.iter().any(|(name, _)| *name == package.name))
        .map(|package| package.name.as_str())
        .collect();
    let builds = default_builds(house.workspace, "normal,build")?;
    Ok(builds.iter().flat_map(|(package, build)| c_parts(package, build, &links)).collect())
}

fn c_parts(package: &str, build: &BTreeSet<String>, links: &[&str]) -> Problems {
    let mut found = named(build, C_BUILDERS);
    found.extend(named(build, links));
    found.into_iter().map(|part| format!("{package}: its default build needs C: {part}")).collect()
}

/// Every name and version in `Cargo.lock`, also of features that nobody switches on.
fn locked(house: &House<'_>) -> Result<Vec<(String, Version)>> {
    let path = house.workspace.root.join("Cargo.lock");
    let text = fs::read_to_string(&path).context("cannot read Cargo.lock")?;
    Ok(parse_lock(&text))
}

fn parse_lock(text: &str) -> Vec<(String, Version)> {
    let value = |line: &str, key: &str| {
        Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    let mut name = None;
    let mut packages = Vec::new();
    for line in text.lines() {
        if let Some(found) = value(line, "name") {
            name = Some(found);
        } else if let Some(version) = value(line, "version").and_then(|version| Version::parse(&version).ok())
        {
            packages.extend(name.take().map(|name| (name, version)));
        }
    }
    packages
}

pub(super) fn forbidden(house: &House<'_>) -> Result<Problems> {
    Ok(forbidden_in(&locked(house)?))
}

fn forbidden_in(locked: &[(String, Version)]) -> Problems {
    let found = locked.iter().filter(|(name, _)| FORBIDDEN.contains(&name.as_str()));
    found
        .map(|(name, version)| format!("{name} {version} is unmaintained (`cargo tree --invert {name}`)"))
        .collect()
}

pub(super) fn minimum(house: &House<'_>) -> Result<Problems> {
    Ok(too_old(&locked(house)?))
}

fn too_old(locked: &[(String, Version)]) -> Problems {
    let mut problems = Vec::new();
    for (name, version) in locked {
        if let Some((_, minimum)) =
            MINIMUM.iter().find(|(wanted, minimum)| wanted == name && version < minimum)
        {
            problems.push(format!("{name} {version} has a known advisory, at least {minimum} has none"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"slab\"\nversion = \"0.4.9\"\n\n[[package]]\nname = \"paste\"\n\
                        version = \"1.0.15\"\nsource = \"registry\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.50.0\"\n";

    fn build(entries: &[&str]) -> BTreeSet<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn a_runtime_in_a_default_build_is_caught() {
        assert_eq!(runtimes("x", &build(&["x 0.1.0", "tokio 1.50.0", "tokio-util 0.7.0"])).len(), 1);
        assert!(runtimes("x", &build(&["x 0.1.0", "parking_lot 0.12.0"])).is_empty());
    }

    #[test]
    fn c_in_a_default_build_is_caught() {
        let build = build(&["x 0.1.0", "cc 1.2.0", "libsqlite3-sys 0.30.0", "rayon-core 1.12.0"]);
        assert_eq!(c_parts("x", &build, &["libsqlite3-sys"]).len(), 2);
    }

    #[test]
    fn forbidden_and_old_crates_are_caught() {
        let locked = parse_lock(LOCK);
        assert_eq!(locked.len(), 3);
        assert!(forbidden_in(&locked)[0].contains("paste 1.0.15"));
        assert!(too_old(&locked)[0].contains("slab 0.4.9"));
        assert_eq!(too_old(&locked).len(), 1);
    }
}
