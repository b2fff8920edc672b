//! What `cargo metadata` says about the house.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::error::{Context as _, Result};

/// The workspace this tool was built from.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Honours `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    pub(crate) metadata: Metadata,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let metadata = MetadataCommand::new()
            .manifest_path(here.join("Cargo.toml"))
            .exec()
            .context("cannot read `cargo metadata`")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into(),
            target: metadata.target_directory.clone().into(),
            metadata,
        })
    }

    /// The crates that go to a registry, by name.
    pub(crate) fn published(&self) -> Vec<&Package> {
        let mut packages: Vec<_> = self
            .metadata
            .workspace_packages()
            .into_iter()
            .filter(|package| package.publish.as_ref().is_none_or(|registries| !registries.is_empty()))
            .collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages
    }

    /// The members that stay at home: this tool, examples, benches.
    pub(crate) fn unpublished(&self) -> Vec<&Package> {
        let published = self.published();
        let mut packages = self.metadata.workspace_packages();
        packages.retain(|package| !published.iter().any(|other| other.id == package.id));
        packages
    }
}

/// The folder of a package.
pub(crate) fn folder(package: &Package) -> &Path {
    let manifest = package.manifest_path.as_std_path();
    manifest.parent().unwrap_or(manifest)
}

/// `ropewalk-cache` -> `cache`, `ropewalk` -> `ropewalk`: the name used in the map of the house.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("ropewalk-").unwrap_or(name)
}
