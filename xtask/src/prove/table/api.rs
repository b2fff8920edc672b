//! The public operations of a crate, as its source declares them.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::Package;
use syn::{FnArg, ImplItem, Item, ItemImpl, ReturnType, Signature, Type, Visibility, spanned::Spanned as _};

use super::modules::{Switches, Target, Tree, ident, imports, is_doc_hidden, is_pub};
use crate::{error::Result, workspace::folder};

/// A public type and what can be called on it.
#[derive(Debug, Default)]
pub(super) struct PublicType {
    pub(super) place: String,
    pub(super) is_raw: bool,
    /// Public methods that take `&self`, with where they stand.
    pub(super) operations: BTreeMap<String, String>,
    /// All other methods, of traits too: they may have rows and need none.
    pub(super) others: BTreeSet<String>,
}

/// What a crate offers.
#[derive(Debug, Default)]
pub(super) struct Api {
    /// By name; those of cores as `raw::module::Type`.
    pub(super) types: BTreeMap<String, PublicType>,
    /// Names for types of others: aliases and re-exports. They may be called plain.
    pub(super) aliases: BTreeSet<String>,
    /// Free functions: name, place, and the public types among their parameters.
    pub(super) functions: BTreeMap<String, (String, BTreeSet<String>)>,
}

impl Api {
    pub(super) fn of(package: &Package, home: &std::path::Path) -> Result<Self> {
        let library = folder(package).join("src/lib.rs");
        Ok(Self::of_tree(&Tree::read(home, &library, Switches::USER)?))
    }

    pub(super) fn of_tree(tree: &Tree) -> Self {
        let mut reached = BTreeMap::new();
        reach(tree, 0, false, &mut BTreeSet::new(), &mut reached);
        let mut api = Self::default();
        for (target, name) in &reached {
            let Some(item) = tree.item(target) else { continue };
            let Target::Item(module, _) = target else { continue };
            let module = &tree.modules[*module];
            let place = at(&module.file, item.span());
            match item {
                Item::Struct(_) | Item::Enum(_) | Item::Union(_) | Item::Trait(_) => {
                    let known = PublicType { place, is_raw: module.is_raw(), ..PublicType::default() };
                    api.types.insert(name.clone(), known);
                }
                Item::Fn(function) => {
                    let types = parameters(tree, target, &function.sig, &reached);
                    api.functions.insert(name.clone(), (place, types));
                }
                _ => {}
            }
        }
        for (index, module) in tree.modules.iter().enumerate() {
            for item in &module.items {
                match item {
                    Item::Impl(block) => api.note(tree, index, block, &reached),
                    Item::Type(alias) if is_pub(&alias.vis) => {
                        api.aliases.insert(alias.ident.to_string());
                    }
                    Item::Use(item) if is_pub(&item.vis) => {
                        let names = imports(&item.tree);
                        let outside =
                            names.into_iter().filter(|import| tree.resolve(index, &import.path).is_none());
                        api.aliases.extend(outside.filter_map(|import| import.name));
                    }
                    _ => {}
                }
            }
        }
        api
    }

    fn note(&mut self, tree: &Tree, module: usize, block: &ItemImpl, reached: &BTreeMap<Target, String>) {
        let target = path_of(&block.self_ty).and_then(|path| tree.resolve(module, &path));
        let Some(known) = target.and_then(|t| reached.get(&t)).and_then(|name| self.types.get_mut(name))
        else {
            return;
        };
        let file = &tree.modules[module].file;
        for item in &block.items {
            let ImplItem::Fn(method) = item else { continue };
            let name = method.sig.ident.to_string();
            let is_public = block.trait_.is_none() && matches!(method.vis, Visibility::Public(_));
            let counts = is_public
                && Switches::USER.hold(&method.attrs)
                && Switches::USER.hold(&block.attrs)
                && !is_doc_hidden(&method.attrs)
                && takes_shared(&method.sig);
            if counts {
                known.operations.insert(name, at(file, method.sig.ident.span()));
            } else {
                known.others.insert(name);
            }
        }
    }
}

/// Everything that can be named from outside, with its name in the table.
fn reach(
    tree: &Tree,
    module: usize,
    in_raw: bool,
    visited: &mut BTreeSet<usize>,
    reached: &mut BTreeMap<Target, String>,
) {
    if !visited.insert(module) {
        return;
    }
    let here = &tree.modules[module];
    let prefix = if in_raw { format!("{}::", here.path.join("::")) } else { String::new() };
    for item in &here.items {
        match item {
            Item::Use(item) if is_pub(&item.vis) && !is_doc_hidden(&item.attrs) => {
                for import in imports(&item.tree) {
                    follow(tree, module, &import.path, import.name, in_raw, visited, reached);
                }
            }
            _ => {
                let Some(name) = ident(item).filter(|_| is_visible(item)) else { continue };
                let target = Target::Item(module, name.to_string());
                reached.entry(target).or_insert_with(|| format!("{prefix}{name}"));
            }
        }
    }
    for &child in here.children.values() {
        let inner = &tree.modules[child];
        if inner.is_public && (!inner.is_hidden || inner.is_raw()) {
            reach(tree, child, in_raw || inner.is_raw(), visited, reached);
        }
    }
}

fn follow(
    tree: &Tree,
    module: usize,
    path: &[String],
    name: Option<String>,
    in_raw: bool,
    visited: &mut BTreeSet<usize>,
    reached: &mut BTreeMap<Target, String>,
) {
    match (tree.resolve(module, path), name) {
        // A name in the root is better than one in a core.
        (Some(target @ Target::Item(..)), Some(name)) => {
            reached.insert(target, name);
        }
        (Some(Target::Module(from)), _) => reach(tree, from, in_raw, visited, reached),
        _ => {}
    }
}

fn is_visible(item: &Item) -> bool {
    let (visibility, attributes) = match item {
        Item::Struct(item) => (&item.vis, &item.attrs),
        Item::Enum(item) => (&item.vis, &item.attrs),
        Item::Union(item) => (&item.vis, &item.attrs),
        Item::Trait(item) => (&item.vis, &item.attrs),
        Item::Fn(item) => (&item.vis, &item.attrs),
        _ => return false,
    };
    is_pub(visibility) && !is_doc_hidden(attributes)
}

/// `&self`, `self: &Arc<Self>`: what several threads can call at once.
fn takes_shared(signature: &Signature) -> bool {
    let Some(FnArg::Receiver(receiver)) = signature.inputs.first() else { return false };
    match (&receiver.reference, &*receiver.ty) {
        (Some(_), _) => receiver.mutability.is_none(),
        (None, Type::Reference(reference)) => {
            receiver.colon_token.is_some() && reference.mutability.is_none()
        }
        _ => false,
    }
}

fn path_of(ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Path(path) => {
            Some(path.path.segments.iter().map(|segment| segment.ident.to_string()).collect())
        }
        Type::Reference(reference) => path_of(&reference.elem),
        _ => None,
    }
}

/// The public types that a function's parameters name by reference.
fn parameters(
    tree: &Tree,
    target: &Target,
    signature: &Signature,
    reached: &BTreeMap<Target, String>,
) -> BTreeSet<String> {
    let Target::Item(module, _) = target else { return BTreeSet::new() };
    let _: &ReturnType = &signature.output;
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => path_of(&typed.ty),
        FnArg::Receiver(_) => None,
    });
    typed
        .filter_map(|path| tree.resolve(*module, &path))
        .filter_map(|target| reached.get(&target).cloned())
        .collect()
}

fn at(file: &str, span: proc_macro2::Span) -> String {
    format!("{file}:{}", span.start().line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(text: &str) -> Api {
        Api::of_tree(&Tree::of_text(text, Switches::USER))
    }

    #[test]
    fn shared_operations_are_found_through_re_exports() {
        let text = "mod a { pub struct Pool; impl Pool { pub fn get(&self) {} pub fn set(&mut self) {} pub(crate) fn own(&self) {}\n\
                    pub fn arc(self: &Arc<Self>) {} pub fn take(self) {} #[doc(hidden)] pub fn secret(&self) {} } }\n\
                    mod b { use super::a::Pool; impl Pool { pub async fn more(&self) {} } impl Drop for Pool { fn drop(&mut self) {} } }\n\
                    pub use a::Pool;\nstruct Private;\nimpl Private { pub fn x(&self) {} }\npub fn serve(pool: &Pool) {}\n";
        let api = api(text);
        let pool = &api.types["Pool"];
        assert_eq!(pool.operations.keys().map(String::as_str).collect::<Vec<_>>(), ["arc", "get", "more"]);
        assert!(
            pool.others.contains("drop") && pool.others.contains("set") && pool.others.contains("secret")
        );
        assert_eq!(api.types.len(), 1);
        assert_eq!(api.functions["serve"].1, ["Pool".to_owned()].into());
    }

    #[test]
    fn cores_carry_their_path() {
        let text = "#[doc(hidden)] pub mod raw { pub mod word { pub struct Word; impl Word { pub fn load(&self) {} } } }\n";
        let api = api(text);
        assert!(api.types["raw::word::Word"].is_raw);
        assert!(api.types["raw::word::Word"].operations.contains_key("load"));
    }

    #[test]
    fn globs_and_public_modules_are_followed() {
        let api =
            api("mod a { pub struct A; pub enum B { X } }\npub use a::*;\npub mod c { pub trait C {} }\n");
        assert_eq!(api.types.keys().map(String::as_str).collect::<Vec<_>>(), ["A", "B", "C"]);
    }
}
