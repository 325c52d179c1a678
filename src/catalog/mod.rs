//! *Which* images: catalogs, their variables, and the references they come to.
//!
//! Pure: text in, values or all errors with their lines out; no files, no network. A [`Catalog`] that exists has
//! known variables, well-formed value paths, and no reference that could be refused before variables are filled in.

pub mod builtin;
pub mod discover;
mod document;
pub mod lint;
mod list;
pub mod lock;
mod parse;
mod resolve;
mod sources;
pub mod table;
mod template;

use std::collections::BTreeMap;
use std::fmt;

pub use list::is_of_hangar as list_of_hangar;
pub use parse::Format;
pub use resolve::{ResolvedCatalog, ResolvedImage, rewritten};
pub use sources::{SourceRewrite, SourceRewriteError};
pub use template::Template;

/// A list of images and how a chart is told where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub name: Option<String>,
    pub version: Option<String>,
    pub variables: BTreeMap<String, Variable>,
    /// The value that overrides the registry of every entry, for example `global.imageRegistry`.
    pub registry_override: Option<String>,
    /// Values that are always set, in order: path and template.
    pub values: Vec<(String, Template)>,
    /// Values that are set over those when every row's own paths are set.
    pub per_image_values: Vec<(String, Template)>,
    pub entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variable {
    pub default: Option<String>,
    /// Its value is never shown.
    pub secret: bool,
    pub description: Option<String>,
}

/// One image of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the catalog, counted from 1.
    pub line: u64,
    pub chart: Option<String>,
    pub component: Option<String>,
    /// The name the chart uses.
    pub image: Template,
    /// Where it is pulled from, in this order, if not from where its name says.
    pub sources: Vec<Template>,
    /// A packed chart on this machine, of which the artifact `image` is made.
    pub archive: Option<String>,
    /// Value paths of the chart. The first of `tag_paths` is the image's own; each falls back to the next.
    pub registry_path: Option<String>,
    pub repository_path: Option<String>,
    pub tag_paths: Vec<String>,
    pub digest_path: Option<String>,
    pub note: Option<String>,
    pub labels: Vec<String>,
}

impl Entry {
    /// Whether a chart uses it, and values of that chart may say from where.
    pub fn is_of_a_chart(&self) -> bool {
        let paths = self.registry_path.iter().chain(&self.repository_path).chain(&self.tag_paths);
        self.chart.is_some() || paths.count() > 0
    }
}

/// Something wrong with a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: Option<u64>,
    pub message: String,
}

/// Everything that is wrong with a catalog, by line; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CatalogErrors(Vec<Problem>);

/// Problems shown; a file of another kind taken for a list would bring one per line.
const SHOWN: usize = 50;

impl CatalogErrors {
    /// `Err` where there is a problem.
    fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl Problem {
    fn at(line: u64, message: impl Into<String>) -> Self {
        Self { line: (line > 0).then_some(line), message: message.into() }
    }

    fn general(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for CatalogErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, "\nand {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.as_deref().map(|text| if self.secret { "***" } else { text });
        f.debug_struct("Variable")
            .field("default", &default)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}
