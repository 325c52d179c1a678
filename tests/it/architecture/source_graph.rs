//! Which file of a crate uses which other file, read with `syn`.
//!
//! A file uses another one when a path in it, in a `use` or in the code, leads to an item that is declared there.
//! Re-exports are followed to the declaration, so a `mod.rs` that only declares modules and re-exports their items
//! neither uses them nor is used. Code under `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use syn::buffer::Cursor;
use syn::visit::{self, Visit};

/// Source texts by their path below `src`.
pub(super) type Sources = BTreeMap<String, String>;

/// An item, by the file that declares it and its name.
pub(super) type Item = (String, String);

#[derive(Default)]
pub(super) struct SourceGraph {
    modules: Vec<Module>,
    /// From the user to the used file, and the names used.
    pub(super) uses: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// The files in which the inherent `impl` blocks of a type stand.
    pub(super) impls: BTreeMap<Item, BTreeSet<String>>,
}

#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    items: HashSet<String>,
    imports: Vec<Import>,
    paths: Vec<Vec<String>>,
    implemented: Vec<Vec<String>>,
}

struct Import {
    path: Vec<String>,
    /// `None` is `*`.
    name: Option<String>,
    /// A re-export for other files, which is not a use of its own.
    exported: bool,
}

#[derive(Clone)]
enum Target {
    Module(usize),
    Item(Item),
}

impl SourceGraph {
    /// Of the crate whose root is `lib.rs`.
    pub(super) fn of(sources: &Sources) -> Self {
        let mut graph = Self::default();
        graph.read_file(sources, "lib.rs", "", None);
        for (id, module) in graph.modules.iter().enumerate() {
            let imports = module.imports.iter().filter(|import| !import.exported && import.name.is_some());
            for path in imports.map(|import| &import.path).chain(&module.paths) {
                if let Some(Target::Item((file, name))) = graph.resolve(id, path, &mut Vec::new())
                    && file != module.file
                {
                    let used = graph.uses.entry(module.file.clone()).or_default();
                    used.entry(file).or_default().insert(name);
                }
            }
            for path in &module.implemented {
                if let Some(Target::Item(item)) = graph.resolve(id, path, &mut Vec::new()) {
                    graph.impls.entry(item).or_default().insert(module.file.clone());
                }
            }
        }
        graph
    }

    fn read_file(&mut self, sources: &Sources, file: &str, folder: &str, parent: Option<usize>) -> usize {
        let parsed = syn::parse_file(&sources[file]).unwrap_or_else(|error| panic!("src/{file}: {error}"));
        self.read_module(sources, &parsed.items, file, folder, parent)
    }

    /// `folder` holds the files of the module's children, with a `/` at its end unless it is `src`.
    fn read_module(
        &mut self,
        sources: &Sources,
        items: &[syn::Item],
        file: &str,
        folder: &str,
        parent: Option<usize>,
    ) -> usize {
        let id = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            self.modules[id].items.extend(declared_name(item));
            if let syn::Item::Mod(module) = item {
                let name = module.ident.to_string();
                let below = format!("{folder}{name}/");
                let child = if let Some((_, items)) = &module.content {
                    self.read_module(sources, items, file, &below, Some(id))
                } else {
                    let beside = format!("{folder}{name}.rs");
                    let inside = format!("{below}mod.rs");
                    let file = if sources.contains_key(&beside) { beside } else { inside };
                    self.read_file(sources, &file, &below, Some(id))
                };
                self.modules[id].children.insert(name, child);
            } else {
                self.modules[id].visit_item(item);
            }
        }
        id
    }

    /// What `path`, written in the module `from`, leads to inside this crate. `entered` are the imports that are
    /// being followed, since an import may share its name with the crate that it imports from.
    fn resolve(&self, from: usize, path: &[String], entered: &mut Vec<(usize, String)>) -> Option<Target> {
        let (mut at, mut rest) = (from, path);
        let mut relative = true;
        while let Some((first, others)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.modules[at].parent?,
                _ => break,
            };
            (rest, relative) = (others, false);
        }
        let mut target = if relative {
            self.look_up(from, &rest[0], rest.len() > 1, entered)?
        } else {
            Target::Module(at)
        };
        let mut rest = if relative { &rest[1..] } else { rest };
        while let (Target::Module(module), Some((name, others))) = (&target, rest.split_first()) {
            target = self.look_up(*module, name, !others.is_empty(), entered)?;
            rest = others;
        }
        Some(target)
    }

    /// A module and a function may have one name: `as_prefix` says that more follows, so that the module is meant.
    fn look_up(
        &self,
        module: usize,
        name: &str,
        as_prefix: bool,
        entered: &mut Vec<(usize, String)>,
    ) -> Option<Target> {
        let scope = &self.modules[module];
        let child = scope.children.get(name).map(|child| Target::Module(*child));
        if as_prefix && child.is_some() {
            return child;
        }
        if scope.items.contains(name) {
            return Some(Target::Item((scope.file.clone(), name.to_owned())));
        }
        let key = (module, name.to_owned());
        if entered.contains(&key) {
            return child;
        }
        entered.push(key);
        let named = scope.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        let mut found: Vec<Target> =
            named.filter_map(|import| self.resolve(module, &import.path, entered)).collect();
        if found.is_empty() {
            let globs = scope.imports.iter().filter(|import| import.name.is_none());
            found = globs
                .filter_map(|glob| match self.resolve(module, &glob.path, entered)? {
                    Target::Module(inside) if inside != module => {
                        self.look_up(inside, name, as_prefix, entered)
                    }
                    _ => None,
                })
                .collect();
        }
        entered.pop();
        let preferred = found.iter().position(|target| matches!(target, Target::Module(_)) == as_prefix);
        let chosen = found.get(preferred.unwrap_or(0)).cloned();
        chosen.or(child)
    }

    /// Groups of files each of which leads to every other one of its group, the largest group first.
    pub(super) fn circles(&self) -> Vec<BTreeSet<String>> {
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            self.uses.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            let back =
                others.iter().filter(|other| reached.get(*other).is_some_and(|set| set.contains(file)));
            circles.insert(back.map(|other| (*other).clone()).collect::<BTreeSet<String>>());
        }
        let mut circles: Vec<_> = circles.into_iter().filter(|circle| !circle.is_empty()).collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    fn reached_from<'a>(&'a self, file: &'a String) -> BTreeSet<&'a String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            next.extend(
                self.uses.get(file).into_iter().flat_map(BTreeMap::keys).filter(|used| reached.insert(*used)),
            );
        }
        reached
    }

    /// The shortest way round inside `circle`, one line for each step.
    pub(super) fn shortest_chain(&self, circle: &BTreeSet<String>) -> Vec<String> {
        let ways = circle.iter().filter_map(|start| self.way_back(start, circle));
        let way = ways.min_by_key(Vec::len).unwrap_or_default();
        let steps = way.windows(2).map(|step| {
            let names: Vec<_> = self.uses[&step[0]][&step[1]].iter().map(String::as_str).collect();
            format!("src/{} uses {} of src/{}", step[0], names.join(", "), step[1])
        });
        steps.collect()
    }

    fn way_back(&self, start: &String, circle: &BTreeSet<String>) -> Option<Vec<String>> {
        let mut queue = VecDeque::from([vec![start]]);
        let mut seen = HashSet::new();
        while let Some(way) = queue.pop_front() {
            for used in self.uses.get(*way.last()?)?.keys().filter(|used| circle.contains(*used)) {
                let longer: Vec<&String> = way.iter().copied().chain([used]).collect();
                if used == start {
                    return Some(longer.into_iter().cloned().collect());
                }
                if seen.insert(used) {
                    queue.push_back(longer);
                }
            }
        }
        None
    }
}

impl Module {
    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>, exported: bool) {
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, exported);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), exported);
                }
            }
            syn::UseTree::Glob(_) => self.imports.push(Import { path, name: None, exported }),
            syn::UseTree::Name(last) => self.import_name(path, &last.ident.to_string(), None, exported),
            syn::UseTree::Rename(last) => {
                self.import_name(path, &last.ident.to_string(), Some(last.rename.to_string()), exported);
            }
        }
    }

    fn import_name(&mut self, mut path: Vec<String>, last: &str, rename: Option<String>, exported: bool) {
        if last != "self" {
            path.push(last.to_owned());
        }
        let name = rename.or_else(|| path.last().cloned());
        self.imports.push(Import { path, name, exported });
    }

    /// The paths among the tokens of a macro, which `syn` does not take apart.
    fn read_tokens(&mut self, mut at: Cursor<'_>) {
        let (mut path, mut joined, mut is_field) = (Vec::new(), false, false);
        while !at.eof() {
            if let Some((name, rest)) = at.ident() {
                if !joined {
                    self.paths.extend(Some(std::mem::take(&mut path)).filter(|path| !path.is_empty()));
                }
                if !is_field {
                    path.push(name.to_string());
                }
                (at, joined, is_field) = (rest, false, false);
            } else if let Some((mark, rest)) = at.punct() {
                joined = mark.as_char() == ':' && !path.is_empty();
                is_field = mark.as_char() == '.';
                at = rest;
            } else if let Some((inside, _, _, rest)) = at.any_group() {
                self.read_tokens(inside);
                (at, joined, is_field) = (rest, false, false);
            } else if let Some((_, rest)) = at.token_tree() {
                (at, joined, is_field) = (rest, false, false);
            } else {
                break;
            }
        }
        self.paths.extend(Some(path).filter(|path| !path.is_empty()));
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, Vec::new(), !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (None, syn::Type::Path(kind)) = (&item.trait_, &*item.self_ty) {
            self.implemented.push(segments(&kind.path));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        let tokens = syn::buffer::TokenBuffer::new2(call.tokens.clone());
        self.read_tokens(tokens.begin());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let syn::Meta::List(list) = &attribute.meta else { return };
        let tokens = syn::buffer::TokenBuffer::new2(list.tokens.clone());
        self.read_tokens(tokens.begin());
        // serde takes the paths of functions as text.
        let texts =
            list.tokens.clone().into_iter().filter_map(|token| syn::parse2::<syn::LitStr>(token.into()).ok());
        self.paths.extend(texts.filter_map(|text| text.parse().ok()).map(|path| segments(&path)));
    }

    /// `pub(in …)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn declared_name(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
