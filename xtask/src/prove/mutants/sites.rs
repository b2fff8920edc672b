//! Which function a place in the source belongs to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    ImplItemFn, ItemFn, ItemImpl,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::error::{Context as _, Result};

/// The functions of the files that were asked about.
pub(super) struct Functions {
    root: PathBuf,
    files: BTreeMap<String, Vec<Function>>,
}

#[derive(Debug)]
struct Function {
    name: String,
    first: usize,
    last: usize,
}

impl Functions {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), files: BTreeMap::new() }
    }

    /// `crates/x/src/raw/a.rs:8:3` -> `src/raw/a.rs Type::function`.
    pub(super) fn name(&mut self, place: &str) -> Result<String> {
        let mut parts = place.rsplitn(3, ':');
        let line = parts.nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
        let file = parts.next().unwrap_or(place).to_owned();
        if !self.files.contains_key(&file) {
            let path = self.root.join(&file);
            let text = fs::read_to_string(&path).context(format_args!("cannot read {}", path.display()))?;
            self.files.insert(file.clone(), functions(&text)?);
        }
        let short = file.splitn(3, '/').nth(2).unwrap_or(&file);
        let inner = self.files[&file]
            .iter()
            .filter(|f| (f.first..=f.last).contains(&line))
            .min_by_key(|f| f.last - f.first);
        Ok(format!("{short} {}", inner.map_or("-", |f| &f.name)))
    }
}

fn functions(text: &str) -> Result<Vec<Function>> {
    let file = syn::parse_file(text).context("cannot parse")?;
    let mut finder = Finder { of: Vec::new(), found: Vec::new() };
    finder.visit_file(&file);
    Ok(finder.found)
}

struct Finder {
    /// The types of the impl blocks around.
    of: Vec<String>,
    found: Vec<Function>,
}

impl Finder {
    fn note(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let name = match self.of.last() {
            Some(of) => format!("{of}::{name}"),
            None => name.to_string(),
        };
        self.found.push(Function { name, first: span.start().line, last: span.end().line });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let of = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        self.of.push(of.unwrap_or_else(|| "impl".to_owned()));
        visit::visit_item_impl(self, item);
        self.of.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.note(&item.sig.ident, item.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.note(&item.sig.ident, item.span());
        visit::visit_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_function_names_a_place() {
        let text = "struct A;\nimpl A {\n    fn f() {\n        fn g() {\n        }\n    }\n}\nfn h() {}\n";
        let mut functions = Functions::new(Path::new("."));
        functions.files.insert("crates/x/src/a.rs".to_owned(), super::functions(text).unwrap());
        let mut name = |line: u32| functions.name(&format!("crates/x/src/a.rs:{line}:9")).unwrap();
        assert_eq!(name(3), "src/a.rs A::f");
        assert_eq!(name(4), "src/a.rs A::g");
        assert_eq!(name(8), "src/a.rs h");
        assert_eq!(name(1), "src/a.rs -");
    }
}
