//! Recognises files of other tools, and says what to do with each.
//!
//! They name images in their own ways: by patterns of tags, by charts that have to be rendered, by other files. Images
//! found in a part of them would look like all of them, so none is taken from such a file.

use std::path::Path;

use super::file_names::{file_of, folder_of, is_kustomization};
use super::node::{self, Node, Object, Value};
use super::text::{Text, Watch};
use super::walk::Sort;
use crate::app::text::typed;

/// A file of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Hauler,
    SkopeoSync,
    Regsync,
    OcMirror,
    Zarf,
    /// `Images.lock` of `VMware`'s distribution tooling for Helm (`dt`).
    ImagesLock,
    ImgpkgLock,
    ImgpkgBundle,
    Compose,
    Kustomization,
    Chart,
    Manifests,
    /// A lock that `bundle catalog lock` wrote.
    Lock,
    /// Tables without a key that a catalog has: Helm values, mostly.
    Other,
}

/// Keys of a catalog, one of which every catalog has.
const OF_CATALOGS: [&str; 4] = ["images", "name", "variables", "registryOverride"];
/// What a registry of a file for `skopeo sync` may say.
const OF_SKOPEO: [&str; 3] = ["images", "images-by-tag-regex", "images-by-semver"];

impl Foreign {
    /// The kind of `text`; none for a catalog and for text that is not YAML. `file` is its name in messages.
    pub fn of(text: &[u8], file: &str) -> Option<Self> {
        let (mut text, watch) = (Text::new(text), Watch::default());
        let mut found = None;
        while let Ok(Some(first)) = text.next_document(&watch) {
            let read = node::read_document(&mut text, first, &watch, &mut |object| {
                found = found.or_else(|| Self::of_document(&object, file));
            });
            if found.is_some() || read.is_err() {
                break;
            }
        }
        found
    }

    fn of_document(object: &Object, file: &str) -> Option<Self> {
        let node = &object.node;
        let text = |key| node.text_of(key).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if let Some(own) = Self::of_object(node, version, kind) {
            return Some(own);
        }
        let is_kustomize = version.starts_with("kustomize.config.k8s.io/")
            || (is_kustomization(file) || node.get("resources").is_some_and(|node| node.list().is_some()))
                && kind.is_empty();
        let Value::Map(pairs) = &node.value else { return None };
        if is_kustomize {
            Some(Self::Kustomization)
        } else if !kind.is_empty() && !version.is_empty() || object.list.is_some() {
            Some(Self::Manifests)
        } else if matches!(version, "v1" | "v2") && node.get("name").is_some() {
            Some(Self::Chart)
        } else if Sort::is_compose(node) {
            Some(Self::Compose)
        } else if node.get("lockVersion").is_some() {
            Some(Self::Lock)
        } else {
            // A catalog with a mistake in its only key has a list there.
            let is_other = object.place.is_empty()
                && pairs.iter().any(|pair| matches!(pair.value.value, Value::Map(_)))
                && !pairs.iter().any(|pair| OF_CATALOGS.contains(&pair.key.as_str()));
            is_other.then_some(Self::Other)
        }
    }

    /// Whether the images cannot be determined from the file alone.
    pub(super) fn of_object(node: &Node, version: &str, kind: &str) -> Option<Self> {
        let group = version.split('/').next().unwrap_or_default();
        match (group, kind) {
            ("content.hauler.cattle.io" | "collection.hauler.cattle.io", _) => Some(Self::Hauler),
            ("mirror.openshift.io", "ImageSetConfiguration" | "DeleteImageSetConfiguration") => {
                Some(Self::OcMirror)
            }
            (_, "ZarfPackageConfig" | "ZarfInitConfig") => Some(Self::Zarf),
            ("imgpkg.carvel.dev", "ImagesLock") => Some(Self::ImgpkgLock),
            ("imgpkg.carvel.dev", "BundleLock") => Some(Self::ImgpkgBundle),
            (_, "ImagesLock") => Some(Self::ImagesLock),
            (_, "") if is_regsync(node) => Some(Self::Regsync),
            (_, "") if is_skopeo_sync(node) => Some(Self::SkopeoSync),
            _ => None,
        }
    }

    /// Whether the file names all of its images, so that they can be found.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::ImagesLock | Self::ImgpkgLock)
    }

    /// The kind of file, as words for a sentence.
    pub fn what(self) -> &'static str {
        match self {
            Self::Hauler => "a manifest of hauler",
            Self::SkopeoSync => "a file for skopeo sync",
            Self::Regsync => "a configuration of regsync",
            Self::OcMirror => "an image set configuration of oc-mirror",
            Self::Zarf => "a package definition of Zarf",
            Self::ImagesLock => "an Images.lock of dt",
            Self::ImgpkgLock => "an images lock of imgpkg",
            Self::ImgpkgBundle => "a bundle lock of imgpkg",
            Self::Compose => "a Compose file",
            Self::Kustomization => "a kustomization",
            Self::Chart => "the Chart.yaml of a Helm chart",
            Self::Manifests => "a file of Kubernetes manifests",
            Self::Lock => "the lock of a catalog",
            Self::Other => "a file of values, or other YAML",
        }
    }

    /// The way from the file called `file` to a bundle, with a command that can be typed.
    pub fn way(self, file: &str) -> String {
        let (folder, file) = (folder_of(file), file_of(file));
        let (folder, file) = (typed(Path::new(folder)), typed(Path::new(file)));
        let export = "bundle export - -o OUT.tar.zst";
        match self {
            Self::Hauler => format!(
                "list its images: yq '.spec.images[].name' {file} | {export}; find those of its charts with bundle \
                 catalog discover --chart CHART --repo URL"
            ),
            Self::SkopeoSync => format!(
                "write each of its images as REGISTRY/NAME:TAG on a line of its own, and what its patterns match \
                 (skopeo list-tags docker://REGISTRY/NAME); then {export}"
            ),
            Self::Regsync => format!(
                "list its images: yq '.sync[] | select(.type == \"image\") | .source' {file} | {export}; list the tags \
                 of its repositories with regctl tag ls"
            ),
            Self::OcMirror => format!(
                "let oc-mirror list what it would copy (oc mirror --config {file} --dry-run …), then: cut -d= -f1 \
                 mapping.txt | {export}"
            ),
            Self::Zarf => format!("list its images: yq '.components[].images[]' {file} | {export}"),
            Self::ImagesLock | Self::ImgpkgLock => {
                format!("list its images: yq '.images[].image' {file} | {export}")
            }
            Self::ImgpkgBundle => format!(
                "fetch the bundle that it names (imgpkg pull --lock {file} -o DIR), then: yq '.images[].image' \
                 DIR/.imgpkg/images.yml | {export}"
            ),
            Self::Compose => format!("list its images: docker compose -f {file} config --images | {export}"),
            Self::Kustomization => {
                format!("render it: kubectl kustomize {folder} | bundle catalog discover - -o CATALOG.yaml")
            }
            Self::Chart => {
                format!("bundle catalog discover --chart {folder} -o CATALOG.yaml finds the chart's images")
            }
            Self::Manifests => {
                format!("bundle catalog discover {file} -o CATALOG.yaml makes a catalog of them")
            }
            Self::Lock => format!("bundle export --locked={file} exports what it pins"),
            Self::Other => format!("bundle catalog discover {file} finds the images of manifests and values"),
        }
    }
}

/// `sync: [{source: …, target: …, type: repository}]`.
fn is_regsync(node: &Node) -> bool {
    let items = node.get("sync").and_then(Node::list).unwrap_or_default();
    !items.is_empty() && items.iter().all(|item| item.get("source").is_some() && item.get("target").is_some())
}

/// Registries, and for each of them the images that are copied.
fn is_skopeo_sync(node: &Node) -> bool {
    let Value::Map(registries) = &node.value else { return false };
    let is_host = |key: &str| key.contains(['.', ':']) || key == "localhost";
    !registries.is_empty()
        && registries.iter().all(|registry| {
            let Value::Map(says) = &registry.value.value else { return false };
            let is_of_skopeo = |key: &str| OF_SKOPEO.contains(&key);
            is_host(&registry.key)
                && says
                    .iter()
                    .any(|pair| is_of_skopeo(&pair.key) && matches!(pair.value.value, Value::Map(_)))
        })
}
