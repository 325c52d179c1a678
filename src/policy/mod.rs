//! What may cross: the rules that a site writes down, and what of a bundle stands against them.
//!
//! Pure: text and manifests in, findings out. What cannot be told is a finding too, never a pass. Signatures and SBOMs
//! have to be there; whether a signature of an image is right is told where it runs. What is waived is told all the same.

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
