//! Configuration that makes a container runtime, or a cluster, pull from the destination what charts name elsewhere.
//!
//! Charts need no change then. Every file leads to the destination and nowhere else: what it does not have is not found,
//! rather than looked for in a network that is not there.

mod cluster;
mod nodes;

use std::collections::BTreeSet;

use crate::archive::ImageRow;
use crate::destination::{Destination, Mapping};
use crate::image::HostName;

/// Who is to pull from the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorKind {
    /// containerd's `certs.d/<host>/hosts.toml`.
    Containerd,
    /// K3s's `registries.yaml`.
    K3s,
    /// RKE2's `registries.yaml`.
    Rke2,
    /// CRI-O's `registries.conf`.
    Crio,
    /// Podman's, skopeo's and buildah's `registries.conf`.
    Podman,
    /// OpenShift's `ImageDigestMirrorSet` and `ImageTagMirrorSet`.
    Openshift,
    /// A kustomize component that renames images.
    Kustomize,
}

/// How the destination is reached from the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub plain_http: bool,
    pub tls_no_verify: bool,
    /// Where every node has the registry's certificate authority.
    pub ca_file: Option<String>,
}

/// A file for the nodes or the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFile {
    /// Below the folder it belongs into.
    pub path: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    #[error("the images have no source hosts to be pulled from elsewhere")]
    Nothing,
    #[error("{0} cannot stand in this configuration: {1}")]
    Host(HostName, &'static str),
    #[error("the configuration cannot be written: {0}")]
    Write(String),
}

/// What makes `kind` pull `images` from `destination`.
pub fn mirror_files(
    kind: MirrorKind,
    images: &[&ImageRow],
    destination: &Destination,
    mapping: Mapping,
    reach: &Reach,
    pin: bool,
) -> Result<Vec<MirrorFile>, MirrorError> {
    let mirrors = Mirrors::new(images, destination, mapping, reach);
    if mirrors.sources.is_empty() {
        return Err(MirrorError::Nothing);
    }
    match kind {
        MirrorKind::Containerd => mirrors.containerd(),
        MirrorKind::K3s => mirrors.rancher("k3s"),
        MirrorKind::Rke2 => mirrors.rancher("rke2"),
        MirrorKind::Crio => mirrors.containers("CRI-O"),
        MirrorKind::Podman => mirrors.containers("podman, skopeo and buildah"),
        MirrorKind::Openshift => mirrors.openshift(),
        MirrorKind::Kustomize => mirrors.kustomize(images, pin),
    }
}

/// Every source host, and where it is at the destination.
struct Mirrors<'a> {
    destination: &'a Destination,
    mapping: Mapping,
    reach: &'a Reach,
    /// With the path their repositories are below; may be empty.
    sources: Vec<(HostName, String)>,
}

impl<'a> Mirrors<'a> {
    fn new(images: &[&ImageRow], destination: &'a Destination, mapping: Mapping, reach: &'a Reach) -> Self {
        // Charts and other artifacts are no runtime's business, and what is there already needs no mirror.
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

    fn scheme(&self) -> &'static str {
        if self.reach.plain_http { "http" } else { "https" }
    }

    /// The destination's host with the path that the images of a source are below.
    fn location(&self, below: &str) -> String {
        let joint = if below.is_empty() { "" } else { "/" };
        format!("{}{joint}{below}", self.destination.host())
    }
}

#[cfg(test)]
mod tests;
