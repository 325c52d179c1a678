//! Configuration that makes a container runtime, or a cluster, pull from the destination what charts name elsewhere.
//!
//! Charts need no change then. Every file leads to the destination and nowhere else: what it does not have is not found,
//! rather than looked for in a network that is not there.

mod cluster;
mod kinds;
mod mirror_file;
mod nodes;
mod source_hosts;

pub use kinds::{MirrorKind, mirror_files};
pub use mirror_file::{MirrorError, MirrorFile};
pub use source_hosts::Reach;

#[cfg(test)]
mod tests;
