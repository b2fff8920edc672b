//! The project's text files.

use std::{fs, path::Path, process::Command};

use crate::{command::capture, error::Result};

pub(crate) struct TextFile {
    /// Relative to the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn has_extension(&self, wanted: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == wanted)
    }
}

/// Files that are tracked, and new ones that are not ignored, so that a check speaks before the commit.
pub(crate) fn read(root: &Path) -> Result<Vec<TextFile>> {
    let mut command = Command::new("git");
    command.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<_> = capture(&mut command)?.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        // Deleted but not yet committed, or a link to a folder: nothing to read. Not UTF-8: not text.
        let Ok(bytes) = fs::read(root.join(&path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path, text });
        }
    }
    Ok(files)
}
