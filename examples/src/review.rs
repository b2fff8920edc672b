//! An extractive review of Rust source: nothing is invented, every statement is counted or quoted.

use proc_macro2::Span;
use std::fmt::{self, Write};
use syn::{spanned::Spanned, visit::Visit};

/// What a reviewer looks at first in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Lines in all, of code, of comments, blank.
    pub lines: Lines,
    /// Functions, longest first.
    pub functions: Vec<Function>,
    /// Public items.
    pub public: usize,
    /// Public items without a doc comment.
    pub undocumented: Vec<Place>,
    /// `unsafe` blocks, functions, implementations and traits.
    pub unsafes: Vec<Place>,
    /// `unwrap` and `expect` outside tests.
    pub unwraps: Vec<Place>,
    /// `panic!`, `todo!`, `unimplemented!` and `unreachable!` outside tests.
    pub panics: Vec<Place>,
    /// Notes left in comments.
    pub notes: Vec<Place>,
    /// Test functions.
    pub tests: usize,
    /// Why the file could not be parsed; only lines and notes are known then.
    pub unparsed: Option<String>,
}

/// Line counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// All.
    pub total: usize,
    /// With code.
    pub code: usize,
    /// With nothing but a comment.
    pub comment: usize,
    /// Empty.
    pub blank: usize,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// How many lines it has.
    pub lines: usize,
    /// Branches: `if`, `match` arms, loops, `?`.
    pub branches: usize,
}

/// A line and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub what: String,
}

impl Review {
    /// Reviews `source`.
    pub fn of(source: &str) -> Self {
        let mut review = Self { lines: Lines::of(source), notes: notes(source), ..Self::default() };
        match syn::parse_file(source) {
            Ok(file) => {
                let mut reader = Reader { review: &mut review, test: false, branches: 0 };
                reader.visit_file(&file);
            }
            Err(error) => review.unparsed = Some(format!("line {}: {error}", error.span().start().line)),
        }
        review.functions.sort_by_key(|f| std::cmp::Reverse((f.lines, f.branches)));
        review
    }

    /// How much there is to look at: the higher, the sooner a person should.
    pub fn weight(&self) -> usize {
        let long = self.functions.first().map_or(0, |f| f.lines.saturating_sub(60) / 10);
        5 * self.unsafes.len()
            + 2 * self.unwraps.len()
            + 2 * self.panics.len()
            + self.undocumented.len()
            + 2 * self.notes.len()
            + long
            + self.lines.total.saturating_sub(400) / 100
    }
}

/// As Markdown, a few lines, the same for the same source.
impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines { total, code, comment, blank } = self.lines;
        writeln!(
            f,
            "- size: {total} lines ({code} code, {comment} comment, {blank} blank), {} functions, {} tests",
            self.functions.len(),
            self.tests
        )?;
        if let Some(why) = &self.unparsed {
            writeln!(f, "- not parsed: {why}")?;
        }
        if let Some(longest) = self.functions.first() {
            write!(f, "- longest functions:")?;
            for (i, function) in self.functions.iter().take(3).enumerate() {
                let comma = if i == 0 { "" } else { "," };
                write!(f, "{comma} `{}` {} lines at {}", function.name, function.lines, function.line)?;
            }
            writeln!(f)?;
            if let Some(knotty) = self.functions.iter().max_by_key(|f| f.branches).filter(|f| f.branches > 9)
            {
                writeln!(f, "- most branches: `{}` {} at {}", knotty.name, knotty.branches, knotty.line)?;
            }
            if longest.lines > 60 {
                writeln!(
                    f,
                    "- advice: split `{}`, {} lines are more than one screen",
                    longest.name, longest.lines
                )?;
            }
        }
        writeln!(f, "- public items: {}, without docs: {}", self.public, places(&self.undocumented))?;
        for (name, found) in [
            ("unsafe", &self.unsafes),
            ("unwrap/expect outside tests", &self.unwraps),
            ("panics outside tests", &self.panics),
            ("notes left", &self.notes),
        ] {
            if !found.is_empty() {
                writeln!(f, "- {name}: {}", places(found))?;
            }
        }
        writeln!(f, "- weight: {}", self.weight())
    }
}

/// The count, then the first few places.
fn places(places: &[Place]) -> String {
    let mut text = places.len().to_string();
    for (i, place) in places.iter().take(4).enumerate() {
        let _ = write!(text, "{} {}:{}", if i == 0 { " (" } else { "," }, place.line, place.what);
    }
    match places.len() {
        0 => {}
        1..=4 => text.push(')'),
        more => {
            let _ = write!(text, " and {} more)", more - 4);
        }
    }
    text.replace("( ", "(")
}

impl Lines {
    fn of(source: &str) -> Self {
        let mut lines = Self::default();
        for line in source.lines() {
            lines.total += 1;
            match line.trim_start() {
                "" => lines.blank += 1,
                text if text.starts_with("//") => lines.comment += 1,
                _ => lines.code += 1,
            }
        }
        lines
    }
}

fn notes(source: &str) -> Vec<Place> {
    // Spelled in parts, so that this file has no such note itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    source
        .lines()
        .enumerate()
        .filter_map(|(i, line)| {
            let (_, comment) = line.split_once("//")?;
            let mark = marks.iter().find(|mark| comment.contains(**mark))?;
            Some(Place { line: i + 1, what: (*mark).to_owned() })
        })
        .collect()
}

struct Reader<'a> {
    review: &'a mut Review,
    test: bool,
    branches: usize,
}

impl Reader<'_> {
    fn place(span: Span, what: impl Into<String>) -> Place {
        Place { line: span.start().line, what: what.into() }
    }

    fn item(&mut self, vis: &syn::Visibility, attrs: &[syn::Attribute], span: Span, name: &str) {
        if !matches!(vis, syn::Visibility::Public(_)) || self.test {
            return;
        }
        self.review.public += 1;
        if !attrs.iter().any(|a| a.path().is_ident("doc")) {
            self.review.undocumented.push(Self::place(span, name));
        }
    }

    fn unsafe_at(&mut self, span: Span, what: &str) {
        self.review.unsafes.push(Self::place(span, what));
    }

    fn function(
        &mut self,
        attrs: &[syn::Attribute],
        sig: &syn::Signature,
        span: Span,
        visit: impl FnOnce(&mut Self),
    ) {
        let is_test = attrs.iter().any(|a| a.path().segments.last().is_some_and(|s| s.ident == "test"));
        self.review.tests += usize::from(is_test);
        if sig.unsafety.is_some() {
            self.unsafe_at(sig.span(), "fn");
        }
        let (outer_test, outer_branches) = (self.test, std::mem::take(&mut self.branches));
        self.test |= is_test;
        visit(self);
        // Its docs and attributes are not part of its length.
        let lines = span.end().line + 1 - sig.span().start().line;
        let function = Function {
            name: sig.ident.to_string(),
            line: sig.span().start().line,
            lines,
            branches: self.branches,
        };
        if !self.test {
            self.review.functions.push(function);
        }
        (self.test, self.branches) = (outer_test, outer_branches);
    }
}

fn only_for_tests(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("cfg")
            && matches!(&attr.meta, syn::Meta::List(list) if list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test"))
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // A module's docs may stand inside its own file.
        if item.content.is_some() {
            self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        }
        let outer = self.test;
        self.test |= only_for_tests(&item.attrs);
        syn::visit::visit_item_mod(self, item);
        self.test = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.item(&item.vis, &item.attrs, item.sig.ident.span(), &item.sig.ident.to_string());
        self.function(&item.attrs, &item.sig, item.span(), |r| syn::visit::visit_item_fn(r, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.item(&item.vis, &item.attrs, item.sig.ident.span(), &item.sig.ident.to_string());
        self.function(&item.attrs, &item.sig, item.span(), |r| syn::visit::visit_impl_item_fn(r, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.attrs, &item.sig, item.span(), |r| syn::visit::visit_trait_item_fn(r, item));
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        if item.unsafety.is_some() {
            self.unsafe_at(item.ident.span(), "trait");
        }
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        syn::visit::visit_item_type(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.item(&item.vis, &item.attrs, item.ident.span(), &item.ident.to_string());
        syn::visit::visit_item_const(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.unsafety.is_some() {
            self.unsafe_at(item.impl_token.span(), "impl");
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_expr_unsafe(&mut self, item: &'ast syn::ExprUnsafe) {
        self.unsafe_at(item.unsafe_token.span(), "block");
        syn::visit::visit_expr_unsafe(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if !self.test && (call.method == "unwrap" || call.method == "expect") {
            self.review.unwraps.push(Self::place(call.method.span(), call.method.to_string()));
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if let (false, Some(name)) = (self.test, mac.path.get_ident()) {
            if ["panic", "todo", "unimplemented", "unreachable"].iter().any(|p| name == p) {
                self.review.panics.push(Self::place(name.span(), name.to_string()));
            }
        }
        syn::visit::visit_macro(self, mac);
    }

    fn visit_expr_if(&mut self, e: &'ast syn::ExprIf) {
        self.branches += 1;
        syn::visit::visit_expr_if(self, e);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.branches += 1;
        syn::visit::visit_arm(self, arm);
    }

    fn visit_expr_while(&mut self, e: &'ast syn::ExprWhile) {
        self.branches += 1;
        syn::visit::visit_expr_while(self, e);
    }

    fn visit_expr_for_loop(&mut self, e: &'ast syn::ExprForLoop) {
        self.branches += 1;
        syn::visit::visit_expr_for_loop(self, e);
    }

    fn visit_expr_loop(&mut self, e: &'ast syn::ExprLoop) {
        self.branches += 1;
        syn::visit::visit_expr_loop(self, e);
    }

    fn visit_expr_try(&mut self, e: &'ast syn::ExprTry) {
        self.branches += 1;
        syn::visit::visit_expr_try(self, e);
    }
}

/// Sums up reviews: their numbers added, the heaviest files named. `reviews` is text in which each
/// review follows a heading `## NAME`.
pub fn summarize(subject: &str, reviews: &str) -> String {
    #[derive(Default)]
    struct Entry<'a> {
        name: &'a str,
        lines: usize,
        functions: usize,
        tests: usize,
        public: usize,
        undocumented: usize,
        unsafes: usize,
        unwraps: usize,
        panics: usize,
        notes: usize,
        weight: usize,
    }

    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in reviews.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            entries.push(Entry { name: name.trim(), ..Entry::default() });
            continue;
        }
        let Some(entry) = entries.last_mut() else { continue };
        let Some((key, value)) = line.trim_start_matches("- ").split_once(':') else { continue };
        let numbers = || value.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<usize>().ok());
        let first = numbers().next().unwrap_or(0);
        match key.trim() {
            "size" => {
                let words: Vec<&str> = value.split([' ', ',', '(', ')']).filter(|w| !w.is_empty()).collect();
                let before = |word: &str| {
                    words
                        .iter()
                        .position(|w| *w == word)
                        .and_then(|i| words.get(i.wrapping_sub(1))?.parse().ok())
                        .unwrap_or(0)
                };
                (entry.lines, entry.functions, entry.tests) = (first, before("functions"), before("tests"));
            }
            "public items" => {
                entry.public = first;
                entry.undocumented = value
                    .split("without docs:")
                    .nth(1)
                    .and_then(|v| v.split(|c: char| !c.is_ascii_digit()).find_map(|n| n.parse().ok()))
                    .unwrap_or(0);
            }
            "unsafe" => entry.unsafes = first,
            "unwrap/expect outside tests" => entry.unwraps = first,
            "panics outside tests" => entry.panics = first,
            "notes left" => entry.notes = first,
            "weight" => entry.weight = first,
            _ => {}
        }
    }
    entries.sort_by_key(|e| std::cmp::Reverse(e.weight));
    let sum = |field: fn(&Entry<'_>) -> usize| entries.iter().map(field).sum::<usize>();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "- size: {} lines, {} functions, {} tests in {} parts of {subject}",
        sum(|e| e.lines),
        sum(|e| e.functions),
        sum(|e| e.tests),
        entries.len()
    );
    let _ =
        writeln!(text, "- public items: {}, without docs: {}", sum(|e| e.public), sum(|e| e.undocumented));
    for (name, count) in [
        ("unsafe", sum(|e| e.unsafes)),
        ("unwrap/expect outside tests", sum(|e| e.unwraps)),
        ("panics outside tests", sum(|e| e.panics)),
        ("notes left", sum(|e| e.notes)),
    ] {
        if count > 0 {
            let most = entries.iter().max_by_key(|e| match name {
                "unsafe" => e.unsafes,
                "notes left" => e.notes,
                "panics outside tests" => e.panics,
                _ => e.unwraps,
            });
            let _ = writeln!(text, "- {name}: {count}, most in {}", most.map_or("", |e| e.name));
        }
    }
    let heavy: Vec<String> = entries
        .iter()
        .filter(|e| e.weight > 0)
        .take(3)
        .map(|e| format!("{} ({})", e.name, e.weight))
        .collect();
    if heavy.is_empty() {
        let _ = writeln!(text, "- look first at: nothing stands out");
    } else {
        let _ = writeln!(text, "- look first at: {}", heavy.join(", "));
    }
    let _ = writeln!(text, "- weight: {}", sum(|e| e.weight));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
//! Docs.

/// Documented.
pub fn good(x: Option<u8>) -> Option<u8> {
    let y = x?;
    Some(y)
}

pub struct Bare;

fn bad(x: Option<u8>) -> u8 {
    // a note
    unsafe { core::hint::unreachable_unchecked() };
    x.unwrap()
}

#[cfg(test)]
mod tests {
    #[test]
    fn uses_unwrap() {
        Some(1).unwrap();
    }
}
";

    #[test]
    fn counts_what_is_there_and_leaves_tests_out() {
        let review = Review::of(SOURCE);
        assert_eq!((review.public, review.tests, review.unsafes.len()), (2, 1, 1));
        assert_eq!(review.undocumented, [Place { line: 9, what: "Bare".into() }]);
        assert_eq!(review.unwraps, [Place { line: 14, what: "unwrap".into() }]);
        assert_eq!(review.functions[0].name, "bad");
        assert_eq!(review.functions[0].lines, 5);
    }

    #[test]
    fn notes_are_found_in_comments_only() {
        let note = format!("let x = \"{0}\"; // {0}: later\n", concat!("TO", "DO"));
        assert_eq!(Review::of(&format!("fn f() {{\n{note}}}\n")).notes.len(), 1);
    }

    #[test]
    fn what_does_not_parse_still_gets_lines() {
        let review = Review::of("fn broken( {\n");
        assert!(review.unparsed.is_some());
        assert_eq!(review.lines.total, 1);
    }

    #[test]
    fn the_summary_adds_up_what_the_reviews_say() {
        let review = Review::of(SOURCE).to_string();
        let summary = summarize("demo", &format!("## a.rs\n{review}\n## b.rs\n{review}"));
        assert!(summary.contains("- size: 46 lines, 4 functions, 2 tests in 2 parts of demo"), "{summary}");
        assert!(summary.contains("public items: 4, without docs: 2"), "{summary}");
        assert!(summary.contains("- unsafe: 2"), "{summary}");
        // A summary has the form of a review, so summaries can be summed up too.
        let total = summarize("all", &format!("## x\n{summary}## y\n{summary}"));
        assert!(total.contains("public items: 8, without docs: 4"), "{total}");
    }
}
