//! Reviews: what is in a bundle and what changed, as a page, a table or JSON, for the decision whether it may cross.
//!
//! Everything shown comes from images, which anyone may have made: it is text, never markup, and cannot steer a
//! terminal, a browser or a spreadsheet. Nothing here reads a clock or a registry; the page needs neither a network nor
//! a script.

mod details;
mod diff;
mod diff_text;
mod facts;
mod findings;
mod foreign_text;
mod page;
mod table;

pub(crate) use diff::Diff;
pub(crate) use diff_text::{markdown, text};
pub(crate) use facts::Facts;
pub(crate) use page::{Page, page};
pub(crate) use table::{csv, json};
