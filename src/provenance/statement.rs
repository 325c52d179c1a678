//! The statement of an export: predicate `urn:airgap-bundle:statement:1`.
//!
//! - `bundle`: the id; also the first subject
//! - `by`, `at`, `tool`: who made it, when, with which version
//! - `materials`: what it was made of, each with its digest: catalogs and locks (of the file), bundles (their id)
//! - `images`: name, source, digest, in the order of the bundle
//! - `base`: of a delta, the id of the bundle it builds on

use serde::{Deserialize, Serialize};

use crate::archive::BundleManifest;
use crate::image::{Digest, Reference};
use crate::signing::{BUNDLE_SUBJECT, Circumstances, Predicate, Statement, Subject};

/// An export's statement.
pub(crate) type ExportStatement = Statement<Exported>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    pub bundle: Digest,
    #[serde(flatten)]
    pub circumstances: Circumstances,
    pub materials: Vec<Material>,
    pub images: Vec<ExportedImage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
}

impl Predicate for Exported {
    const TYPE: &'static str = "urn:airgap-bundle:statement:1";
}

/// A material of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    pub kind: MaterialKind,
    /// The file's name without its folder, or a built-in catalog's.
    pub name: String,
    pub digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaterialKind {
    Catalog,
    Lock,
    /// A request of `import --salvage`.
    Request,
    Bundle,
}

impl std::fmt::Display for MaterialKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Catalog => "catalog",
            Self::Lock => "lock",
            Self::Request => "request",
            Self::Bundle => "bundle",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedImage {
    pub name: Reference,
    /// Where it was pulled from.
    pub source: Reference,
    pub digest: Digest,
}

impl ExportStatement {
    /// The statement about a finished bundle.
    pub fn of(
        bundle: &BundleManifest,
        id: Digest,
        circumstances: Circumstances,
        materials: Vec<Material>,
    ) -> Self {
        let images = images(bundle);
        let subject = subjects(&id, &images);
        let base = bundle.requires.as_ref().map(|requires| requires.base);
        Self::new(subject, Exported { bundle: id, circumstances, materials, images, base })
    }

    /// How it differs from `bundle`, if it does.
    pub fn contradicts(&self, bundle: &BundleManifest, id: &Digest) -> Option<&'static str> {
        if !self.is_about(id) || self.predicate.bundle != *id {
            return Some("it is about another bundle");
        }
        if self.predicate.images != images(bundle) {
            return Some("the images it lists are not those of the bundle");
        }
        if self.predicate.base != bundle.requires.as_ref().map(|requires| requires.base) {
            return Some("the base it names is not that of the bundle");
        }
        self.contradicts_itself()
    }

    /// A contradiction in it, if any.
    pub fn contradicts_itself(&self) -> Option<&'static str> {
        let expected = subjects(&self.predicate.bundle, &self.predicate.images);
        (self.subject != expected).then_some("its subjects are not the bundle and the images it lists")
    }
}

/// The bundle, and each of its images.
fn subjects(bundle: &Digest, images: &[ExportedImage]) -> Vec<Subject> {
    let mut subjects = vec![Subject::new(BUNDLE_SUBJECT, bundle)];
    subjects.extend(images.iter().map(|image| Subject::new(image.name.to_string(), &image.digest)));
    subjects
}

fn images(bundle: &BundleManifest) -> Vec<ExportedImage> {
    let row = |image: &crate::archive::ImageRow| ExportedImage {
        name: image.name.clone(),
        source: image.source.clone(),
        digest: image.digest,
    };
    bundle.images.iter().map(row).collect()
}
