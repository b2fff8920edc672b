//! What is wrong with a crate's rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    House, Sheet,
    rows::{ALWAYS_SHOWN, CELLS, Cell, Class, Entry, line_of},
};
use crate::prove::evidence::is_control;

/// Words that stand only where a progress model does.
const CLAIMS: [&str; 2] = ["lock-free", "wait-free"];

pub(super) fn problems(house: &House) -> Vec<String> {
    house.sheets.iter().flat_map(|sheet| Check { house, sheet }.all()).collect()
}

struct Check<'a> {
    house: &'a House,
    sheet: &'a Sheet,
}

impl Check<'_> {
    fn all(&self) -> Vec<String> {
        let mut problems = self.names();
        problems.extend(self.operations());
        for entry in self.sheet.rows.entries() {
            let place =
                entry.row.operations.first().map_or_else(|| self.file(), |name| self.at(name.span().start));
            let name = entry.row.operations.first().map_or("?", |name| name.get_ref());
            let shown = entry.shown(name);
            problems.extend(self.cells(&entry).into_iter().map(|what| format!("{place}: {shown}: {what}")));
        }
        problems.extend(self.models());
        problems.extend(self.words());
        problems
    }

    fn file(&self) -> String {
        format!("crates/{}/guarantees.toml", self.sheet.name)
    }

    fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.file(), line_of(&self.sheet.text, offset))
    }

    /// Each public type stands in the file once, and each name in the file is a public type.
    fn names(&self) -> Vec<String> {
        let rows = &self.sheet.rows;
        let mut problems = Vec::new();
        let plain = rows.plain.iter().map(|name| (name, true));
        let mut seen = BTreeSet::new();
        for (name, _) in plain.chain(rows.types.iter().map(|shared| (&shared.name, false))) {
            let text = name.get_ref();
            if !seen.insert(text.as_str()) {
                problems.push(format!("{}: {text} stands here twice", self.at(name.span().start)));
            }
            if !self.sheet.api.types.contains_key(text) && !self.sheet.api.aliases.contains(text) {
                problems.push(format!("{}: the crate has no public type {text}", self.at(name.span().start)));
            }
        }
        for (name, known) in &self.sheet.api.types {
            // A core's own errors and answers need no word; its shared types do.
            let must = !known.is_raw || !known.operations.is_empty();
            if must && !seen.contains(name.as_str()) {
                problems.push(format!(
                    "{}: {name} is neither plain nor shared in {}",
                    known.place,
                    self.file()
                ));
            }
        }
        problems
    }

    /// Each operation has one row, and each row an operation.
    fn operations(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for shared in &self.sheet.rows.types {
            let Some(known) = self.sheet.api.types.get(shared.name.get_ref()) else { continue };
            let mut rows = BTreeMap::<&str, usize>::new();
            for name in shared.rows.iter().flat_map(|row| &row.operations) {
                let text = name.get_ref().as_str();
                *rows.entry(text).or_default() += 1;
                if text != "drop" && !known.operations.contains_key(text) && !known.others.contains(text) {
                    let owner = shared.name.get_ref();
                    problems.push(format!("{}: there is no {owner}::{text}", self.at(name.span().start)));
                }
            }
            for (name, place) in &known.operations {
                match rows.get(name.as_str()) {
                    None => problems.push(format!("{place}: {}::{name} has no row", shared.name.get_ref())),
                    Some(1) => {}
                    Some(n) => {
                        problems.push(format!("{place}: {}::{name} has {n} rows", shared.name.get_ref()))
                    }
                }
            }
        }
        let rows: BTreeSet<&str> = self
            .sheet
            .rows
            .functions
            .iter()
            .flat_map(|row| &row.operations)
            .map(|name| name.get_ref().as_str())
            .collect();
        for (name, (place, types)) in &self.sheet.api.functions {
            let takes_shared = types.iter().any(|ty| self.sheet.rows.shared(ty).is_some());
            if takes_shared && !rows.contains(name.as_str()) {
                problems.push(format!("{place}: the function {name} takes a shared type and has no row"));
            }
        }
        for name in rows.iter().filter(|name| !self.sheet.api.functions.contains_key(**name)) {
            problems.push(format!("{}: there is no function {name}", self.file()));
        }
        problems
    }

    fn cells(&self, entry: &Entry<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        for name in CELLS {
            match entry.cell(name) {
                None => problems.push(format!("no {name}")),
                Some(Cell::Plain(_)) if ALWAYS_SHOWN.contains(&name) => {
                    problems.push(format!("{name} shows nothing: {{ says, by, tests or from }}"));
                }
                Some(cell) => problems
                    .extend(self.cell(entry, name, cell).into_iter().map(|what| format!("{name}: {what}"))),
            }
        }
        if entry.owner.is_some_and(|owner| owner.raw) && entry.class() != Some(Class::Modelled) {
            problems.push("neither progress nor point of a core's operation is modelled".to_owned());
        }
        if entry.has_class(Class::Modelled) {
            for (name, value) in
                [("client", entry.client()), ("search", entry.search()), ("control", entry.control())]
            {
                if value.is_none() {
                    problems.push(format!("modelled, and no {name}"));
                }
            }
        }
        problems
    }

    fn cell(&self, entry: &Entry<'_>, name: &str, cell: &Cell) -> Vec<String> {
        let mut problems = Vec::new();
        let says = cell.says().to_lowercase();
        let claims = CLAIMS.iter().filter(|claim| says.contains(**claim));
        let Some(evidence) = cell.evidence() else {
            problems.extend(claims.map(|claim| format!("\"{claim}\" without evidence")));
            return problems;
        };
        for test in &evidence.tests {
            if !self.sheet.tests.contains(test) {
                problems.push(format!("there is no test {test}"));
            }
        }
        match evidence.by {
            Class::Modelled if !evidence.tests.iter().any(|test| test.starts_with("models::")) => {
                problems.push("modelled, and names no model".to_owned());
            }
            Class::Tested if evidence.tests.is_empty() => {
                problems.push("tested, and names no test".to_owned())
            }
            Class::Derived if evidence.from.is_empty() => problems.push("derived, from nothing".to_owned()),
            _ => {}
        }
        for from in &evidence.from {
            if self.is_missing(from) {
                problems.push(format!("derived from {from}, which has no row"));
            }
        }
        for claim in claims {
            let word = claim.replace('-', "_");
            let modelled =
                evidence.by == Class::Modelled && evidence.tests.iter().any(|test| test.contains(&word));
            let derived = evidence.by == Class::Derived
                && evidence.from.iter().any(|from| {
                    self.says(from, name).is_some_and(|says| says.to_lowercase().contains(claim))
                });
            if !modelled && !derived {
                problems.push(format!(
                    "\"{claim}\" and no model called so, nor a row that says so ({})",
                    entry.shown("…")
                ));
            }
        }
        problems
    }

    /// A row by `Type::op`, `raw::module::Type::op` of this crate, or `crate::Type::op` of another.
    fn row(&self, from: &str) -> Option<(Option<Entry<'_>>, bool)> {
        let (owner, operation) = from.rsplit_once("::")?;
        if let Some(shared) = self.sheet.rows.shared(owner) {
            return Some((self.sheet.rows.entry(shared.name.get_ref(), operation), true));
        }
        let (krate, owner) = owner.split_once("::")?;
        let sheet = self.house.sheets.iter().find(|sheet| sheet.name == krate)?;
        sheet.rows.shared(owner).map(|_| (sheet.rows.entry(owner, operation), true))
    }

    /// Whether `from` names a shared type of ours but none of its rows. Anything else is an outside call.
    fn is_missing(&self, from: &str) -> bool {
        matches!(self.row(from), Some((None, _)))
    }

    fn says(&self, from: &str, cell: &str) -> Option<String> {
        let (entry, _) = self.row(from)?;
        Some(entry?.cell(cell)?.says().to_owned())
    }

    /// Each model is named by a row, or is a control.
    fn models(&self) -> Vec<String> {
        let named = self.sheet.named();
        let lonely = self.sheet.tests.iter().filter(|test| {
            test.starts_with("models::") && !is_control(test) && !named.contains(test.as_str())
        });
        lonely.map(|test| format!("{}: no row names {test}", self.file())).collect()
    }

    /// The words stand in docs only where a row has them. The crate that is about them may use them.
    fn words(&self) -> Vec<String> {
        if self.sheet.name == "prove" {
            return Vec::new();
        }
        let claimed = |word: &str| {
            self.sheet
                .rows
                .entries()
                .any(|entry| entry.cells().any(|(_, cell)| cell.says().to_lowercase().contains(word)))
        };
        let mut problems = Vec::new();
        for word in CLAIMS.into_iter().filter(|word| !claimed(word)) {
            for (file, line, text) in &self.sheet.docs {
                if text.to_lowercase().contains(word) {
                    problems
                        .push(format!("{file}:{line}: \"{word}\" and no row of {} says so", self.sheet.name));
                }
            }
        }
        problems
    }
}
