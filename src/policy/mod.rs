//! Policies: the rules of a site, and the findings about a bundle.
//!
//! Pure: text and manifests in, findings out. What cannot be determined is a finding too. Signatures and SBOMs have to be
//! present; the cluster checks whether a signature of an image is valid. Waived findings are reported too.

mod beside;
mod facts;
mod finding;
mod judge;
mod parse;
mod rule;
mod source;
mod waiver;

#[cfg(test)]
mod tests;

pub use facts::{Facts, ImageFacts, Selection};
pub use finding::{Finding, Waived};
pub use judge::Policy;
pub use parse::{MAX_POLICY, PolicyError, SCHEMA};
pub use rule::Rule;
