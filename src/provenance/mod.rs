//! Provenance: the statement of an export about its bundle, and the receipt of an import about what arrived.
//!
//! Both are in-toto statements about the bundle's id and about every image by its digest, with a predicate described in
//! its own file. They hold what a bundle must not: a clock, a person, a machine. Pure: who and when are given.

mod receipt;
mod statement;

pub(crate) use receipt::{Arrived, ArrivedImage, ImageState, Receipt};
pub(crate) use statement::{ExportStatement, Exported, Material, MaterialKind};
