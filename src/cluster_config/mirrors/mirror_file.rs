//! A file of configuration, and why it cannot be written.

use crate::image::HostName;

/// A file for the nodes or the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorFile {
    /// Relative to the folder of the runtime's configuration.
    pub path: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MirrorError {
    #[error("the names of the images have no source hosts, so there is nothing to mirror")]
    Nothing,
    #[error("{0} cannot be written into this configuration: {1}")]
    Host(HostName, &'static str),
    #[error("the configuration cannot be written: {0}")]
    Write(String),
}
