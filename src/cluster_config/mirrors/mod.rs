//! Configuration that makes a container runtime, or a cluster, pull from the destination what charts name elsewhere.
//!
//! Charts need no change then. Runtimes pull from the destination only: an image that it lacks is not found, instead of
//! being looked for in a network that cannot be reached. K3s and RKE2 need a flag for that, which their file names.

mod cluster;
mod kinds;
mod mirror_file;
mod nodes;
mod source_hosts;

pub(crate) use kinds::{MirrorKind, mirror_files};
pub(crate) use mirror_file::{MirrorError, MirrorFile};
pub(crate) use source_hosts::Reach;

#[cfg(test)]
mod tests;
