//! Recognises signatures and SBOMs among the artifacts of an image, by the types that tools give them.

use crate::archive::ArtifactRow;
use crate::image::{Annotations, ArtifactKind, ParsedManifest, media_type};

/// Signatures that name their subject: notation's, and cosign's before its bundles.
const SIGNATURE_TYPES: [&str; 2] =
    ["application/vnd.cncf.notary.signature", "application/vnd.dev.cosign.artifact.sig.v1+json"];
/// The type that cosign gives every SBOM.
const COSIGN_SBOM: &str = "application/vnd.dev.cosign.artifact.sbom.v1+json";
/// Prefixes of the predicates of in-toto statements with SBOMs.
const SBOM_PREDICATES: [&str; 2] = ["https://spdx.dev/Document", "https://cyclonedx.org/"];
/// Prefix of the predicate of cosign 3's signatures.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/";
const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Keys of annotations that name a predicate: of sigstore's bundles, `BuildKit`, and cosign.
const PREDICATE_KEYS: [&str; 3] =
    ["dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type", "predicateType"];

/// Whether an artifact counts as a signature or an SBOM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Means {
    pub(super) signature: bool,
    pub(super) sbom: bool,
}

impl Means {
    /// Of an artifact and its manifest.
    pub(super) fn of(row: &ArtifactRow, manifest: &ParsedManifest) -> Self {
        match row.kind() {
            Some(ArtifactKind::Signature) => Self { signature: true, sbom: false },
            Some(ArtifactKind::Sbom) => Self { signature: false, sbom: true },
            Some(ArtifactKind::Attestation) => Self::of_predicates(manifest),
            Some(ArtifactKind::Referrer) => {
                let own = manifest.effective_artifact_type().unwrap_or_default();
                let mut means = Self::of_predicates(manifest);
                let names_none =
                    !all(manifest).any(|own| PREDICATE_KEYS.iter().any(|key| own.get(key).is_some()));
                means.signature |= SIGNATURE_TYPES.contains(&own)
                    // A bundle of a plain signature has no predicate.
                    || (own.starts_with(SIGSTORE_BUNDLE) && names_none);
                means.sbom |= own == COSIGN_SBOM || media_type::SBOMS.contains(&own);
                means
            }
            None => Self::default(),
        }
    }

    /// Of a manifest of attestations, from what it says they are about.
    pub(super) fn of_predicates(manifest: &ParsedManifest) -> Self {
        let predicates = all(manifest).flat_map(|own| PREDICATE_KEYS.iter().filter_map(|key| own.get(key)));
        let mut means = Self::default();
        for predicate in predicates {
            means.signature |= predicate.starts_with(SIGNATURE_PREDICATE);
            means.sbom |= SBOM_PREDICATES.iter().any(|known| predicate.starts_with(known));
        }
        means
    }

    pub(super) fn add(&mut self, other: Self) {
        self.signature |= other.signature;
        self.sbom |= other.sbom;
    }

    /// What both have.
    pub(super) fn and(self, other: Self) -> Self {
        Self { signature: self.signature && other.signature, sbom: self.sbom && other.sbom }
    }
}

/// The annotations of a manifest and of its layers.
fn all(manifest: &ParsedManifest) -> impl Iterator<Item = &Annotations> {
    std::iter::once(&manifest.annotations).chain(manifest.layers.iter().map(|layer| &layer.annotations))
}
