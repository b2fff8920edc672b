//! One crate's `guarantees.toml`: the source of its table.

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

/// The cells that every row has, its own or its type's, in the order of the table.
pub(super) const CELLS: [&str; 7] = ["progress", "bound", "point", "fairness", "cancel", "panic", "memory"];

/// Cells that are a promise and so never stand without evidence.
pub(super) const ALWAYS_SHOWN: [&str; 4] = ["progress", "point", "cancel", "panic"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guarantees {
    /// Public types without state that calls share.
    #[serde(default)]
    pub(super) plain: Vec<Spanned<String>>,
    #[serde(default, rename = "type")]
    pub(super) types: Vec<Shared>,
    /// Free functions that take a shared type.
    #[serde(default, rename = "function")]
    pub(super) functions: Vec<Row>,
}

/// A type that other threads may call at the same time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shared {
    pub(super) name: Spanned<String>,
    /// A core in `raw/`: its operations are modelled.
    #[serde(default)]
    pub(super) raw: bool,
    progress: Option<Cell>,
    bound: Option<Cell>,
    point: Option<Cell>,
    fairness: Option<Cell>,
    cancel: Option<Cell>,
    panic: Option<Cell>,
    memory: Option<Cell>,
    client: Option<String>,
    search: Option<String>,
    control: Option<String>,
    #[serde(default, rename = "row")]
    pub(super) rows: Vec<Row>,
}

/// Operations that share all cells.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) operations: Vec<Spanned<String>>,
    progress: Option<Cell>,
    bound: Option<Cell>,
    point: Option<Cell>,
    fairness: Option<Cell>,
    cancel: Option<Cell>,
    panic: Option<Cell>,
    memory: Option<Cell>,
    client: Option<String>,
    search: Option<String>,
    control: Option<String>,
}

/// A promise and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing to show: "none promised".
    Plain(String),
    Shown(Evidence),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    pub(super) says: String,
    pub(super) by: Class,
    /// `models::name`, `it::module::name`, `unit::module::tests::name`.
    #[serde(default)]
    pub(super) tests: Vec<String>,
    /// Rows and outside calls that a derived promise stands on.
    #[serde(default)]
    pub(super) from: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    Modelled,
    Derived,
    Tested,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Modelled, Self::Derived, Self::Tested];

    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Modelled => "M",
            Self::Derived => "D",
            Self::Tested => "T",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modelled => "modelled",
            Self::Derived => "derived",
            Self::Tested => "tested",
        }
    }
}

impl Cell {
    pub(super) fn says(&self) -> &str {
        match self {
            Self::Plain(says) => says,
            Self::Shown(evidence) => &evidence.says,
        }
    }

    pub(super) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Plain(_) => None,
            Self::Shown(evidence) => Some(evidence),
        }
    }

    pub(super) fn class(&self) -> Option<Class> {
        self.evidence().map(|evidence| evidence.by)
    }

    pub(super) fn tests(&self) -> &[String] {
        self.evidence().map_or(&[], |evidence| &evidence.tests)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        // By hand: serde's untagged enums would answer "did not match any variant" to every slip.
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Cell;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sentence or { says, by, tests or from }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell, E> {
                Ok(Cell::Plain(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Cell, A::Error> {
                Evidence::deserialize(de::value::MapAccessDeserializer::new(map)).map(Cell::Shown)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

macro_rules! cells {
    ($owner:ty) => {
        impl $owner {
            /// The cell of this name, if it is written here.
            pub(super) fn own(&self, name: &str) -> Option<&Cell> {
                match name {
                    "progress" => self.progress.as_ref(),
                    "bound" => self.bound.as_ref(),
                    "point" => self.point.as_ref(),
                    "fairness" => self.fairness.as_ref(),
                    "cancel" => self.cancel.as_ref(),
                    "panic" => self.panic.as_ref(),
                    "memory" => self.memory.as_ref(),
                    _ => None,
                }
            }
        }
    };
}

cells!(Shared);
cells!(Row);

/// A row together with the type it inherits from.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// None for a free function.
    pub(super) owner: Option<&'a Shared>,
    pub(super) row: &'a Row,
}

impl<'a> Entry<'a> {
    pub(super) fn cell(&self, name: &str) -> Option<&'a Cell> {
        self.row.own(name).or_else(|| self.owner.and_then(|owner| owner.own(name)))
    }

    /// The cells that are there, by name.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&'static str, &'a Cell)> + use<'a> {
        let entry = *self;
        CELLS.into_iter().filter_map(move |name| entry.cell(name).map(|cell| (name, cell)))
    }

    pub(super) fn has_class(&self, class: Class) -> bool {
        self.cells().any(|(_, cell)| cell.class() == Some(class))
    }

    /// The strongest evidence among the progress and the point: what the row counts as.
    pub(super) fn class(&self) -> Option<Class> {
        [self.cell("progress"), self.cell("point")].into_iter().flatten().filter_map(Cell::class).min()
    }

    pub(super) fn client(&self) -> Option<&'a str> {
        self.row.client.as_deref().or_else(|| self.owner.and_then(|owner| owner.client.as_deref()))
    }

    pub(super) fn search(&self) -> Option<&'a str> {
        self.row.search.as_deref().or_else(|| self.owner.and_then(|owner| owner.search.as_deref()))
    }

    pub(super) fn control(&self) -> Option<&'a str> {
        self.row.control.as_deref().or_else(|| self.owner.and_then(|owner| owner.control.as_deref()))
    }

    /// The name of an operation in the table and in a `from`: `Type::op`, or the function's name.
    pub(super) fn shown(&self, operation: &str) -> String {
        match self.owner {
            Some(owner) => format!("{}::{operation}", owner.name.get_ref()),
            None => operation.to_owned(),
        }
    }
}

impl Guarantees {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| format!("{}: ", line_of(text, span.start)));
            format!("{}{}", at.unwrap_or_default(), error.message())
        })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let of_types = self
            .types
            .iter()
            .flat_map(|owner| owner.rows.iter().map(move |row| Entry { owner: Some(owner), row }));
        of_types.chain(self.functions.iter().map(|row| Entry { owner: None, row }))
    }

    pub(super) fn shared(&self, name: &str) -> Option<&Shared> {
        self.types.iter().find(|shared| shared.name.get_ref() == name)
    }

    /// The entry of `Type::op`.
    pub(super) fn entry(&self, owner: &str, operation: &str) -> Option<Entry<'_>> {
        self.entries().find(|entry| {
            entry.owner.is_some_and(|shared| shared.name.get_ref() == owner)
                && entry.row.operations.iter().any(|name| name.get_ref() == operation)
        })
    }
}

/// The line, from 1, of a byte.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
plain = ["Stats"]

[[type]]
name = "Cache"
fairness = "none promised"
cancel = { says = "does not wait", by = "derived", from = ["no await"] }

[[type.row]]
operations = ["get", "peek"]
progress = { says = "one latch section", by = "modelled", tests = ["models::cache_get_vs_insert"] }
cancel = "its own"
client = "2 threads"

[[function]]
operations = ["serve"]
bound = "none"
"#;

    #[test]
    fn a_row_inherits_from_its_type() {
        let file = Guarantees::parse(TEXT).unwrap();
        let entry = file.entry("Cache", "peek").unwrap();
        assert_eq!(entry.cell("fairness").unwrap().says(), "none promised");
        assert_eq!(entry.cell("cancel"), Some(&Cell::Plain("its own".to_owned())));
        assert_eq!(entry.cell("progress").unwrap().class(), Some(Class::Modelled));
        assert!(entry.cell("memory").is_none());
        assert_eq!((entry.client(), entry.search()), (Some("2 threads"), None));
        assert_eq!(entry.class(), Some(Class::Modelled));
        assert_eq!(file.entries().count(), 2);
        assert_eq!(line_of(TEXT, file.types[0].rows[0].operations[1].span().start), 10);
    }

    #[test]
    fn slips_are_named_with_their_line() {
        for (bad, line, word) in [
            (
                "plain = []\n[[type]]\nname = \"A\"\n[[type.row]]\noperations = [\"a\"]\nprogres = \"x\"\n",
                6,
                "progres",
            ),
            ("[[type]]\nname = \"A\"\npanic = { says = \"x\", by = \"felt\" }\n", 3, "felt"),
            ("[[type]]\nname = \"A\"\npanic = { says = \"x\", by = \"tested\", test = [] }\n", 3, "test"),
            ("plain = [\n", 1, ""),
        ] {
            let error = Guarantees::parse(bad).unwrap_err();
            assert!(error.starts_with(&format!("{line}: ")) && error.contains(word), "{error}");
        }
    }
}
