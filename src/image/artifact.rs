//! Manifests about manifests: signatures, attestations, SBOMs and other referrers, and how they are found.
//!
//! Two worlds (OCI distribution-spec 1.1, "Listing referrers"; cosign's tags): a manifest with a `subject`, listed by
//! the referrers API or by the fallback tag `sha256-<hex>`; and a tag made from the digest, `sha256-<hex>.sig`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::{Algorithm, Digest, Tag};

/// What a manifest is to the one it is about, by the way it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// Tag `sha256-<hex>.sig`.
    Signature,
    /// Tag `sha256-<hex>.att`.
    Attestation,
    /// Tag `sha256-<hex>.sbom`.
    Sbom,
    /// Names its subject itself.
    Referrer,
}

impl ArtifactKind {
    pub const ALL: [Self; 4] = [Self::Signature, Self::Attestation, Self::Sbom, Self::Referrer];

    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Signature => Some(".sig"),
            Self::Attestation => Some(".att"),
            Self::Sbom => Some(".sbom"),
            Self::Referrer => None,
        }
    }

    /// The tag of the artifact of this kind about `subject`; none for referrers, and for digests no such tag holds.
    pub fn tag(self, subject: &Digest) -> Option<Tag> {
        // Tags end at 128 characters, which a sha512 digest takes alone.
        let suffix = self.suffix().filter(|_| subject.algorithm() == Algorithm::Sha256)?;
        format!("sha256-{}{suffix}", subject.hex()).parse().ok()
    }

    /// What an artifact about `subject` is that has `tag`; none where the tag does not follow from the subject.
    pub fn of(subject: &Digest, tag: Option<&Tag>) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| match tag {
            Some(tag) => kind.tag(subject).as_ref() == Some(tag),
            None => *kind == Self::Referrer,
        })
    }

    /// One of them, and several.
    fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Signature => ("signature", "signatures"),
            Self::Attestation => ("attestation", "attestations"),
            Self::Sbom => ("SBOM", "SBOMs"),
            Self::Referrer => ("referrer", "referrers"),
        }
    }
}

/// How many artifacts of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArtifactCounts([usize; ArtifactKind::ALL.len()]);

impl ArtifactCounts {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|n| *n == 0)
    }

    fn each(self) -> impl Iterator<Item = (ArtifactKind, usize)> {
        ArtifactKind::ALL.into_iter().zip(self.0).filter(|(_, n)| *n > 0)
    }
}

impl Extend<ArtifactKind> for ArtifactCounts {
    fn extend<I: IntoIterator<Item = ArtifactKind>>(&mut self, kinds: I) {
        for kind in kinds {
            self.0[kind as usize] += 1;
        }
    }
}

/// `2 signatures and 1 SBOM`.
impl fmt::Display for ArtifactCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, n)) in self.each().enumerate() {
            let (one, several) = kind.nouns();
            write!(f, "{}{n} {}", if at > 0 { " and " } else { "" }, if n == 1 { one } else { several })?;
        }
        Ok(())
    }
}

impl Serialize for ArtifactCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.each().map(|(kind, n)| (kind.nouns().1.to_lowercase(), n)))
    }
}

/// The tag that lists the referrers of `subject` where a registry does not (distribution-spec, "Referrers Tag Schema"):
/// the algorithm and 64 characters of the hex.
pub fn referrers_tag(subject: &Digest) -> Tag {
    let tag = format!("{}-{}", subject.algorithm().name(), &subject.hex()[..64]);
    tag.parse().expect("71 characters of lowercase letters, digits and one dash are a tag")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_follow_from_the_subject_and_nothing_else_counts() {
        let (one, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        for kind in [ArtifactKind::Signature, ArtifactKind::Attestation, ArtifactKind::Sbom] {
            let tag = kind.tag(&one).unwrap();
            assert_eq!(ArtifactKind::of(&one, Some(&tag)), Some(kind));
            assert_eq!(ArtifactKind::of(&other, Some(&tag)), None);
        }
        assert_eq!(ArtifactKind::of(&one, None), Some(ArtifactKind::Referrer));
        assert_eq!(ArtifactKind::of(&one, Some(&Tag::latest())), None);
        let long = Digest::of(Algorithm::Sha512, b"1");
        assert_eq!(ArtifactKind::Signature.tag(&long), None);
        assert_eq!(referrers_tag(&long).as_str().len(), "sha512-".len() + 64);
        assert_eq!(referrers_tag(&one).as_str(), format!("sha256-{}", one.hex()));
    }

    #[test]
    fn counts_are_told_in_words() {
        let mut counts = ArtifactCounts::default();
        assert!(counts.is_empty() && counts.to_string().is_empty());
        counts.extend([ArtifactKind::Sbom, ArtifactKind::Signature, ArtifactKind::Signature]);
        assert_eq!(counts.to_string(), "2 signatures and 1 SBOM");
        assert_eq!(serde_json::to_value(counts).unwrap(), json!({ "signatures": 2, "sboms": 1 }));
    }
}
