//! Comments that are part of the proof.

use super::{House, Problems, source::Source};
use crate::error::Result;

pub(super) fn safety(house: &House<'_>) -> Result<Problems> {
    Ok(house.sources.iter().flat_map(without_safety).collect())
}

fn without_safety(source: &Source) -> Problems {
    let bare = source
        .unsafes
        .iter()
        .filter(|part| !source.has_comment(part.line, part.statement, |comment| comment.contains("SAFETY:")));
    bare.map(|part| format!("{}: unsafe {} without a SAFETY comment", source.at(part.line), part.what))
        .collect()
}

/// The shim of a model build carries out the orderings of other code; it has none of its own.
const INTERPRETER: &str = "crates/prove/src/modelled/";

const STRONG: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst"];

pub(super) fn orderings(house: &House<'_>) -> Result<Problems> {
    let sources = house
        .published()
        .filter(|source| source.path().contains("/src/") && !source.path().contains(INTERPRETER));
    Ok(sources.flat_map(without_partner).collect())
}

fn without_partner(source: &Source) -> Problems {
    // `use Ordering::{Acquire, Release}`: then the bare name is an ordering too.
    let imports = |name: &str| {
        source.paths.iter().filter(|path| path.imported).any(|path| match path.segments.as_slice() {
            [.., parent, last] => parent == "Ordering" && (last == name || last == "*"),
            _ => false,
        })
    };
    let mut lines = Vec::new();
    for path in source.paths.iter().filter(|path| !path.imported && !source.is_test_line(path.line)) {
        let is_ordering = match path.segments.as_slice() {
            [.., parent, last] => parent == "Ordering" && STRONG.contains(&last.as_str()),
            [name] => STRONG.contains(&name.as_str()) && imports(name),
            [] => false,
        };
        if is_ordering
            && !source.has_comment(path.line, path.statement, names_partner)
            && !lines.contains(&path.line)
        {
            lines.push(path.line);
        }
    }
    lines
        .into_iter()
        .map(|line| format!("{}: the ordering does not name its partner", source.at(line)))
        .collect()
}

/// "Acquire: pairs with the Release in `unlock`", "… synchronizes with …", "… the partner of …".
fn names_partner(comment: &str) -> bool {
    let comment = comment.to_lowercase();
    ["pair", "partner", "synchroni"].iter().any(|word| comment.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        let source = Source::parse("crates/x/src/raw/word.rs", text);
        assert_eq!(source.error, None);
        source
    }

    #[test]
    fn bare_unsafe_is_caught() {
        let text = "unsafe impl Send for X {}\nfn f() {\n    let a = 1;\n    m!(unsafe { g() });\n    unsafe { g() };\n}\n";
        assert_eq!(without_safety(&source(text)).len(), 3);
    }

    #[test]
    fn explained_unsafe_passes() {
        let text = "// SAFETY: X holds no pointer.\nunsafe impl Send for X {}\nfn f() {\n    // SAFETY: checked above\n    // by `f`.\n    \
                    let a = unsafe { g() };\n}\n";
        assert!(without_safety(&source(text)).is_empty());
    }

    #[test]
    fn bare_orderings_are_caught() {
        let text = "use std::sync::atomic::{AtomicU32, Ordering, Ordering::Release};\nfn f(a: &AtomicU32) {\n    \
                    a.load(Ordering::Acquire);\n    a.store(1, Release);\n    assert_eq!(a.load(Ordering::SeqCst), 1);\n    \
                    a.load(Ordering::Relaxed);\n}\n";
        assert_eq!(without_partner(&source(text)).len(), 3);
    }

    #[test]
    fn partners_tests_and_foreign_names_pass() {
        let text = "fn f(a: &AtomicU32) {\n    // Acquire: pairs with the Release in `g`.\n    a.load(Ordering::Acquire);\n}\n\
                    fn h() -> Op { Op::Acquire }\n#[cfg(test)]\nmod tests {\n    fn t() { A.load(Ordering::SeqCst); }\n}\n";
        assert!(without_partner(&source(text)).is_empty());
    }
}
