//! The tests of a crate by name, as its source declares them.

use std::{collections::BTreeSet, path::Path};

use cargo_metadata::Package;
use proc_macro2::{TokenStream, TokenTree};
use syn::Item;

use super::modules::{Switches, Tree};
use crate::{error::Result, workspace::folder};

/// `it::module::name`, `models::module::name`, `unit::module::tests::name`.
pub(super) fn of(package: &Package, home: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (binary, file, switches) in [
        ("unit", "src/lib.rs", Switches::TESTS),
        ("it", "tests/it/main.rs", Switches::TESTS),
        ("models", "tests/models.rs", Switches::MODELS),
    ] {
        let path = folder(package).join(file);
        if path.exists() {
            names.extend(
                of_tree(&Tree::read(home, &path, switches)?)
                    .into_iter()
                    .map(|name| format!("{binary}::{name}")),
            );
        }
    }
    Ok(names)
}

fn of_tree(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for module in &tree.modules {
        for item in &module.items {
            let found = match item {
                Item::Fn(function) if function.attrs.iter().any(|attribute| is_test(attribute.path())) => {
                    vec![function.sig.ident.to_string()]
                }
                // `proptest! { #[test] fn name(…) { … } }` and the like.
                Item::Macro(call) if call.ident.is_none() => functions(&call.mac.tokens),
                _ => Vec::new(),
            };
            for name in found {
                let path: Vec<_> = module.path.iter().cloned().chain([name]).collect();
                names.insert(path.join("::"));
            }
        }
    }
    names
}

/// `#[test]`, `#[tokio::test]`.
fn is_test(path: &syn::Path) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == "test")
}

/// The names after `fn` at the top of a macro's braces.
fn functions(tokens: &TokenStream) -> Vec<String> {
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    tokens
        .windows(2)
        .filter_map(|pair| match pair {
            [TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword == "fn" => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_in_modules_and_macros() {
        let text = "mod a { #[test] fn one() {} fn helper() {} proptest! { #[test] fn two(x in 0..3) { fn inner() {} } } }\n\
                    #[tokio::test] async fn three() {}\nmacro_rules! m { () => { fn no() {} } }\n";
        let names = of_tree(&Tree::of_text(text, Switches::TESTS));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a::one", "a::two", "three"]);
    }
}
