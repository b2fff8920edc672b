//! `report.md`: what the team found, heaviest first.

use crate::workspace::Workspace;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// How many reviews a package shows in full; the others are folded.
const IN_FULL: usize = 3;
/// How many files the opening table names.
const FIRST: usize = 12;

/// The answers that the report is made of.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// By path.
    pub(crate) files: BTreeMap<String, String>,
    /// By package.
    pub(crate) packages: BTreeMap<String, String>,
    /// Of the whole.
    pub(crate) summary: Option<String>,
    /// Tasks that did not end well, and why.
    pub(crate) failures: Vec<(String, String)>,
}

/// Writes `report.md` into `out`.
pub(crate) fn write(
    out: &Path,
    workspace: &Workspace,
    findings: &Findings,
    figures: &str,
) -> io::Result<PathBuf> {
    let path = out.join("report.md");
    let partial = out.join(".report.md.partial");
    fs::write(&partial, render(workspace, findings, figures))?;
    // A reader never sees half a report.
    fs::rename(&partial, &path)?;
    Ok(path)
}

fn render(workspace: &Workspace, findings: &Findings, figures: &str) -> String {
    let mut text = String::new();
    let name = workspace.root.file_name().map_or_else(|| "workspace".into(), |n| n.to_string_lossy());
    let _ = writeln!(text, "# Review of {name}\n");
    let _ = writeln!(text, "{} packages, {} source files.\n", workspace.packages.len(), workspace.files());
    match &findings.summary {
        Some(summary) => {
            let _ = writeln!(text, "{}\n", summary.trim_end());
        }
        None => text.push_str("The final summary is missing: its task did not complete.\n\n"),
    }
    failures(&mut text, findings);
    look_first(&mut text, findings);
    text.push_str("## Packages\n\n");
    for package in &workspace.packages {
        let _ = writeln!(text, "### {} {}\n", package.name, package.version);
        if !package.depends_on.is_empty() {
            let on: Vec<&str> =
                package.depends_on.iter().map(|&on| workspace.packages[on].name.as_str()).collect();
            let _ = writeln!(text, "Stands on {}.\n", on.join(", "));
        }
        let summary = findings.packages.get(&package.name).map_or("Not summed up.", |s| s.trim_end());
        let _ = writeln!(text, "{summary}\n");
        let mut reviews: Vec<(&str, &str)> = package
            .files
            .iter()
            .filter_map(|f| Some((f.path.as_str(), findings.files.get(&f.path)?.trim_end())))
            .collect();
        reviews.sort_by_key(|(path, review)| (std::cmp::Reverse(weight(review)), *path));
        for (path, review) in reviews.iter().take(IN_FULL) {
            let _ = writeln!(text, "#### {path}\n\n{review}\n");
        }
        if reviews.len() > IN_FULL {
            let _ = writeln!(text, "<details><summary>{} more files</summary>\n", reviews.len() - IN_FULL);
            for (path, review) in &reviews[IN_FULL..] {
                let _ = writeln!(text, "#### {path}\n\n{review}\n");
            }
            text.push_str("</details>\n\n");
        }
    }
    let _ = writeln!(text, "## How this was made\n\n```text\n{}\n```", figures.trim_end());
    text
}

fn failures(text: &mut String, findings: &Findings) {
    if findings.failures.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Not done\n\nRun the team again to do these; what is done is kept.\n");
    for (task, why) in &findings.failures {
        let _ = writeln!(text, "- {task}: {why}");
    }
    text.push('\n');
}

fn look_first(text: &mut String, findings: &Findings) {
    let mut heavy: Vec<(usize, &str, &str)> = findings
        .files
        .iter()
        .map(|(path, review)| (weight(review), path.as_str(), review.as_str()))
        .filter(|(weight, ..)| *weight > 0)
        .collect();
    if heavy.is_empty() {
        return;
    }
    heavy.sort_by_key(|&(weight, path, _)| (std::cmp::Reverse(weight), path));
    text.push_str("## Look first at\n\n| file | weight | why |\n|---|---|---|\n");
    for (weight, path, review) in heavy.iter().take(FIRST) {
        let why: Vec<&str> = review
            .lines()
            .filter_map(|line| line.strip_prefix("- "))
            .filter(|line| !["size", "weight", "longest functions"].iter().any(|dull| line.starts_with(dull)))
            .filter(|line| !line.ends_with("without docs: 0"))
            .collect();
        let _ = writeln!(text, "| {path} | {weight} | {} |", why.join("; ").replace('|', "\\|"));
    }
    text.push('\n');
}

/// The weight that a review states; a real model's prose states none and counts 0.
fn weight(review: &str) -> usize {
    review.lines().rev().find_map(|line| line.strip_prefix("- weight:")?.trim().parse().ok()).unwrap_or(0)
}
