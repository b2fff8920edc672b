//! Modelled cores stand on the shim alone: an atomic or lock of another make would be invisible to the models.

use super::{
    House, Problems,
    source::{Path, Source},
};
use crate::error::Result;

/// Starts of paths that a core may not name, and what the shim has instead.
const FOREIGN: &[&[&str]] = &[
    &["std", "cell"],
    &["std", "hint", "spin_loop"],
    &["std", "sync", "*"],
    &["std", "sync", "Barrier"],
    &["std", "sync", "Condvar"],
    &["std", "sync", "LazyLock"],
    &["std", "sync", "Mutex"],
    &["std", "sync", "Once"],
    &["std", "sync", "OnceLock"],
    &["std", "sync", "RwLock"],
    &["std", "sync", "atomic"],
    &["std", "sync", "mpsc"],
    &["std", "thread"],
    &["std", "thread_local"],
    &["crossbeam"],
    &["crossbeam_channel"],
    &["crossbeam_deque"],
    &["crossbeam_epoch"],
    &["crossbeam_queue"],
    &["crossbeam_utils", "*"],
    &["crossbeam_utils", "Backoff"],
    &["crossbeam_utils", "atomic"],
    &["crossbeam_utils", "sync"],
    &["crossbeam_utils", "thread"],
    &["dashmap"],
    &["loom"],
    &["parking_lot"],
];

pub(super) fn check(house: &House<'_>) -> Result<Problems> {
    let is_core =
        |source: &&Source| source.path().contains("/src/raw/") || source.path().ends_with("/src/raw.rs");
    Ok(house.published().filter(is_core).flat_map(foreign).collect())
}

fn foreign(source: &Source) -> Problems {
    let mut problems = Vec::new();
    for path in source.paths.iter().filter(|path| !source.is_test_line(path.line)) {
        if FOREIGN.iter().any(|start| is_foreign(path, start)) {
            let name = path.segments.join("::");
            problems.push(format!(
                "{}: `{name}` in a modelled core; the shim (ropewalk_prove) has it",
                source.at(path.line)
            ));
        }
    }
    let has_own = source
        .paths
        .iter()
        .any(|path| path.is(&["ropewalk_prove"]) && path.segments.ends_with(&["thread_local".to_owned()]));
    for (line, _) in
        source.macros.iter().filter(|(line, name)| name == "thread_local" && !source.is_test_line(*line))
    {
        if !has_own {
            problems.push(format!(
                "{}: `thread_local!` in a modelled core: its models share one thread",
                source.at(*line)
            ));
        }
    }
    problems
}

fn is_foreign(path: &Path, start: &[&str]) -> bool {
    match start.split_first() {
        // A bare `crossbeam` may be anybody's variable; a path or an import into it may not.
        Some((_, [])) => path.is(start) && (path.imported || path.segments.len() > 1),
        Some((&"std", rest)) => ["std", "core", "alloc"].iter().any(|root| {
            path.segments.first().is_some_and(|first| first == root)
                && path.segments.len() > rest.len()
                && path.segments[1..].iter().zip(rest).all(|(ours, theirs)| ours == theirs)
        }),
        _ => path.is(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Problems {
        let source = Source::parse("crates/x/src/raw/mod.rs", text);
        assert_eq!(source.error, None);
        foreign(&source)
    }

    #[test]
    fn foreign_parts_are_caught() {
        for text in [
            "use std::sync::atomic::AtomicU64;",
            "use core::{mem, sync::atomic::{AtomicBool as Flag}};",
            "use std::{cell::UnsafeCell, fmt};",
            "fn f() { std::thread::yield_now(); }",
            "fn f() { core::hint::spin_loop() }",
            "static A: parking_lot::Mutex<()> = x();",
            "use crossbeam_epoch as epoch;",
            "fn f() { assert!(std::sync::atomic::fence(x)); }",
            "thread_local! { static A: u32 = 1; }",
        ] {
            assert!(!problems(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_shim_and_plain_std_pass() {
        let text = "use ropewalk_prove::{sync::atomic::AtomicU64, thread, thread_local};\nuse std::{mem, sync::Arc, time::Duration};\nuse crossbeam_utils::CachePadded;\n\
                    thread_local! { static A: u32 = 1; }\n#[cfg(test)]\nmod tests { use std::thread; }\n";
        assert!(problems(text).is_empty(), "{:?}", problems(text));
    }
}
