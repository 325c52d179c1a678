//! Checks that a readable `bundle.json` can be trusted: no duplicates, no sizes beyond any disk, and nothing that would
//! replace something else.

use std::collections::HashSet;

use super::rows::{ArtifactRow, BlobIndex, BlobRow, ImageRow, Requires};
use crate::archive::{ArchiveError, FormatError};
use crate::image::Repository;

/// A required blob is not carried, and appears once in the list.
pub(super) fn check_required(requires: &Requires, carried: &BlobIndex<'_>) -> Result<(), String> {
    if requires.blobs.is_empty() {
        return Err("it is a delta that requires nothing".to_owned());
    }
    if !requires.blobs.is_sorted_by(|one, next| one.digest < next.digest) {
        return Err("what it requires is not sorted".to_owned());
    }
    let mut sum: u64 = 0;
    for blob in &requires.blobs {
        sum = sum.saturating_add(blob.size);
        if carried.position(&blob.digest).is_some() || sum >= 1 << 53 {
            return Err(format!("{} is required and carried, or too large", blob.digest));
        }
        if !blob.repositories.is_sorted_by(|one, next| one < next) {
            return Err(format!("the repositories of {} are not sorted", blob.digest));
        }
    }
    Ok(())
}

/// Every artifact is about something in the bundle and comes from the repository of an image. Its tag, if it has one,
/// follows from its subject, so that no artifact can take the tag of anything else.
pub(super) fn check_artifacts(
    artifacts: &[ArtifactRow],
    images: &[ImageRow],
    carried: &BlobIndex<'_>,
) -> Result<(), String> {
    let sources: HashSet<&Repository> = images.iter().map(|image| image.source.repository()).collect();
    let (mut seen, mut tags) = (HashSet::new(), HashSet::new());
    for artifact in artifacts {
        let (digest, subject) = (artifact.digest, artifact.subject);
        let is_whole = carried.blob(&digest).is_some_and(|blob| blob.size == artifact.size);
        if !is_whole || carried.position(&subject).is_none() {
            return Err(format!("artifact {digest} about {subject} is incomplete"));
        }
        if artifact.kind().is_none() {
            return Err(format!("artifact {digest} has a tag that does not follow from {subject}"));
        }
        if !sources.contains(&artifact.repository) {
            return Err(format!("artifact {digest} is from {}, but no image is", artifact.repository));
        }
        let place = &artifact.repository;
        let fresh_tag = artifact.tag.as_ref().is_none_or(|tag| tags.insert((place, tag)));
        if !fresh_tag || !seen.insert((digest, subject, place, &artifact.tag)) {
            return Err(format!("artifact {digest}, or its tag, is listed twice"));
        }
    }
    Ok(())
}

/// Maximum memory for a row and for any other value, in bytes; and the memory allowed for each byte of JSON, and in
/// addition. Rows of real bundles need less than half of it.
const ROW: u64 = 256;
const VALUE: u64 = 32;
const PER_BYTE: u64 = 4;
const FREE: u64 = 64 << 20;

/// Refuses JSON with so many small parts that it would need many times its size in memory.
pub(super) fn refuse_crumbs(json: &[u8]) -> Result<(), ArchiveError> {
    let weight = |byte: &u8| match byte {
        b'{' => ROW,
        b'[' | b',' => VALUE,
        _ => 0,
    };
    if json.iter().map(weight).sum::<u64>() <= FREE + PER_BYTE * json.len() as u64 {
        return Ok(());
    }
    let why = "it consists of more small parts than any bundle has".to_owned();
    Err(ArchiveError::Format(FormatError::Json("bundle.json", why)))
}

/// Bytes of all `blobs`; none if no file could hold them. Offsets computed from such a sum never overflow.
pub fn total(blobs: &[BlobRow]) -> Option<u64> {
    let sum = blobs.iter().try_fold(0u64, |sum, blob| sum.checked_add(blob.size))?;
    (sum < 1 << 60).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::bundle::tests::sample;
    use crate::archive::manifest::{BundleManifest, FORMAT_REVISION, RequiredBlob};
    use crate::image::{ArtifactKind, Digest, media_type};

    #[test]
    fn json_that_would_take_many_times_its_size_is_refused_unread() {
        let of = |part: &str| part.repeat((10 << 20) / part.len());
        for crumbs in ["{},", "[],", "\"\","] {
            assert!(refuse_crumbs(of(crumbs).as_bytes()).is_err(), "{crumbs}");
        }
        let rows = String::from_utf8(sample().to_bytes().unwrap()).unwrap();
        assert!(refuse_crumbs(of(&rows).as_bytes()).is_ok());
    }

    #[test]
    fn what_this_version_cannot_read_past_is_refused_by_name() {
        let bundle = BundleManifest { format_revision: FORMAT_REVISION + 1, ..sample() };
        let error = BundleManifest::from_bytes(&bundle.to_bytes().unwrap()).unwrap_err();
        assert!(matches!(error, ArchiveError::Format(FormatError::UnknownVersion(_))), "{error}");
        assert!(error.to_string().contains("formatRevision 2"), "{error}");
    }

    #[test]
    fn a_platform_that_cannot_be_typed_is_refused() {
        for text in ["linux/arm64\nx", "linux/arm64 ", "", "linux/\u{1b}[1m"] {
            let mut bundle = sample();
            bundle.images[0].platforms = vec![text.to_owned()];
            let error = BundleManifest::from_bytes(&bundle.to_bytes().unwrap()).unwrap_err().to_string();
            assert!(error.contains("a platform is not valid"), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_a_delta_requires_has_one_spelling_and_is_not_carried() {
        let blob = |name: &[u8], repositories: &[&str]| RequiredBlob {
            digest: Digest::sha256(name),
            repositories: repositories.iter().map(|text| text.parse().unwrap()).collect(),
            size: 5,
        };
        let read = |blobs: Vec<RequiredBlob>| {
            let requires = Some(Requires { base: Digest::sha256(b"base"), blobs });
            let bytes = BundleManifest { requires, ..sample() }.to_bytes().unwrap();
            BundleManifest::from_bytes(&bytes).map(|_| ()).map_err(|error| error.to_string())
        };
        let mut two = vec![blob(b"x", &["quay.io/a", "quay.io/b"]), blob(b"y", &[])];
        two.sort_by_key(|blob| blob.digest);
        assert_eq!(read(two.clone()), Ok(()));
        let huge = RequiredBlob { size: 1 << 53, ..blob(b"x", &[]) };
        for (says, blobs) in [
            ("requires nothing", Vec::new()),
            ("not sorted", two.iter().rev().cloned().collect()),
            ("not sorted", vec![two[0].clone(), two[0].clone()]),
            ("not sorted", vec![blob(b"x", &["quay.io/b", "quay.io/a"])]),
            ("required and carried", vec![blob(b"m", &[])]),
            ("too large", vec![huge]),
        ] {
            let error = read(blobs).expect_err(says);
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn an_artifact_cannot_take_a_tag_or_place_of_something_else() {
        let subject = Digest::sha256(b"m");
        let fine = ArtifactRow {
            artifact_type: None,
            digest: Digest::sha256(b"l"),
            media_type: media_type::OCI_MANIFEST.into(),
            repository: "quay.io/a/b".parse().unwrap(),
            size: 9,
            subject,
            tag: ArtifactKind::Signature.tag(&subject),
        };
        let read = |artifacts: &[ArtifactRow]| {
            let bundle = BundleManifest { artifacts: artifacts.to_vec(), ..sample() };
            BundleManifest::from_bytes(&bundle.to_bytes().unwrap()).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(read(&[fine.clone(), ArtifactRow { tag: None, ..fine.clone() }]), Ok(()));
        for (says, artifacts) in [
            ("is incomplete", vec![ArtifactRow { digest: Digest::sha256(b"?"), ..fine.clone() }]),
            ("is incomplete", vec![ArtifactRow { subject: Digest::sha256(b"?"), tag: None, ..fine.clone() }]),
            ("does not follow", vec![ArtifactRow { tag: "latest".parse().ok(), ..fine.clone() }]),
            (
                "but no image is",
                vec![ArtifactRow { repository: "quay.io/x".parse().unwrap(), ..fine.clone() }],
            ),
            ("is incomplete", vec![ArtifactRow { size: 8, ..fine.clone() }]),
            ("twice", vec![fine.clone(), fine.clone()]),
            ("twice", vec![fine.clone(), ArtifactRow { digest: subject, size: 1, ..fine.clone() }]),
        ] {
            let error = read(&artifacts).expect_err(says);
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
