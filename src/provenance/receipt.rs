//! The receipt of an import: predicate `urn:airgap-bundle:receipt:1`.
//!
//! - `bundle`: the id, the first subject too; none for a layout of another tool
//! - `by`, `at`, `tool`; `destination`: the registry, with its path
//! - `images`: each image of the bundle with its target, the digest that was read back there, what the tag named before
//!   (`replaced`), and what became of it: `done`, `already-there`, `skipped`, `failed`, `not-tried`
//! - `blobs`: layers that the destination has now, by digest, with sizes and the repositories (by the names that charts
//!   use) that have them: what a delta may leave out
//!
//! Subjects are the bundle and every image that is there.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::archive::manifest::{RequiredBlob, Requires};
use crate::archive::{ArchiveError, BundleManifest, ImageRow, Manifests, roots};
use crate::image::{Digest, Reference};
use crate::plan::KnownBlobs;
use crate::signing::{BUNDLE_SUBJECT, Circumstances, Predicate, Statement, Subject};

/// An import's receipt.
pub(crate) type Receipt = Statement<Arrived>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrived {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    #[serde(flatten)]
    pub circumstances: Circumstances,
    pub destination: String,
    pub images: Vec<ArrivedImage>,
    pub blobs: Vec<RequiredBlob>,
}

impl Predicate for Arrived {
    const TYPE: &'static str = "urn:airgap-bundle:receipt:1";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrivedImage {
    pub name: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The digest that was read back, or that of the bundle if the image is not there.
    pub digest: Digest,
    /// The digest that the tag named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Digest>,
    pub state: ImageState,
}

/// The result for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    Done,
    AlreadyThere,
    /// Left alone on request: filtered out, or its tag has other content.
    Skipped,
    Failed,
    NotTried,
}

impl ImageState {
    fn is_there(self) -> bool {
        matches!(self, Self::Done | Self::AlreadyThere)
    }
}

/// The bundle, if it has an id, and each image that is there.
fn subjects(bundle: Option<&Digest>, images: &[ArrivedImage]) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = bundle.iter().map(|id| Subject::new(BUNDLE_SUBJECT, id)).collect();
    let there = images.iter().filter(|image| image.state.is_there());
    subjects.extend(there.map(|image| {
        let name = image.target.clone().unwrap_or_else(|| image.name.to_string());
        Subject::new(name, &image.digest)
    }));
    subjects
}

impl Receipt {
    /// Of an import whose `images` are those of `bundle`, in its order.
    pub fn of(
        bundle: &BundleManifest,
        id: Option<Digest>,
        manifests: &dyn Manifests,
        destination: String,
        images: Vec<ArrivedImage>,
        circumstances: Circumstances,
    ) -> Result<Self, ArchiveError> {
        let mut stock = KnownBlobs::default();
        for (image, root) in images.iter().zip(roots(bundle)).filter(|(image, _)| image.state.is_there()) {
            stock.add(image.name.repository(), &[root], manifests)?;
        }
        let blobs = stock.blobs();
        let subject = subjects(id.as_ref(), &images);
        Ok(Self::new(subject, Arrived { bundle: id, circumstances, destination, images, blobs }))
    }

    /// A contradiction in it, if any.
    pub fn contradicts_itself(&self) -> Option<&'static str> {
        let expected = subjects(self.predicate.bundle.as_ref(), &self.predicate.images);
        (self.subject != expected).then_some("its subjects are not the bundle and the images that are there")
    }

    fn is_of(&self, id: &Digest) -> bool {
        self.is_about(id) && self.predicate.bundle == Some(*id)
    }

    /// What it says is there of bundle `id`: the destination, the image, and the digest that was read back.
    pub fn image_uploads(&self, id: &Digest) -> impl Iterator<Item = (&str, &Reference, Digest)> {
        let images = if self.is_of(id) { self.predicate.images.as_slice() } else { &[] };
        let there = images.iter().filter(|row| row.state.is_there());
        there.map(|row| (self.predicate.destination.as_str(), &row.name, row.digest))
    }

    /// What of the bundle it does not vouch for, one a line, beside what is known to have arrived: several machines that
    /// shared an import have a receipt each.
    pub fn lacks(
        &self,
        bundle: &BundleManifest,
        id: &Digest,
        arrived: &HashSet<(&str, &Reference, Digest)>,
    ) -> Vec<String> {
        if !self.is_of(id) {
            return vec!["it is about another bundle".to_owned()];
        }
        let destination = self.predicate.destination.as_str();
        let rows: HashMap<&Reference, &ArrivedImage> =
            self.predicate.images.iter().map(|image| (&image.name, image)).collect();
        let lack = |image: &ImageRow| match rows.get(&image.name) {
            None => Some(format!("{} is not in it", image.name)),
            Some(row) if !row.state.is_there() => {
                let by_another = arrived.contains(&(destination, &image.name, image.digest));
                (!by_another).then(|| format!("{} did not arrive", image.name))
            }
            Some(row) if row.digest != image.digest => {
                Some(format!("{} arrived as {}", image.name, row.digest))
            }
            Some(_) => None,
        };
        let mut lacks: Vec<String> = bundle.images.iter().filter_map(lack).collect();
        if lacks.is_empty() {
            lacks.extend(self.contradicts_itself().map(str::to_owned));
        }
        lacks
    }

    /// The base for a delta that this receipt is, which stands as `json` in its file. It is called after the bundle that
    /// arrived, since that brings what is missing; where the bundle has no id, after the receipt.
    pub fn base(self, json: &[u8]) -> Requires {
        let mut stock = KnownBlobs::default();
        stock.add_required(&self.predicate.blobs);
        Requires { base: self.predicate.bundle.unwrap_or_else(|| Digest::sha256(json)), blobs: stock.blobs() }
    }
}
