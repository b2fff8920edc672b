//! The module tree of a crate, as syn reads it from its files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, Meta, UseTree, Visibility, punctuated::Punctuated, token::Comma};

use crate::error::{Context as _, Result};

/// The switches of the build that is looked at. Features are all on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) test: bool,
    pub(super) model: bool,
}

impl Switches {
    /// What a user compiles.
    pub(super) const USER: Self = Self { test: false, model: false };
    pub(super) const TESTS: Self = Self { test: true, model: false };
    pub(super) const MODELS: Self = Self { test: true, model: true };

    /// Whether an item with these attributes is compiled.
    pub(super) fn hold(self, attributes: &[Attribute]) -> bool {
        attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).all(|attribute| {
            attribute.parse_args::<Meta>().is_ok_and(|meta| self.evaluate(&meta).unwrap_or(true))
        })
    }

    /// `None` where the answer depends on the machine.
    fn evaluate(self, meta: &Meta) -> Option<bool> {
        let name = meta.path().get_ident()?.to_string();
        let inner = |list: &syn::MetaList| {
            let parts = list.parse_args_with(Punctuated::<Meta, Comma>::parse_terminated);
            parts.map(|parts| parts.iter().map(|part| self.evaluate(part)).collect::<Vec<_>>()).ok()
        };
        match (name.as_str(), meta) {
            ("feature", _) => Some(true),
            ("test", Meta::Path(_)) => Some(self.test),
            ("ropewalk_loom", Meta::Path(_)) => Some(self.model),
            ("doctest" | "miri" | "loom" | "doc", Meta::Path(_)) => Some(false),
            ("not", Meta::List(list)) => inner(list)?.first().copied()?.map(|value| !value),
            ("all", Meta::List(list)) => {
                let parts = inner(list)?;
                if parts.contains(&Some(false)) {
                    Some(false)
                } else {
                    parts.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
                }
            }
            ("any", Meta::List(list)) => {
                let parts = inner(list)?;
                if parts.contains(&Some(true)) {
                    Some(true)
                } else {
                    parts.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
                }
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Module {
    /// Relative to the project's root.
    pub(super) file: String,
    /// From the root of the crate, without it.
    pub(super) path: Vec<String>,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    /// What the build compiles, child modules apart.
    pub(super) items: Vec<Item>,
    pub(super) is_public: bool,
    pub(super) is_hidden: bool,
}

impl Module {
    /// Whether it is or lies in `raw`.
    pub(super) fn is_raw(&self) -> bool {
        self.path.iter().any(|name| name == "raw")
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Module(usize),
    /// An item by the module that defines it and its name there.
    Item(usize, String),
}

/// The modules of one crate or test binary; the first is the root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) modules: Vec<Module>,
}

impl Tree {
    /// Reads the file and the modules it declares.
    pub(super) fn read(home: &Path, file: &Path, switches: Switches) -> Result<Self> {
        let mut tree = Self { modules: Vec::new() };
        let folder = file.parent().unwrap_or(file).to_owned();
        let root = parse(file)?;
        tree.add(
            Frame { home, file, folder, parent: None, name: None },
            root.items,
            (true, false),
            switches,
        )?;
        Ok(tree)
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str, switches: Switches) -> Self {
        let mut tree = Self { modules: Vec::new() };
        let nowhere = Path::new("/nowhere");
        let file = syn::parse_file(text).unwrap();
        let frame = Frame {
            home: nowhere,
            file: Path::new("/nowhere/lib.rs"),
            folder: nowhere.to_owned(),
            parent: None,
            name: None,
        };
        tree.add(frame, file.items, (true, false), switches).unwrap();
        tree
    }

    fn add(
        &mut self,
        frame: Frame<'_>,
        items: Vec<Item>,
        (is_public, is_hidden): (bool, bool),
        switches: Switches,
    ) -> Result<usize> {
        let index = self.modules.len();
        let mut path: Vec<_> =
            frame.parent.map(|parent: usize| self.modules[parent].path.clone()).unwrap_or_default();
        path.extend(frame.name.clone());
        let file = frame.file.strip_prefix(frame.home).unwrap_or(frame.file);
        self.modules.push(Module {
            file: file.to_string_lossy().replace('\\', "/"),
            path,
            parent: frame.parent,
            children: BTreeMap::new(),
            items: Vec::new(),
            is_public,
            is_hidden,
        });
        for item in items {
            if !switches.hold(attributes(&item)) {
                continue;
            }
            let Item::Mod(module) = item else {
                self.modules[index].items.push(item);
                continue;
            };
            let name = module.ident.to_string();
            let flags = (is_pub(&module.vis), is_hidden || is_doc_hidden(&module.attrs));
            let own_folder = frame.folder.join(&name);
            let (file, folder, items) = match module.content {
                Some((_, items)) => (frame.file.to_owned(), own_folder, items),
                None => {
                    let file = find(&frame, &name, &module.attrs)?;
                    // A `mod.rs` in `name/` and a `name.rs` both have their children in `name/`; a `path` starts anew.
                    let folder = if path_attribute(&module.attrs).is_some() {
                        file.parent().unwrap_or(&file).to_owned()
                    } else {
                        own_folder
                    };
                    let items = parse(&file)?.items;
                    (file, folder, items)
                }
            };
            let inner = Frame {
                home: frame.home,
                file: &file,
                folder,
                parent: Some(index),
                name: Some(name.clone()),
            };
            let child = self.add(inner, items, flags, switches)?;
            self.modules[index].children.insert(name, child);
        }
        Ok(index)
    }

    /// What `path` means in `module`, or `None` if it leads out of the crate.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> Option<Target> {
        self.resolve_within(module, path, 16)
    }

    /// `depth` ends imports that go in circles.
    fn resolve_within(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent?),
            name => self.lookup(module, name, depth)?,
        };
        match start {
            Target::Module(module) if !rest.is_empty() => self.resolve_within(module, rest, depth),
            target => Some(target),
        }
    }

    fn lookup(&self, module: usize, name: &str, depth: usize) -> Option<Target> {
        let depth = depth.checked_sub(1)?;
        let here = &self.modules[module];
        if let Some(&child) = here.children.get(name) {
            return Some(Target::Module(child));
        }
        if here.items.iter().any(|item| ident(item).is_some_and(|ident| ident == name)) {
            return Some(Target::Item(module, name.to_owned()));
        }
        let imports = here.items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(imports(&item.tree)),
            _ => None,
        });
        let imports: Vec<_> = imports.flatten().collect();
        let named = imports.iter().filter(|import| import.name.as_deref() == Some(name));
        let globs = imports.iter().filter(|import| import.name.is_none());
        for import in named {
            // `use name;` would ask for itself for ever.
            if import.path.len() > 1
                && let Some(target) = self.resolve_within(module, &import.path, depth)
            {
                return Some(target);
            }
        }
        for import in globs {
            if let Some(Target::Module(from)) = self.resolve_within(module, &import.path, depth)
                && let Some(target) = self.lookup(from, name, depth)
            {
                return Some(target);
            }
        }
        None
    }

    /// An item by what `resolve` found.
    pub(super) fn item(&self, target: &Target) -> Option<&Item> {
        let Target::Item(module, name) = target else { return None };
        self.modules[*module].items.iter().find(|item| ident(item).is_some_and(|ident| ident == name))
    }
}

struct Frame<'a> {
    home: &'a Path,
    file: &'a Path,
    /// Where the files of its child modules are.
    folder: PathBuf,
    parent: Option<usize>,
    name: Option<String>,
}

fn find(frame: &Frame<'_>, name: &str, attributes: &[Attribute]) -> Result<PathBuf> {
    if let Some(path) = path_attribute(attributes) {
        return Ok(frame.file.parent().unwrap_or(frame.file).join(path));
    }
    let flat = frame.folder.join(format!("{name}.rs"));
    Ok(if flat.exists() { flat } else { frame.folder.join(name).join("mod.rs") })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| {
        let Meta::NameValue(value) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &value.value else { return None };
        Some(text.value())
    })
}

fn parse(file: &Path) -> Result<syn::File> {
    let text = fs::read_to_string(file).context(format_args!("cannot read {}", file.display()))?;
    syn::parse_file(&text).map_err(|error| {
        let line = error.span().start().line;
        crate::error::Error::new(format!("{}:{line}: {error}", file.display()))
    })
}

/// One name that a `use` brings in.
#[derive(Debug)]
pub(super) struct Import {
    /// The name it gets; `None` for `*`.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
}

/// `use a::{b as c, d::*}` as single imports.
pub(super) fn imports(tree: &UseTree) -> Vec<Import> {
    fn walk(tree: &UseTree, mut prefix: Vec<String>, found: &mut Vec<Import>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                walk(&path.tree, prefix, found);
            }
            UseTree::Name(name) if name.ident == "self" => {
                found.push(Import { name: prefix.last().cloned(), path: prefix });
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                prefix.push(name.clone());
                found.push(Import { name: Some(name), path: prefix });
            }
            UseTree::Rename(rename) => {
                prefix.push(rename.ident.to_string());
                found.push(Import { name: Some(rename.rename.to_string()), path: prefix });
            }
            UseTree::Glob(_) => found.push(Import { name: None, path: prefix }),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, prefix.clone(), found)),
        }
    }
    let mut found = Vec::new();
    walk(tree, Vec::new(), &mut found);
    found
}

pub(super) fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(super) fn is_doc_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "hidden")
    })
}

/// The name that an item defines: types, traits and functions.
pub(super) fn ident(item: &Item) -> Option<&syn::Ident> {
    match item {
        Item::Struct(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        _ => None,
    }
}

pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &str) -> Vec<String> {
        path.split("::").map(str::to_owned).collect()
    }

    #[test]
    fn switches_decide_what_is_compiled() {
        for (cfg, user, models) in [
            ("test", false, true),
            ("not(test)", true, false),
            ("ropewalk_loom", false, true),
            ("all(feature = \"x\", not(ropewalk_loom))", true, false),
            ("any(test, feature = \"test-util\")", true, true),
            ("unix", true, true),
            ("not(unix)", true, true),
            ("all(unix, test)", false, true),
        ] {
            let item: syn::ItemFn = syn::parse_str(&format!("#[cfg({cfg})] fn f() {{}}")).unwrap();
            assert_eq!(Switches::USER.hold(&item.attrs), user, "{cfg}");
            assert_eq!(Switches::MODELS.hold(&item.attrs), models, "{cfg}");
        }
    }

    #[test]
    fn paths_lead_through_imports() {
        let text = "mod a { pub mod b { pub struct T; } pub use b::T as U; pub use super::c::*; }\n\
                    mod c { pub struct V; pub use self::d::W; mod d { pub struct W; } }\nuse a::U;\nuse std::fmt;\n";
        let tree = Tree::of_text(text, Switches::USER);
        let name = |path: &str| match tree.resolve(0, &words(path)) {
            Some(Target::Item(module, name)) => format!("{}::{name}", tree.modules[module].path.join("::")),
            Some(Target::Module(module)) => tree.modules[module].path.join("::"),
            None => "outside".to_owned(),
        };
        assert_eq!(name("U"), "a::b::T");
        assert_eq!(name("a::V"), "c::V");
        assert_eq!(name("crate::a::W"), "c::d::W");
        assert_eq!(name("a::b"), "a::b");
        assert_eq!(name("fmt::Debug"), "outside");
    }

    #[test]
    fn imports_in_circles_end() {
        let tree =
            Tree::of_text("mod a { pub use super::b::*; } mod b { pub use super::a::*; }", Switches::USER);
        assert_eq!(tree.resolve(0, &words("a::X")), None);
    }
}
