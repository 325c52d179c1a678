//! The supported runtimes and clusters.

use super::cluster::{kustomize, openshift};
use super::mirror_file::{MirrorError, MirrorFile};
use super::nodes::{containerd, containers, rancher};
use super::source_hosts::{Mirrors, Reach};
use crate::archive::ImageRow;
use crate::destination::{Destination, Mapping};

/// The runtime that pulls from the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorKind {
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

/// The files that make `kind` pull `images` from `destination`.
pub(crate) fn mirror_files(
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
        MirrorKind::Containerd => containerd(&mirrors),
        MirrorKind::K3s => rancher(&mirrors, "k3s"),
        MirrorKind::Rke2 => rancher(&mirrors, "rke2"),
        MirrorKind::Crio => containers(&mirrors, "CRI-O"),
        MirrorKind::Podman => containers(&mirrors, "podman, skopeo and buildah"),
        MirrorKind::Openshift => openshift(&mirrors),
        MirrorKind::Kustomize => kustomize(&mirrors, images, pin),
    }
}
