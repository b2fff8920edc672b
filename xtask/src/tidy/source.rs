//! A Rust file as the checks see it: its lines, its paths, its unsafe parts, and which lines are tests.

use std::ops::RangeInclusive;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, spanned::Spanned as _, visit::Visit};

use super::files::TextFile;

/// A path as written in code, `Ordering::Acquire`, or a flattened import.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) line: usize,
    /// The first line of the statement around it.
    pub(super) statement: usize,
    pub(super) segments: Vec<String>,
    pub(super) imported: bool,
}

impl Path {
    pub(super) fn is(&self, start: &[&str]) -> bool {
        self.segments.len() >= start.len()
            && self.segments.iter().zip(start).all(|(ours, theirs)| ours == theirs)
    }
}

/// An `unsafe` block or impl.
#[derive(Debug)]
pub(super) struct Unsafe {
    pub(super) line: usize,
    pub(super) statement: usize,
    pub(super) what: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    path: String,
    lines: Vec<String>,
    /// Why syn could not read it; then everything below is empty.
    pub(super) error: Option<String>,
    pub(super) paths: Vec<Path>,
    pub(super) unsafes: Vec<Unsafe>,
    /// Macros called, by their last name.
    pub(super) macros: Vec<(usize, String)>,
    tests: Vec<RangeInclusive<usize>>,
    is_test: bool,
    /// `#[cfg(test)] mod name;`: files that are tests because of the line that names them.
    test_modules: Vec<String>,
}

/// Parses the Rust files and finds out which of them are tests.
pub(super) fn parse_all(files: &[TextFile]) -> Vec<Source> {
    let rust = files.iter().filter(|file| file.has_extension("rs"));
    let mut sources: Vec<_> = rust.map(|file| Source::parse(&file.path, &file.text)).collect();
    let modules: Vec<_> = sources.iter().flat_map(Source::test_module_paths).collect();
    for source in &mut sources {
        let is_named = |module: &String| {
            source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"))
        };
        source.is_test |= modules.iter().any(is_named);
    }
    sources
}

impl Source {
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        let is_test = path.split('/').any(|part| part == "tests" || part == "tests.rs");
        let mut source = Self { path: path.to_owned(), lines, is_test, ..Self::default() };
        match syn::parse_file(text) {
            Ok(file) => {
                let mut reader = Reader { source: &mut source, statement: 1 };
                reader.visit_file(&file);
            }
            Err(error) => source.error = Some(format!("line {}: {error}", error.span().start().line)),
        }
        source
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// All lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&line))
    }

    pub(super) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|&(number, _)| self.is_test_line(number))
    }

    /// `path:line`, as terminals and editors like it.
    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// Whether a comment that belongs to the code at `line` satisfies `wanted`: on the line itself, at most four lines
    /// above it, or right above its statement. A comment counts as a whole, however many lines it has.
    pub(super) fn has_comment(&self, line: usize, statement: usize, wanted: impl Fn(&str) -> bool) -> bool {
        const ABOVE: usize = 4;
        const STATEMENT: usize = 8;
        if self.comment(line).is_some_and(&wanted) {
            return true;
        }
        let mut above = line.saturating_sub(1);
        let mut in_block = false;
        while above >= 1 && (in_block || line - above <= ABOVE) {
            let text = self.comment(above);
            if text.is_some_and(&wanted) {
                return true;
            }
            in_block = self.is_comment(above);
            above -= 1;
        }
        let mut above = statement.saturating_sub(1);
        while line - statement <= STATEMENT
            && above >= 1
            && (self.is_comment(above) || self.is_attribute(above))
        {
            if self.comment(above).is_some_and(&wanted) {
                return true;
            }
            above -= 1;
        }
        false
    }

    fn text(&self, line: usize) -> &str {
        self.lines.get(line - 1).map_or("", String::as_str)
    }

    fn comment(&self, line: usize) -> Option<&str> {
        self.text(line).split_once("//").map(|(_, comment)| comment)
    }

    fn is_comment(&self, line: usize) -> bool {
        self.text(line).trim_start().starts_with("//")
    }

    fn is_attribute(&self, line: usize) -> bool {
        self.text(line).trim_start().starts_with("#[")
    }

    /// Paths without `.rs` of the modules that this file declares as tests.
    fn test_module_paths(&self) -> Vec<String> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        let home = if matches!(name, "lib" | "main" | "mod") { folder } else { stem };
        self.test_modules.iter().map(|module| format!("{home}/{module}")).collect()
    }
}

struct Reader<'a> {
    source: &'a mut Source,
    statement: usize,
}

impl Reader<'_> {
    fn path(&mut self, span: Span, segments: Vec<String>, imported: bool) {
        let line = span.start().line;
        let statement = self.statement.min(line);
        self.source.paths.push(Path { line, statement, segments, imported });
    }

    fn unsafe_part(&mut self, span: Span, what: &'static str) {
        let line = span.start().line;
        let statement = self.statement.min(line);
        self.source.unsafes.push(Unsafe { line, statement, what });
    }

    fn import(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(&path.tree, prefix);
            }
            UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.path(name.ident.span(), prefix, true);
            }
            UseTree::Rename(rename) => {
                prefix.push(rename.ident.to_string());
                self.path(rename.ident.span(), prefix, true);
            }
            UseTree::Glob(glob) => {
                prefix.push("*".to_owned());
                self.path(glob.span(), prefix, true);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix.clone())),
        }
    }

    /// What a macro is given is no syntax yet: paths and `unsafe` are found as tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut start = None;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(&mut start, &mut segments);
                    }
                    if ident == "unsafe" {
                        self.unsafe_part(ident.span(), "block");
                    }
                    start.get_or_insert(ident.span());
                    segments.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(punct) => {
                    if punct.as_char() == '!' && !segments.is_empty() {
                        let line = punct.span().start().line;
                        self.source.macros.extend(segments.last().map(|name| (line, name.clone())));
                    }
                    self.flush(&mut start, &mut segments);
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.flush(&mut start, &mut segments);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Literal(_) => {
                    self.flush(&mut start, &mut segments);
                    colons = 0;
                }
            }
        }
        self.flush(&mut start, &mut segments);
    }

    fn flush(&mut self, start: &mut Option<Span>, segments: &mut Vec<String>) {
        if let Some(span) = start.take() {
            self.path(span, std::mem::take(segments), false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let outer = self.statement;
        self.statement = item.span().start().line;
        if attributes(item).iter().any(is_for_tests) {
            let span = item.span();
            self.source.tests.push(span.start().line..=span.end().line);
            if let Item::Mod(syn::ItemMod { ident, content: None, .. }) = item {
                self.source.test_modules.push(ident.to_string());
            }
        }
        syn::visit::visit_item(self, item);
        self.statement = outer;
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let outer = self.statement;
        self.statement = statement.span().start().line;
        syn::visit::visit_stmt(self, statement);
        self.statement = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(path.segments.last().map_or(path.span(), |last| last.ident.span()), segments, false);
        syn::visit::visit_path(self, path);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_part(block.unsafe_token.span, "block");
        syn::visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafe_part(token.span, "impl");
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last() {
            self.source.macros.push((last.ident.span().start().line, last.ident.to_string()));
        }
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    // Attributes are no code: `#[doc = …]` holds no path worth a look.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn is_for_tests(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    attribute.path().is_ident("cfg") && mentions_test(list.tokens.clone())
}

/// Whether a `cfg` asks for `test`, other than by `not(test)`.
fn mentions_test(tokens: TokenStream) -> bool {
    let mut negated = false;
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => {
            negated = ident == "not";
            ident == "test"
        }
        TokenTree::Group(group) => !std::mem::take(&mut negated) && mentions_test(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[], // extern crates, foreign modules, unions: nobody tests with them here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_told_apart() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(not(test))]\nfn c() {}\n";
        let source = Source::parse("crates/x/src/lib.rs", text);
        let tests: Vec<_> = source.lines().map(|(line, _)| source.is_test_line(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false, false]);
        assert!(Source::parse("crates/x/tests/it/main.rs", "fn a() {}\n").is_test_line(1));
    }

    #[test]
    fn a_file_is_a_test_if_its_declaration_says_so() {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file("crates/x/src/lib.rs", "#[cfg(all(test, unix))] mod check;\n"),
            file("crates/x/src/check.rs", "\n"),
        ];
        let sources = parse_all(&files);
        assert!(sources[1].is_test_line(1));
        assert!(!sources[0].is_test_line(2));
    }

    #[test]
    fn paths_are_seen_in_code_imports_and_macros() {
        let text = "use a::{b::C, d::*};\nfn f() { e::g(); m!(h::i, 3, j!()); }\n";
        let source = Source::parse("x.rs", text);
        let seen: Vec<_> = source.paths.iter().map(|path| path.segments.join("::")).collect();
        for wanted in ["a::b::C", "a::d::*", "e::g", "h::i"] {
            assert!(seen.iter().any(|path| path == wanted), "{wanted} in {seen:?}");
        }
        assert!(source.macros.iter().any(|(_, name)| name == "j"));
    }

    #[test]
    fn a_comment_is_found_near_its_code_only() {
        let text = "// far\n\n\n\n\n\nfn f() {\n    // near, and its\n    // second line\n    g();\n    h(); // same\n}\n";
        let source = Source::parse("x.rs", text);
        assert!(source.has_comment(10, 10, |comment| comment.contains("near")));
        assert!(source.has_comment(11, 11, |comment| comment.contains("same")));
        assert!(!source.has_comment(10, 10, |comment| comment.contains("far")));
    }
}
