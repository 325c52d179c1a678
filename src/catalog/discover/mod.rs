//! Finding images: in rendered Kubernetes manifests, in a chart's values and annotations.
//!
//! Pure: text in, findings out. Every image has a rank and the places where it was found. Texts that should name an image
//! and do not, and everything that was not read or searched, are counted and listed, so that a missing image is never
//! silent.

mod chart;
mod discovery;
mod documents;
mod file_names;
mod foreign;
mod groups;
mod guess;
mod lists;
mod map_parts;
mod node;
mod object;
mod parts;
mod render;
mod scan;
mod scope;
mod siblings;
mod text;
mod under;
mod values;
mod walk;
mod words;

pub use chart::{is_about_a_chart, read_chart};
pub use discovery::{Discovery, Found, Place, Rank, Unclear};
pub use documents::read;
pub use file_names::is_kustomization;
pub use foreign::Foreign;
pub use parts::ValuePaths;
pub use render::{Title, to_catalog};

#[cfg(test)]
mod tests;
