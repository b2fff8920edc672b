//! Things that rot, and things that do not belong into a repository.

use super::{House, Problems, files::TextFile, source::Source};
use crate::error::Result;

pub(super) fn parses(house: &House<'_>) -> Result<Problems> {
    let broken = house.sources.iter().filter_map(|source| Some((source, source.error.as_ref()?)));
    Ok(broken.map(|(source, error)| format!("{}: {error}", source.path())).collect())
}

/// The text of a line of documentation: of a `///` or `//!` comment, or any line of Markdown.
fn documentation<'a>(file: &TextFile, line: &'a str) -> Option<&'a str> {
    let line = line.trim_start();
    if file.has_extension("md") {
        return Some(line);
    }
    let is_rust = file.has_extension("rs");
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).filter(|_| is_rust)
}

pub(super) fn ignored_fences(house: &House<'_>) -> Result<Problems> {
    Ok(house.files.iter().flat_map(fences_in).collect())
}

fn fences_in(file: &TextFile) -> Problems {
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let Some(fence) = documentation(file, line).and_then(|text| text.trim_start().strip_prefix("```"))
        else {
            continue;
        };
        if fence.split([',', ' ']).any(|word| word == "ignore" || word.starts_with("ignore-")) {
            problems.push(format!("{}:{}: a doc example that is never compiled", file.path, index + 1));
        }
    }
    problems
}

pub(super) fn ignored_tests(house: &House<'_>) -> Result<Problems> {
    Ok(house.sources.iter().flat_map(ignored_in).collect())
}

fn ignored_in(source: &Source) -> Problems {
    let marked = source.lines().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
    marked.map(|(number, _)| format!("{}: a test that never runs", source.at(number))).collect()
}

/// Longer files need a reason.
const LONG: usize = 800;
/// The reason stands in the first lines.
const TOP: usize = 40;

pub(super) fn long_files(house: &House<'_>) -> Result<Problems> {
    Ok(house.sources.iter().filter_map(too_long).collect())
}

fn too_long(source: &Source) -> Option<String> {
    let says_why = |line: &str| {
        let line = line.trim_start();
        line.starts_with("// Long because") || line.starts_with("//! Long because")
    };
    let count = source.line_count();
    let has_reason = source.lines().take(TOP).any(|(_, line)| says_why(line));
    (count > LONG && !has_reason)
        .then(|| format!("{}: {count} lines and no `// Long because …` at its top", source.path()))
}

pub(super) fn sleeps(house: &House<'_>) -> Result<Problems> {
    Ok(house.published().flat_map(sleeps_in).collect())
}

/// `clock.sleep(d)` is the virtual clock's and waits for nobody; everything else is a guess about a machine's speed, unless
/// a comment `Sleeps because …` on the line or above it says that nothing is waited for.
fn sleeps_in(source: &Source) -> Problems {
    let mut problems = Vec::new();
    for (number, line) in source.test_lines() {
        let code = line.split("//").next().unwrap_or_default();
        let sleeps = code.match_indices("sleep(").any(|(at, _)| {
            let before = &code[..at];
            let is_other_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            !is_other_word && !before.ends_with('.') && !before.ends_with("fn ")
        });
        if sleeps && !source.has_comment(number, number, |comment| comment.contains("Sleeps because")) {
            problems.push(format!("{}: a test that sleeps", source.at(number)));
        }
    }
    problems
}

pub(super) fn todos(house: &House<'_>) -> Result<Problems> {
    Ok(house.sources.iter().flat_map(todos_in).collect())
}

fn todos_in(source: &Source) -> Problems {
    let unfinished = source.macros.iter().filter(|(_, name)| name == "todo" || name == "unimplemented");
    unfinished.map(|(line, name)| format!("{}: `{name}!`", source.at(*line))).collect()
}

/// Where somebody's files lie. Spelled in halves, or this file would name them.
const HOMES: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

pub(super) fn machine_paths(house: &House<'_>) -> Result<Problems> {
    Ok(house.files.iter().flat_map(machine_paths_in).collect())
}

fn machine_paths_in(file: &TextFile) -> Problems {
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for home in HOMES {
            // The middle of a longer path or address (`example.org/…`) starts no path of its own.
            let starts_path = |at: usize| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}'))
            };
            if line.match_indices(home).any(|(at, _)| starts_path(at)) {
                problems.push(format!("{}:{}: a path of somebody's machine ({home}…)", file.path, index + 1));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn source(path: &str, text: &str) -> Source {
        Source::parse(path, text)
    }

    #[test]
    fn a_broken_file_is_caught() {
        assert!(source("x.rs", "fn f( {\n").error.is_some());
        assert_eq!(source("x.rs", "fn f() {}\n").error, None);
    }

    #[test]
    fn ignored_fences_are_caught() {
        assert_eq!(fences_in(&file("x.rs", "/// ```rust,ignore\n//! ```ignore\n/// ```no_run\n")).len(), 2);
        assert_eq!(fences_in(&file("x.md", "```ignore\n```\n``` ignore\n```text\n")).len(), 2);
        assert!(fences_in(&file("x.txt", "```ignore\n")).is_empty());
    }

    #[test]
    fn ignored_tests_are_caught() {
        assert_eq!(
            ignored_in(&source("x.rs", "#[test]\n    #[ignore = \"slow\"]\nfn f() {}\n#[ignore]\n")).len(),
            2
        );
    }

    #[test]
    fn long_files_need_a_reason() {
        let long = "fn f() {}\n".repeat(LONG + 1);
        assert!(too_long(&source("x.rs", &long)).is_some());
        assert!(too_long(&source("x.rs", &format!("//! Long because it is a table.\n{long}"))).is_none());
        assert!(too_long(&source("x.rs", &format!("{long}// Long because too late.\n"))).is_some());
    }

    #[test]
    fn sleeping_tests_are_caught() {
        let text = "fn f() {\n    std::thread::sleep(d);\n    sleep(d).await;\n    clock.sleep(d).await;\n    no_sleep(d); // sleep(\n}\n";
        assert_eq!(sleeps_in(&source("crates/x/tests/it/main.rs", text)).len(), 2);
        assert!(sleeps_in(&source("crates/x/src/lib.rs", text)).is_empty());
        let reasoned = "fn f() {\n    // Sleeps because it asks for the reactor.\n    sleep(d).await;\n}\n";
        assert!(sleeps_in(&source("crates/x/tests/it/main.rs", reasoned)).is_empty());
    }

    #[test]
    fn unfinished_code_is_caught() {
        let text = "fn f() { todo!() }\nfn g() { assert!(unimplemented!()); }\nfn h() { /* todo!() */ }\n";
        assert_eq!(todos_in(&source("x.rs", text)).len(), 2);
    }

    #[test]
    fn machine_paths_are_caught() {
        let home = HOMES[0];
        let text = format!("see {home}x\n\"{home}y\"\nhttps://example.org{home}z\n");
        assert_eq!(machine_paths_in(&file("x.md", &text)).len(), 2);
    }
}
