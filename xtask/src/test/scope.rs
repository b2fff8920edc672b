//! Which crates the steps look at: all, or those asked for with `--package`.

use cargo_metadata::Package;

use crate::{
    error::{Error, Result},
    workspace::{Workspace, short},
};

pub(super) struct Scope<'a> {
    pub(super) workspace: &'a Workspace,
    /// Full names; none means all.
    packages: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    /// Takes full or short names: `ropewalk-cache` or `cache`.
    pub(super) fn new(workspace: &'a Workspace, wanted: &[String]) -> Result<Self> {
        let members = workspace.metadata.workspace_packages();
        let find = |wanted: &String| {
            let member =
                members.iter().find(|package| package.name == *wanted || short(&package.name) == wanted);
            member
                .map(|package| package.name.as_str())
                .ok_or_else(|| Error::new(format!("no package of the workspace is called `{wanted}`")))
        };
        Ok(Self { workspace, packages: wanted.iter().map(find).collect::<Result<_>>()? })
    }

    /// cargo's flags for the chosen packages.
    pub(super) fn flags(&self) -> Vec<&'a str> {
        if self.packages.is_empty() {
            return vec!["--workspace"];
        }
        self.packages.iter().flat_map(|name| ["--package", name]).collect()
    }

    /// The chosen crates among the published ones.
    pub(super) fn published(&self) -> Vec<&'a Package> {
        let mut published = self.workspace.published();
        published
            .retain(|package| self.packages.is_empty() || self.packages.contains(&package.name.as_str()));
        published
    }
}
