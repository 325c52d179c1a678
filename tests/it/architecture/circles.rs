//! Rules about single files: none in a circle, one file for an inherent `impl`, no verb that names another one.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::source_graph::{SourceGraph, Sources};
use crate::support::sources::rust_files;

/// The files below `src/commands` that hold a verb of the program.
const VERBS: &[&str] = &[
    "catalog/discover.rs",
    "catalog/lint.rs",
    "catalog/lock.rs",
    "catalog/show.rs",
    "diff.rs",
    "export.rs",
    "import.rs",
    "inspect.rs",
    "keygen.rs",
    "login.rs",
    "manual.rs",
    "mirrors.rs",
    "repack.rs",
    "review.rs",
    "serve.rs",
    "sign.rs",
    "values.rs",
    "verify.rs",
];

/// The sources are read once for all rules.
static SOURCES: LazyLock<Sources> = LazyLock::new(sources);
static GRAPH: LazyLock<SourceGraph> = LazyLock::new(|| SourceGraph::of(&SOURCES));

#[derive(Debug, Clone, Copy)]
enum Exception<'a> {
    /// These files may be part of one circle.
    Circle(&'a [&'a str]),
    /// The inherent `impl` of this type, declared in this file, may stand in several ones.
    Impl(&'a str, &'a str),
    /// The first verb may name the second one.
    Verb(&'a str, &'a str),
}

/// What the rules below let pass, and why. An exception that is no longer needed has to go.
const EXCEPTIONS: &[(Exception<'_>, &str)] = &[(
    Exception::Impl("registry/client.rs", "RegistryClient"),
    "One file for each HTTP verb: the client is the sum of what registries are asked.",
)];

#[test]
fn no_files_use_each_other_in_a_circle() {
    let complaints = complaints_about_circles(&GRAPH, &exceptions());
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn an_inherent_impl_stands_in_one_file() {
    let complaints = complaints_about_impls(&GRAPH, &exceptions());
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn no_verb_names_another() {
    let missing: Vec<_> =
        VERBS.iter().filter(|verb| !SOURCES.contains_key(&format!("commands/{verb}"))).collect();
    assert!(missing.is_empty(), "listed as verbs and missing: {missing:?}");
    let complaints = complaints_about_verbs(&GRAPH, &exceptions());
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn the_rules_about_files_can_be_broken() {
    let sources = |files: &[(&str, &str)]| -> Sources {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    };
    let circle = SourceGraph::of(&sources(&[
        ("lib.rs", "mod far; mod near; #[cfg(test)] mod tests { use crate::near::Near; }"),
        ("far/mod.rs", "mod hidden; pub use hidden::Far; pub(crate) use hidden::size;"),
        ("far/hidden.rs", "use crate::near; pub struct Far(near::Near); pub fn size() {} fn f(near: i32) {}"),
        ("near.rs", "pub struct Near; fn f() { println!(\"{}\", crate::far::size()) } use std::fmt;"),
    ]));
    let complaints = complaints_about_circles(&circle, &[]);
    assert_eq!(
        complaints,
        ["2 files use each other in a circle: far/hidden.rs, near.rs\n  \
          src/far/hidden.rs uses Near of src/near.rs\n  src/near.rs uses size of src/far/hidden.rs"]
    );
    assert!(
        complaints_about_circles(&circle, &[Exception::Circle(&["far/hidden.rs", "near.rs"])]).is_empty()
    );
    let too_wide = Exception::Circle(&["far/hidden.rs", "far/mod.rs", "near.rs"]);
    assert!(complaints_about_circles(&circle, &[too_wide])[0].contains("far/mod.rs"));

    let parent = SourceGraph::of(&sources(&[
        ("lib.rs", "mod folder;"),
        ("folder/mod.rs", "mod child; use child::Child; pub struct Parent(Child);"),
        ("folder/child.rs", "#[derive(Clone)] pub struct Child; impl super::Parent { fn new(self) {} }"),
    ]));
    assert_eq!(complaints_about_circles(&parent, &[]).len(), 1);

    let scattered = SourceGraph::of(&sources(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "pub struct Kind<T>(T); impl<T> Kind<T> { fn a(&self) {} } pub struct Other;"),
        ("b.rs", "use crate::a::Kind as Renamed; impl Renamed<u8> { fn b(&self) {} }"),
        ("c.rs", "struct Kind; impl Kind {} impl Clone for crate::a::Kind<u8> {} impl crate::a::Other {}"),
    ]));
    let complaints = complaints_about_impls(&scattered, &[]);
    assert_eq!(complaints, ["the inherent impl of Kind of src/a.rs stands in a.rs, b.rs"]);
    let needless = [Exception::Impl("a.rs", "Kind"), Exception::Impl("c.rs", "Kind")];
    assert!(complaints_about_impls(&scattered, &needless)[0].contains("src/c.rs is no longer needed"));

    let verbs = SourceGraph::of(&sources(&[
        ("lib.rs", "mod commands;"),
        ("commands/mod.rs", "mod export; mod import; mod shared; fn f() { export::run(); import::run() }"),
        ("commands/export.rs", "pub fn run() { super::shared::f() }"),
        ("commands/import.rs", "pub fn run() { super::export::run() }"),
        ("commands/shared.rs", "pub fn f() {}"),
    ]));
    let complaints = complaints_about_verbs(&verbs, &[]);
    assert_eq!(complaints, ["src/commands/import.rs names run of export.rs, which is another verb"]);
    assert!(complaints_about_verbs(&verbs, &[Exception::Verb("import.rs", "export.rs")]).is_empty());
    let needless = [Exception::Verb("import.rs", "export.rs"), Exception::Verb("export.rs", "import.rs")];
    assert!(complaints_about_verbs(&verbs, &needless)[0].contains("no longer needed"));
}

fn exceptions() -> Vec<Exception<'static>> {
    EXCEPTIONS.iter().map(|(exception, _)| *exception).collect()
}

fn complaints_about_circles(graph: &SourceGraph, exceptions: &[Exception<'_>]) -> Vec<String> {
    let excepted: Vec<BTreeSet<&str>> = exceptions
        .iter()
        .filter_map(|exception| match exception {
            Exception::Circle(files) => Some(files.iter().copied().collect()),
            _ => None,
        })
        .collect();
    let (mut complaints, mut needed) = (Vec::new(), BTreeSet::new());
    for circle in graph.circles() {
        let files: BTreeSet<&str> = circle.iter().map(String::as_str).collect();
        if excepted.iter().any(|exception| files.is_subset(exception)) {
            needed.extend(circle);
        } else {
            let listed: Vec<_> = files.iter().copied().collect();
            let heading = format!("{} files use each other in a circle: {}", files.len(), listed.join(", "));
            complaints.push([vec![heading], graph.shortest_chain(&circle)].concat().join("\n  "));
        }
    }
    let needless = excepted.iter().flatten().filter(|file| !needed.contains(**file));
    complaints.extend(
        needless.map(|file| format!("the exception for src/{file} is no longer needed: that circle is gone")),
    );
    complaints
}

fn complaints_about_impls(graph: &SourceGraph, exceptions: &[Exception<'_>]) -> Vec<String> {
    let is_excepted = |file: &str, name: &str| {
        exceptions
            .iter()
            .any(|exception| matches!(exception, Exception::Impl(f, n) if (*f, *n) == (file, name)))
    };
    let scattered: Vec<_> = graph.impls.iter().filter(|(_, files)| files.len() > 1).collect();
    let wrong = scattered.iter().filter(|((file, name), _)| !is_excepted(file, name));
    let mut complaints: Vec<String> = wrong
        .map(|((file, name), places)| {
            let places: Vec<_> = places.iter().map(String::as_str).collect();
            format!("the inherent impl of {name} of src/{file} stands in {}", places.join(", "))
        })
        .collect();
    for exception in exceptions {
        if let Exception::Impl(file, name) = exception
            && !scattered.iter().any(|((f, n), _)| (f.as_str(), n.as_str()) == (*file, *name))
        {
            complaints.push(format!("the exception for {name} of src/{file} is no longer needed"));
        }
    }
    complaints
}

fn complaints_about_verbs(graph: &SourceGraph, exceptions: &[Exception<'_>]) -> Vec<String> {
    let verb = |file: &str| -> Option<&'static str> {
        VERBS.iter().copied().find(|verb| file.strip_prefix("commands/") == Some(*verb))
    };
    let mut named = Vec::new();
    for (user, used) in &graph.uses {
        for (file, names) in used {
            if let (Some(user), Some(other)) = (verb(user), verb(file)) {
                named.push((user, other, names));
            }
        }
    }
    let is_excepted = |user: &str, other: &str| {
        exceptions
            .iter()
            .any(|exception| matches!(exception, Exception::Verb(u, o) if (*u, *o) == (user, other)))
    };
    let wrong = named.iter().filter(|(user, other, _)| !is_excepted(user, other));
    let mut complaints: Vec<String> = wrong
        .map(|(user, other, names)| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            format!("src/commands/{user} names {} of {other}, which is another verb", names.join(", "))
        })
        .collect();
    for exception in exceptions {
        if let Exception::Verb(user, other) = exception
            && !named.iter().any(|(u, o, _)| u == user && o == other)
        {
            complaints.push(format!("the exception for {user}, which named {other}, is no longer needed"));
        }
    }
    complaints
}

fn sources() -> Sources {
    let files = rust_files("src").into_iter();
    files.map(|(path, text)| (path.to_str().unwrap().to_owned(), text)).collect()
}
