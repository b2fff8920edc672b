//! The input: a Cargo workspace, its packages and every source file.

use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// What is reviewed.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// In dependency order: a package comes after those it depends on.
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) files: Vec<SourceFile>,
    /// Indices into [`Workspace::packages`], all smaller than its own.
    pub(crate) depends_on: Vec<usize>,
}

/// One source file.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Names path and content.
    pub(crate) key: String,
}

/// Why there is nothing to review.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("there is no Cargo.toml in {0}; name a Cargo workspace with --path")]
    NoManifest(PathBuf),
    #[error("cargo metadata of {path}: {reason}")]
    Metadata { path: PathBuf, reason: String },
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the workspace {0} has no Rust source files")]
    Empty(PathBuf),
}

impl Workspace {
    /// Reads the workspace in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, ReadError> {
        let manifest = dir.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(ReadError::NoManifest(dir.to_owned()));
        }
        let metadata = cargo_metadata::MetadataCommand::new()
            .manifest_path(&manifest)
            .no_deps()
            .exec()
            .map_err(|error| ReadError::Metadata { path: manifest.clone(), reason: one_line(&error) })?;
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let members: Vec<_> = metadata.workspace_packages();
        let dirs: BTreeSet<PathBuf> =
            members.iter().filter_map(|p| Some(p.manifest_path.parent()?.as_std_path().to_owned())).collect();

        let mut packages = Vec::with_capacity(members.len());
        let by_name: BTreeMap<&str, usize> =
            members.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
        let depends_on = |i: usize| {
            let member = &members[i];
            let mut on: Vec<usize> = member
                .dependencies
                .iter()
                // Development dependencies may form cycles; a review does not need them.
                .filter(|d| d.path.is_some() && d.kind != cargo_metadata::DependencyKind::Development)
                .filter_map(|d| by_name.get(d.name.as_str()).copied())
                .filter(|&on| on != i)
                .collect();
            on.sort_unstable();
            on.dedup();
            on
        };
        let order = dependency_order(members.len(), &depends_on);
        let mut place = vec![0; members.len()];
        for (at, &i) in order.iter().enumerate() {
            place[i] = at;
        }
        for &i in &order {
            let member = members[i];
            let dir = member.manifest_path.parent().map(|p| p.as_std_path().to_owned()).unwrap_or_default();
            let mut paths = Vec::new();
            source_files(&dir, &dirs, &mut paths)?;
            paths.sort();
            let files = paths.iter().map(|path| SourceFile::read(&root, path)).collect::<Result<_, _>>()?;
            let mut on: Vec<usize> = depends_on(i).into_iter().map(|on| place[on]).collect();
            on.sort_unstable();
            packages.push(Package {
                name: member.name.to_string(),
                version: member.version.to_string(),
                files,
                depends_on: on,
            });
        }
        if packages.iter().all(|p: &Package| p.files.is_empty()) {
            return Err(ReadError::Empty(root));
        }
        Ok(Self { root, packages })
    }

    /// How many source files there are.
    pub(crate) fn files(&self) -> usize {
        self.packages.iter().map(|p| p.files.len()).sum()
    }
}

impl SourceFile {
    fn read(root: &Path, path: &Path) -> Result<Self, ReadError> {
        let bytes =
            fs::read(path).map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let path = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let key = key(&["file", &path, &text]);
        Ok(Self { path, text, key })
    }
}

/// A name for exactly these parts: SHA-256, the first 16 bytes, in hexadecimal.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Depth first, so that a package follows what it depends on.
fn dependency_order(n: usize, depends_on: &impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    fn visit(i: usize, depends_on: &impl Fn(usize) -> Vec<usize>, seen: &mut [bool], order: &mut Vec<usize>) {
        if std::mem::replace(&mut seen[i], true) {
            return;
        }
        for on in depends_on(i) {
            visit(on, depends_on, seen, order);
        }
        order.push(i);
    }
    let (mut seen, mut order) = (vec![false; n], Vec::with_capacity(n));
    for i in 0..n {
        visit(i, depends_on, &mut seen, &mut order);
    }
    order
}

/// Every Rust file below `dir`, except in build output, hidden folders and other packages.
fn source_files(dir: &Path, packages: &BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Unreadable { path, source }
    };
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let entry = entry.map_err(unreadable(dir))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(unreadable(&path))?;
        if kind.is_dir() {
            let other = packages.contains(&path) || path.join("Cargo.toml").is_file();
            if !other && name != "target" && !name.to_string_lossy().starts_with('.') {
                source_files(&path, packages, found)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn one_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
