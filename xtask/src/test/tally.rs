//! Counting what ran, and the table at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{AddAssign, SubAssign},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            passed: self.passed.min(other.passed),
            failed: self.failed.min(other.failed),
            skipped: self.skipped.min(other.skipped),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.passed -= other.passed;
        self.failed -= other.failed;
        self.skipped -= other.skipped;
    }
}

/// The kinds of checks, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Unit,
    Integration,
    Property,
    Stress,
    Cancellation,
    Panic,
    Doc,
    Model,
    Tidy,
    Feature,
    Package,
    /// fmt, clippy, docs, msrv: one answer for the whole workspace.
    Gate,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Unit,
        Self::Integration,
        Self::Property,
        Self::Stress,
        Self::Cancellation,
        Self::Panic,
        Self::Doc,
        Self::Model,
        Self::Tidy,
        Self::Feature,
        Self::Package,
        Self::Gate,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Integration => "integration",
            Self::Property => "property",
            Self::Stress => "stress",
            Self::Cancellation => "cancellation",
            Self::Panic => "panic",
            Self::Doc => "doc",
            Self::Model => "loom model",
            Self::Tidy => "tidy check",
            Self::Feature => "feature build",
            Self::Package => "package",
            Self::Gate => "gate",
        }
    }

    pub(crate) fn is_refined_by_name(self) -> bool {
        matches!(self, Self::Unit | Self::Integration)
    }

    /// The kind that the words of a test's path name: `cancel::after_each_poll`, `pool_prop_keeps_order`.
    ///
    /// Whole words, so that `failure_propagates` is no property test.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let words: Vec<_> = name.split(|c: char| !c.is_alphanumeric()).collect();
        let any = |test: fn(&str) -> bool| words.iter().any(|word| test(word));
        if any(|word| matches!(word, "prop" | "props" | "property" | "properties" | "proptest" | "proptests"))
        {
            Some(Self::Property)
        } else if any(|word| word == "stress") {
            Some(Self::Stress)
        } else if any(|word| word.starts_with("cancel")) {
            Some(Self::Cancellation)
        } else if any(|word| word.starts_with("panic")) {
            Some(Self::Panic)
        } else {
            None
        }
    }
}

/// Who the checks of the whole workspace are booked on.
pub(crate) const WORKSPACE: &str = "(workspace)";

#[derive(Debug, Default)]
pub(crate) struct Tally {
    cells: BTreeMap<(String, Kind), Counts>,
    failures: Vec<String>,
    /// Tests that ran and passed, by package: `it::module::name`, `models::name`, `unit::module::name`.
    ran: BTreeMap<String, BTreeSet<String>>,
}

impl Tally {
    pub(crate) fn add(&mut self, package: &str, kind: Kind, counts: Counts) {
        if !counts.is_empty() {
            *self.cells.entry((package.to_owned(), kind)).or_default() += counts;
        }
    }

    pub(crate) fn pass(&mut self, package: &str, kind: Kind) {
        self.add(package, kind, Counts::PASSED);
    }

    pub(crate) fn fail(&mut self, package: &str, kind: Kind, why: impl AsRef<str>) {
        self.add(package, kind, Counts::FAILED);
        self.name_failure(format!("{package}: {}", why.as_ref()));
    }

    pub(crate) fn skip(&mut self, package: &str, kind: Kind) {
        self.add(package, kind, Counts::SKIPPED);
    }

    /// Notes the name of a test that ran and passed.
    pub(crate) fn ran(&mut self, package: &str, test: String) {
        self.ran.entry(package.to_owned()).or_default().insert(test);
    }

    /// The tests of a package that ran and passed.
    pub(crate) fn ran_in(&self, package: &str) -> Option<&BTreeSet<String>> {
        self.ran.get(package)
    }

    /// Names a failure that is already counted.
    pub(crate) fn name_failure(&mut self, failure: String) {
        self.failures.push(failure);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    #[cfg(test)]
    pub(crate) fn cell(&self, package: &str, kind: Kind) -> Counts {
        self.cells.get(&(package.to_owned(), kind)).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> Counts {
        self.sum(|_, _| true)
    }

    fn sum(&self, wanted: impl Fn(&str, Kind) -> bool) -> Counts {
        let mut sum = Counts::default();
        for ((package, kind), &counts) in &self.cells {
            if wanted(package, *kind) {
                sum += counts;
            }
        }
        sum
    }

    /// Passed checks per crate and kind, then passed, failed and skipped per kind.
    pub(crate) fn table(&self) -> String {
        let kinds: Vec<_> =
            Kind::ALL.into_iter().filter(|&kind| !self.sum(|_, k| k == kind).is_empty()).collect();
        let packages: BTreeSet<_> = self.cells.keys().map(|(package, _)| package.as_str()).collect();
        let mut rows = vec![header(&kinds, "passed")];
        for package in packages {
            rows.push(row(package, &kinds, |kind| self.sum(|p, k| p == package && k == kind).passed));
        }
        rows.push(row("all passed", &kinds, |kind| self.sum(|_, k| k == kind).passed));
        rows.push(row("all failed", &kinds, |kind| self.sum(|_, k| k == kind).failed));
        rows.push(row("all skipped", &kinds, |kind| self.sum(|_, k| k == kind).skipped));
        align(&rows)
    }
}

fn header(kinds: &[Kind], corner: &str) -> Vec<String> {
    let names = kinds.iter().map(|kind| kind.name().to_owned());
    std::iter::once(corner.to_owned()).chain(names).chain(["sum".to_owned()]).collect()
}

fn row(name: &str, kinds: &[Kind], count: impl Fn(Kind) -> usize) -> Vec<String> {
    let counts: Vec<_> = kinds.iter().map(|&kind| count(kind)).collect();
    let shown = |n: usize| if n == 0 { "-".to_owned() } else { n.to_string() };
    let sum = shown(counts.iter().sum());
    std::iter::once(name.to_owned()).chain(counts.into_iter().map(shown)).chain([sum]).collect()
}

/// Lines up columns: the first to the left, the others to the right.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                line.push_str(&format!("  {cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_from_whole_words() {
        assert_eq!(Kind::of_name("queue::prop_fifo"), Some(Kind::Property));
        assert_eq!(Kind::of_name("properties::fifo"), Some(Kind::Property));
        assert_eq!(Kind::of_name("failure_propagates"), None);
        assert_eq!(Kind::of_name("drops_are_run"), None);
        assert_eq!(Kind::of_name("cancellation::x"), Some(Kind::Cancellation));
        assert_eq!(Kind::of_name("a_panic_in_hash"), Some(Kind::Panic));
    }

    #[test]
    fn the_total_is_the_sum_of_all_cells() {
        let mut tally = Tally::default();
        tally.pass("a", Kind::Unit);
        tally.fail("b", Kind::Tidy, "why");
        tally.skip(WORKSPACE, Kind::Gate);
        assert_eq!(tally.total(), Counts { passed: 1, failed: 1, skipped: 1 });
        assert_eq!(tally.failures(), ["b: why"]);
        assert!(tally.table().contains("all failed"));
    }
}
