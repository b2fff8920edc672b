//! What each published crate brings along.

use std::fs;

use cargo_metadata::{Package, TargetKind};

use super::{House, Problems, source::Source};
use crate::{
    error::{Context as _, Result},
    workspace::folder,
};

pub(super) fn complete(house: &House<'_>) -> Result<Problems> {
    let mut problems = Vec::new();
    for package in house.workspace.published() {
        let manifest = fs::read_to_string(&package.manifest_path)
            .context(format_args!("cannot read {}", package.manifest_path))?;
        let has_readme = folder(package).join("README.md").is_file();
        let missing = missing(package, &manifest, has_readme);
        problems.extend(missing.into_iter().map(|what| format!("{}: no {what}", package.name)));
    }
    Ok(problems)
}

fn missing(package: &Package, manifest: &str, has_readme: bool) -> Vec<&'static str> {
    let rules = [
        ("README.md", has_readme),
        ("readme in its manifest", package.readme.as_ref().is_some_and(|readme| readme == "README.md")),
        ("description", package.description.as_ref().is_some_and(|text| !text.trim().is_empty())),
        ("license", package.license.as_deref() == Some("MIT OR Apache-2.0")),
        ("rust-version", package.rust_version.is_some()),
        ("`[lints] workspace = true`", inherits_lints(manifest)),
    ];
    rules.into_iter().filter(|(_, kept)| !kept).map(|(what, _)| what).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true")
        || manifest.lines().any(|line| line.trim().replace(' ', "") == "lints.workspace=true")
}

/// Each further binary links everything once more: modules of one binary are tests enough.
pub(super) fn one_test_binary(house: &House<'_>) -> Result<Problems> {
    let packages = house.workspace.published();
    Ok(packages
        .iter()
        .filter_map(|package| {
            let tests = package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Test));
            let names: Vec<_> = tests.map(|target| target.name.as_str()).collect();
            too_many(&names).map(|problem| format!("{}: {problem}", package.name))
        })
        .collect())
}

fn too_many(binaries: &[&str]) -> Option<String> {
    let besides: Vec<_> = binaries.iter().copied().filter(|&name| name != "models").collect();
    (besides.len() > 1).then(|| format!("{} integration binaries: {}", besides.len(), besides.join(", ")))
}

pub(super) fn send_sync(house: &House<'_>) -> Result<Problems> {
    let mut problems = Vec::new();
    for package in house.workspace.published() {
        let folder = house.folder(package) + "/";
        let mut tests = house.sources.iter().filter(|source| source.path().starts_with(&folder));
        if !tests.any(|source| source.test_lines().any(|(_, line)| asserts(line))) {
            problems.push(format!("{}: no test asserts `Send + Sync` of its public types", package.name));
        }
    }
    Ok(problems)
}

fn asserts(line: &str) -> bool {
    line.contains("Send + Sync") || line.contains("Sync + Send")
}

pub(super) fn models(house: &House<'_>) -> Result<Problems> {
    let mut problems = Vec::new();
    for package in house.workspace.published() {
        let core = house.folder(package) + "/src/raw";
        let mut cores = house.sources.iter().filter(|source| source.path().starts_with(&core));
        if cores.any(shares) && !folder(package).join("tests/models.rs").is_file() {
            problems.push(format!("{}: src/raw has no models (tests/models.rs)", package.name));
        }
    }
    Ok(problems)
}

/// Whether a core shares memory between threads: then it names the shim. Others hold calls into C, which loom cannot see.
fn shares(source: &Source) -> bool {
    source.paths.iter().any(|path| path.is(&["ropewalk_prove"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poor_manifest_is_caught() {
        let json = serde_json::json!({
            "name": "x", "version": "0.1.0", "id": "x", "dependencies": [], "targets": [], "features": {},
            "manifest_path": "/x/Cargo.toml", "license": "GPL-3.0",
        });
        let package: Package = serde_json::from_value(json).unwrap();
        let missing =
            missing(&package, "[package]\nname = \"x\"\n[lints]\n[dependencies]\nworkspace = true\n", false);
        assert_eq!(missing.len(), 6, "{missing:?}");
    }

    #[test]
    fn lints_are_found_in_both_spellings() {
        assert!(inherits_lints("[lints]\nworkspace = true\n"));
        assert!(inherits_lints("lints.workspace = true\n"));
        assert!(!inherits_lints("[package]\nworkspace = true\n"));
    }

    #[test]
    fn a_second_test_binary_is_caught() {
        assert_eq!(too_many(&["it", "models"]), None);
        assert!(too_many(&["it", "more"]).unwrap().contains("it, more"));
    }

    #[test]
    fn a_core_that_shares_is_recognised() {
        assert!(shares(&Source::parse("x.rs", "use ropewalk_prove::sync::atomic::AtomicU64;\n")));
        assert!(!shares(&Source::parse("x.rs", "use rusqlite::ffi;\n")));
    }

    #[test]
    fn an_assertion_is_recognised() {
        assert!(asserts("fn assert_send_sync<T: Send + Sync>() {}"));
        assert!(!asserts("fn assert_send<T: Send>() {}"));
    }
}
