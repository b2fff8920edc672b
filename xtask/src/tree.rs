//! `cargo xtask tree`: what a user's build compiles when one of our crates is added with its default features.

use std::collections::BTreeSet;

use crate::{
    command::{capture, cargo},
    error::Result,
    workspace::Workspace,
};

/// The crates in the default build of `package`, itself included, as `name version`.
pub(crate) fn default_build(workspace: &Workspace, package: &str, edges: &str) -> Result<BTreeSet<String>> {
    let mut command = cargo(&workspace.root);
    command.args(["tree", "--package", package, "--edges", edges, "--prefix", "none", "--format", "{p}"]);
    Ok(names(&capture(&mut command)?))
}

/// `name vX.Y.Z (path) (*)` -> `name X.Y.Z`, each once.
fn names(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let version = words.next()?.trim_start_matches('v');
            Some(format!("{name} {version}"))
        })
        .collect()
}

pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    println!("| crate | crates compiled by default | of them ours | tokio | C |");
    println!("|---|---:|---:|---|---|");
    for package in workspace.published() {
        let build = default_build(workspace, &package.name, "normal,build")?;
        let ours = build.iter().filter(|name| name.starts_with("ropewalk")).count();
        let has = |wanted: &str| build.iter().any(|name| name.split(' ').next() == Some(wanted));
        println!(
            "| `{}` | {} | {ours} | {} | {} |",
            package.name,
            build.len(),
            if has("tokio") { "yes" } else { "no" },
            if has("cc") || has("cmake") { "yes" } else { "no" },
        );
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_marked_lines_count_once() {
        let tree = "a v0.1.0 (/somewhere/a)\nb v1.2.3\nb v1.2.3 (*)\nc v2.0.0 (proc-macro)\n\n";
        let names = names(tree);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a 0.1.0", "b 1.2.3", "c 2.0.0"]);
    }
}
