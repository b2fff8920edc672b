//! Reading what `cargo test` prints.

use std::{collections::BTreeMap, path::Path};

use super::tally::{Counts, Kind, Tally};

/// A line of `cargo test` that means something to us.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// `Running unittests src/lib.rs (target/debug/deps/thing-0123)`: the source and the binary's file name.
    Binary { source: &'a str, file: &'a str },
    /// `Doc-tests thing`
    Doc { krate: &'a str },
    /// `test module::name ... ok`
    Test { name: &'a str, verdict: Verdict },
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …`
    Result(Counts),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Ignored,
}

fn read(line: &str) -> Option<Line<'_>> {
    if let Some(rest) = line.strip_prefix("test result: ") {
        return result(rest).map(Line::Result);
    }
    if let Some(rest) = line.strip_prefix("test ") {
        let (name, verdict) = rest.rsplit_once(" ... ")?;
        let verdict = match verdict.split([',', ' ', '<']).next()? {
            "ok" => Verdict::Passed,
            "FAILED" => Verdict::Failed,
            "ignored" => Verdict::Ignored,
            _ => return None,
        };
        // libtest appends what is unusual about the test: `name - should panic`.
        let name = name.strip_suffix(" - should panic").unwrap_or(name);
        return Some(Line::Test { name, verdict });
    }
    let indented = line.strip_prefix("  ")?.trim_start();
    if let Some(krate) = indented.strip_prefix("Doc-tests ") {
        return Some(Line::Doc { krate });
    }
    let (source, file) = indented.strip_prefix("Running ")?.split_once(" (")?;
    let source = source.strip_prefix("unittests ").unwrap_or(source);
    let file = Path::new(file.strip_suffix(')')?).file_name()?.to_str()?;
    Some(Line::Binary { source, file })
}

fn result(text: &str) -> Option<Counts> {
    let (_, numbers) = text.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split(';') {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
        match what {
            "passed" => counts.passed = number.parse().ok()?,
            "failed" => counts.failed = number.parse().ok()?,
            "ignored" => counts.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

/// One test binary, or the doc tests of one crate.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) package: String,
    pub(crate) source: String,
    /// What a test of this binary is when its name says nothing.
    pub(crate) kind: Kind,
    /// The sum of its result lines: what libtest itself counted.
    pub(crate) counts: Counts,
    /// Result lines seen. None means that it died before it could report.
    pub(crate) reports: usize,
    named: BTreeMap<Kind, Counts>,
    passed: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Binary {
    fn new(package: String, source: &str, kind: Kind) -> Self {
        Self {
            package,
            source: source.to_owned(),
            kind,
            counts: Counts::default(),
            reports: 0,
            named: BTreeMap::new(),
            passed: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn test(&mut self, name: &str, verdict: Verdict) {
        let kind =
            if self.kind.is_refined_by_name() { Kind::of_name(name).unwrap_or(self.kind) } else { self.kind };
        let counts = self.named.entry(kind).or_default();
        match verdict {
            Verdict::Passed => {
                counts.passed += 1;
                self.passed.push(name.to_owned());
            }
            Verdict::Failed => {
                counts.failed += 1;
                self.failures.push(format!("{}: {name}", self.package));
            }
            Verdict::Ignored => counts.skipped += 1,
        }
    }
}

/// Follows the output of one `cargo test`.
pub(crate) struct Follower {
    /// File name of a test binary -> its package.
    packages: BTreeMap<String, String>,
    /// Overrides the kind of every binary.
    only: Option<Kind>,
    pub(crate) binaries: Vec<Binary>,
}

impl Follower {
    pub(crate) fn new(packages: BTreeMap<String, String>, only: Option<Kind>) -> Self {
        Self { packages, only, binaries: Vec::new() }
    }

    pub(crate) fn line(&mut self, line: &str) {
        match read(line) {
            Some(Line::Binary { source, file }) => {
                let package = self.packages.get(file).cloned().unwrap_or_else(|| file.to_owned());
                let kind = self.only.unwrap_or(if source.starts_with("tests/") {
                    Kind::Integration
                } else {
                    Kind::Unit
                });
                self.binaries.push(Binary::new(package, source, kind));
            }
            Some(Line::Doc { krate }) => {
                self.binaries.push(Binary::new(krate.replace('_', "-"), "doc tests", Kind::Doc));
            }
            Some(Line::Test { name, verdict }) => {
                if let Some(binary) = self.binaries.last_mut() {
                    binary.test(name, verdict);
                }
            }
            Some(Line::Result(counts)) => {
                if let Some(binary) = self.binaries.last_mut() {
                    binary.counts += counts;
                    binary.reports += 1;
                }
            }
            None => {}
        }
    }

    /// Adds what ran to the tally.
    pub(crate) fn count_into(&self, tally: &mut Tally) {
        for binary in &self.binaries {
            let mut rest = binary.counts;
            for (&kind, &counts) in &binary.named {
                // A result line is exact, a test line can be torn by what the test printed: never count more.
                let counts = counts.min(rest);
                rest -= counts;
                tally.add(&binary.package, kind, counts);
            }
            tally.add(&binary.package, binary.kind, rest);
            if binary.reports == 0 {
                tally.fail(&binary.package, binary.kind, format!("{} ended without a result", binary.source));
            }
            let place = match binary.source.strip_prefix("tests/") {
                Some(file) => file.trim_end_matches(".rs").trim_end_matches("/main").to_owned(),
                None => "unit".to_owned(),
            };
            for test in &binary.passed {
                tally.ran(&binary.package, format!("{place}::{test}"));
            }
            for failure in &binary.failures {
                tally.name_failure(failure.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling ropewalk-series v0.1.0
     Running unittests src/lib.rs (target/debug/deps/ropewalk_series-01ab)

running 3 tests
test trend::prop_slope_is_robust ... ok
test trend::empty ... FAILED
test trend::propagates_errors ... ok

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it/main.rs (/elsewhere/target/debug/deps/it-77)
running 4 tests
test stress::many_threads ... ok
test cancel::every_poll ... ok
test panics::in_hash - should panic ... ok
test plain ... printed by the test
ok
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests ropewalk_series
running 2 tests
test crates/series/src/lib.rs - (line 5) ... ok
test crates/series/src/lib.rs - (line 9) - compile ... ignored
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
running 1 test
test crates/series/src/lib.rs - (line 30) ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
     Running unittests src/main.rs (target/debug/deps/crashed-99)
";

    fn tally() -> Tally {
        let packages = [("ropewalk_series-01ab", "ropewalk-series"), ("it-77", "ropewalk-series")];
        let packages = packages.map(|(file, package)| (file.to_owned(), package.to_owned()));
        let mut follower = Follower::new(packages.into(), None);
        OUTPUT.lines().for_each(|line| follower.line(line));
        let mut tally = Tally::default();
        follower.count_into(&mut tally);
        tally
    }

    #[test]
    fn every_test_is_counted_once_and_by_kind() {
        let tally = tally();
        let cell = |kind| tally.cell("ropewalk-series", kind);
        assert_eq!(cell(Kind::Property), Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(cell(Kind::Unit), Counts { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(cell(Kind::Stress), Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(cell(Kind::Cancellation), Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(cell(Kind::Panic), Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(cell(Kind::Integration), Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(cell(Kind::Doc), Counts { passed: 2, failed: 0, skipped: 1 });
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        assert_eq!(tally().cell("crashed-99", Kind::Unit).failed, 1);
    }

    #[test]
    fn failures_are_named() {
        assert!(tally().failures().iter().any(|name| name == "ropewalk-series: trend::empty"));
    }

    #[test]
    fn noise_is_not_a_result() {
        for line in
            ["", "running 3 tests", "test result: strange", "     Running `target/debug/x`", "testing"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
