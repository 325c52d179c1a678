//! *Which* images: catalogs, their variables, and the references they come to.
//!
//! Pure: text in, values or all errors with their lines out; no files, no network. A [`Catalog`] that exists has
//! known variables, well-formed value paths, and no reference that could be refused before variables are filled in.

pub mod builtin;
mod contents;
pub mod discover;
mod document;
mod entry;
mod fields;
pub mod lint;
mod list;
pub mod lock;
mod parse;
mod problem;
mod resolve;
mod sources;
mod spelling;
pub mod table;
mod template;

pub use contents::{Catalog, Variable};
pub use entry::Entry;
pub use list::is_of_hangar as list_of_hangar;
pub use parse::{Format, parse};
pub use problem::{CatalogErrors, Problem};
pub use resolve::{ResolvedCatalog, ResolvedImage, rewritten};
pub use sources::{SourceRewrite, SourceRewriteError};
pub use template::Template;
