//! The hosts that images come from, and where each is at the destination.

use std::collections::BTreeSet;

use crate::archive::ImageRow;
use crate::destination::{Destination, Mapping};
use crate::image::HostName;

/// How the destination is reached from the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub plain_http: bool,
    pub tls_no_verify: bool,
    /// Where every node has the registry's certificate authority.
    pub ca_file: Option<String>,
}

/// Every source host, and where it is at the destination.
pub(super) struct Mirrors<'a> {
    pub(super) destination: &'a Destination,
    pub(super) mapping: Mapping,
    pub(super) reach: &'a Reach,
    /// With the path their repositories are below; may be empty.
    pub(super) sources: Vec<(HostName, String)>,
}

impl<'a> Mirrors<'a> {
    pub(super) fn new(
        images: &[&ImageRow],
        destination: &'a Destination,
        mapping: Mapping,
        reach: &'a Reach,
    ) -> Self {
        // Runtimes do not pull charts and other artifacts, and images of the destination itself need no mirror.
        let images = images.iter().filter(|image| image.artifact_type.is_none());
        let hosts: BTreeSet<&HostName> =
            images.map(|image| image.name.host()).filter(|host| *host != destination.host()).collect();
        let below = |host: &HostName| {
            let parts = [Some(destination.prefix().to_owned()), mapping.host_folder(host)];
            parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        };
        let sources = hosts.into_iter().map(|host| (host.clone(), below(host))).collect();
        Self { destination, mapping, reach, sources }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.reach.plain_http { "http" } else { "https" }
    }

    /// The destination's host with the path that the images of a source are below.
    pub(super) fn location(&self, below: &str) -> String {
        let joint = if below.is_empty() { "" } else { "/" };
        format!("{}{joint}{below}", self.destination.host())
    }
}
