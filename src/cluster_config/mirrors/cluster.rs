//! Configuration for a cluster or its manifests: OpenShift's mirror sets, kustomize's images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::mirror_file::{MirrorError, MirrorFile};
use super::source_hosts::Mirrors;
use crate::archive::ImageRow;
use crate::image::{Digest, Repository};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MirrorSet {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: BTreeMap<&'static str, Vec<SourceMirrors>>,
}

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceMirrors {
    source: String,
    mirrors: [String; 1],
    mirror_source_policy: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    api_version: &'static str,
    kind: &'static str,
    images: Vec<Renamed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renamed<'a> {
    name: String,
    new_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
}

pub(super) fn openshift(mirrors: &Mirrors<'_>) -> Result<Vec<MirrorFile>, MirrorError> {
    if let Some((host, _)) = mirrors.sources.iter().find(|(host, _)| host.as_str().contains('[')) {
        return Err(MirrorError::Host(host.clone(), "it does not accept IPv6 addresses"));
    }
    if mirrors.destination.host().as_str().contains('[') {
        return Err(MirrorError::Host(
            mirrors.destination.host().clone(),
            "it does not accept IPv6 addresses",
        ));
    }
    let sources = mirrors.sources.iter().map(|(host, below)| SourceMirrors {
        source: host.to_string(),
        mirrors: [mirrors.location(below)],
        mirror_source_policy: "NeverContactSource",
    });
    let sources: Vec<_> = sources.collect();
    let set = |kind, field| MirrorSet {
        api_version: "config.openshift.io/v1",
        kind,
        metadata: Metadata { name: "bundle" },
        spec: [(field, sources.clone())].into(),
    };
    let documents =
        [set("ImageDigestMirrorSet", "imageDigestMirrors"), set("ImageTagMirrorSet", "imageTagMirrors")];
    let mut text = "# oc apply -f this file; every node takes it over, one after the other.\n".to_owned();
    if mirrors.reach.plain_http || mirrors.reach.tls_no_verify {
        let list = "registrySources.insecureRegistries of image.config.openshift.io/cluster";
        let _ = writeln!(text, "# {} belongs into {list} too.", mirrors.destination.host());
    }
    if mirrors.reach.ca_file.is_some() {
        text += "# The registry's authority belongs into additionalTrustedCA of image.config.openshift.io/cluster.\n";
    }
    for set in documents {
        text += "---\n";
        text += &yaml(&set)?;
    }
    Ok(vec![MirrorFile { path: "mirror-sets.yaml".to_owned(), text }])
}

/// Kustomize compares names as they are written, so every usual spelling of a name is there.
pub(super) fn kustomize(
    mirrors: &Mirrors<'_>,
    images: &[&ImageRow],
    pin: bool,
) -> Result<Vec<MirrorFile>, MirrorError> {
    let mut places: BTreeMap<&Repository, (String, BTreeSet<Digest>)> = BTreeMap::new();
    for image in images.iter().filter(|image| image.artifact_type.is_none()) {
        let target = mirrors.mapping.targets(&image.name, &image.digest).swap_remove(0);
        let place = mirrors.destination.repository(&target);
        let place = place.map_err(|error| MirrorError::Write(format!("{}: {error}", image.name)))?;
        let entry =
            places.entry(image.name.repository()).or_insert_with(|| (place.to_string(), BTreeSet::new()));
        entry.1.insert(image.digest);
    }
    let mut notes = String::new();
    let mut renamed = Vec::new();
    for (repository, (place, digests)) in &places {
        // A renamed image keeps its tag, so one digest cannot stand for several tags.
        let digest = digests.first().copied().filter(|_| pin && digests.len() == 1);
        if pin && digest.is_none() {
            let _ = writeln!(notes, "# {repository} has several tags, so it is not pinned.");
        }
        renamed.extend(spellings(repository).into_iter().map(|name| Renamed {
            name,
            new_name: place,
            digest,
        }));
    }
    let component =
        Component { api_version: "kustomize.config.k8s.io/v1alpha1", kind: "Component", images: renamed };
    let text = format!(
        "# A component: in your kustomization.yaml, components: [ <the folder of this file> ].\n{notes}{}",
        yaml(&component)?
    );
    Ok(vec![MirrorFile { path: "kustomization.yaml".to_owned(), text }])
}

/// The ways a repository is written in manifests.
fn spellings(repository: &Repository) -> Vec<String> {
    let mut names = vec![repository.to_string()];
    if repository.host().is_docker_hub() {
        names.push(repository.path().to_owned());
        if let Some(short) = repository.path().strip_prefix("library/") {
            names.extend([format!("{}/{short}", repository.host()), short.to_owned()]);
        }
    }
    names
}

fn yaml(value: &impl Serialize) -> Result<String, MirrorError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|error| MirrorError::Write(error.to_string()))
}
