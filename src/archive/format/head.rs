//! The head of a bundle: members 1 to 7 as one run of bytes, in compressed frames of at most 1 MiB of content.
//!
//! [`generate`] makes the run; the writer compresses it, and the reader compares it with the run that it read.

use super::manifest_source::Manifests;
use super::sink::Sink;
use super::sums::Sums;
use super::{frame, member, oci_index};
use crate::archive::manifest::{BundleManifest, Group, Profile};
use crate::archive::{ArchiveError, CompactHead, FormatError};
use crate::image::{Algorithm, Digest};

/// Paths of the small members, in order.
pub(crate) const OCI_LAYOUT: &str = "oci-layout";
pub(crate) const INDEX: &str = "index.json";
pub(crate) const BUNDLE: &str = "bundle.json";
pub(crate) const SIGNATURE: &str = "bundle.json.sig";
pub(crate) const SHA256SUMS: &str = "SHA256SUMS";
pub(crate) const SHA512SUMS: &str = "SHA512SUMS";
pub(crate) const DOCKER: &str = "manifest.json";
/// Only in a compact bundle.
pub(crate) const COMPACT: &str = "compact.json";

/// Members for other tools that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadNotes {
    /// There is no `manifest.json`, so `docker load` and `podman load` do not work.
    pub no_docker_manifest: bool,
}

/// `bundle.json`, which is large if there are many images: newly made, or as part of a head.
pub(crate) struct Own<'a> {
    /// In bytes.
    pub(crate) len: u64,
    pub(crate) id: Digest,
    /// Passes its bytes to the sink.
    pub(crate) put: &'a dyn Fn(&mut Sink<'_>) -> Result<(), ArchiveError>,
}

/// Size and sha256 of a small member, if it exists.
pub(crate) type Sum = Option<(u64, Digest)>;

/// The members before the blobs, which follow from `bundle.json` and the manifests it pins.
pub(crate) struct Derived<'a> {
    index: Vec<u8>,
    docker: Option<Vec<u8>>,
    sha256: Sums<'a>,
    sha512: Sums<'a>,
}

impl<'a> Derived<'a> {
    /// `id` is the sha256 of `bundle.json`, and `signature` the content of `bundle.json.sig`.
    pub(crate) fn of(
        bundle: &'a BundleManifest,
        id: Digest,
        signature: Option<&[u8]>,
        manifests: &dyn Manifests,
    ) -> Result<Self, ArchiveError> {
        let index = oci_index::index_json(bundle)?;
        let sha512 = Sums::of_blobs(bundle, Algorithm::Sha512);
        let docker = oci_index::docker_manifest(bundle, manifests)?;
        let mut sha256 = Sums::of_blobs(bundle, Algorithm::Sha256);
        sha256.add(OCI_LAYOUT, oci_index::OCI_LAYOUT);
        sha256.add(INDEX, &index);
        sha256.add_digest(BUNDLE, id);
        if let Some(signature) = signature {
            sha256.add(SIGNATURE, signature);
        }
        if !sha512.is_empty() {
            sha256.add_digest(SHA512SUMS, sha512.digest()?);
        }
        if let Some(docker) = &docker {
            sha256.add(DOCKER, docker);
        }
        Ok(Self { index, docker, sha256, sha512 })
    }

    /// Each member with its size and sha256; none for a member that this bundle does not have.
    pub(crate) fn members(&self) -> Result<[(&'static str, Sum); 5], ArchiveError> {
        let whole = |bytes: &[u8]| (bytes.len() as u64, Digest::sha256(bytes));
        let sha512 =
            if self.sha512.is_empty() { None } else { Some((self.sha512.len(), self.sha512.digest()?)) };
        Ok([
            (OCI_LAYOUT, Some(whole(oci_index::OCI_LAYOUT))),
            (INDEX, Some(whole(&self.index))),
            (SHA256SUMS, Some((self.sha256.len(), self.sha256.digest()?))),
            (SHA512SUMS, sha512),
            (DOCKER, self.docker.as_deref().map(whole)),
        ])
    }
}

/// Writes members 1 to 7, headers and padding included, to `sink`.
pub(crate) fn generate(
    bundle: &BundleManifest,
    own: &Own<'_>,
    signature: Option<&[u8]>,
    references: &CompactHead,
    manifests: &dyn Manifests,
    sink: &mut Sink<'_>,
) -> Result<HeadNotes, ArchiveError> {
    let derived = match bundle.profile {
        Profile::Layout => Some(Derived::of(bundle, own.id, signature, manifests)?),
        // Another tool would take an index whose blobs are not there for a set without images.
        Profile::Compact => None,
    };
    put(OCI_LAYOUT, oci_index::OCI_LAYOUT, sink)?;
    if let Some(derived) = &derived {
        put(INDEX, &derived.index, sink)?;
    }
    put_long(BUNDLE, own.len, own.put, sink)?;
    if let Some(signature) = signature {
        put(SIGNATURE, signature, sink)?;
    }
    let Some(Derived { docker, sha256, sha512, .. }) = derived else {
        put(COMPACT, &compact_json(references)?, sink)?;
        put_small_blobs(bundle, manifests, sink)?;
        return Ok(HeadNotes { no_docker_manifest: true });
    };
    put_long(SHA256SUMS, sha256.len(), &|sink| sha256.put(sink), sink)?;
    if !sha512.is_empty() {
        put_long(SHA512SUMS, sha512.len(), &|sink| sha512.put(sink), sink)?;
    }
    if let Some(docker) = &docker {
        put(DOCKER, docker, sink)?;
    }
    put_small_blobs(bundle, manifests, sink)?;
    Ok(HeadNotes { no_docker_manifest: docker.is_none() })
}

/// The manifests and small configs.
fn put_small_blobs(
    bundle: &BundleManifest,
    manifests: &dyn Manifests,
    sink: &mut Sink<'_>,
) -> Result<(), ArchiveError> {
    for blob in bundle.blobs.iter().take_while(|blob| blob.group() == Group::Head) {
        let content = manifests.manifest(&blob.digest)?;
        if content.len() as u64 != blob.size {
            return Err(ArchiveError::Invariant("a manifest has another size than the plan says"));
        }
        put(&blob.digest.layout_path(), &content, sink)?;
    }
    Ok(())
}

/// `compact.json`: the revision of the form of the blobs, and what they refer to.
#[derive(serde::Serialize, serde::Deserialize)]
struct CompactJson {
    #[serde(flatten)]
    head: CompactHead,
    revision: u32,
}

fn compact_json(head: &CompactHead) -> Result<Vec<u8>, ArchiveError> {
    let json = CompactJson { head: head.clone(), revision: crate::compact::REVISION };
    let mut json =
        serde_json::to_vec(&json).map_err(|_| ArchiveError::Invariant("compact.json is not JSON"))?;
    json.push(b'\n');
    Ok(json)
}

/// What the blobs refer to. The `compact.json` of a later version is refused.
pub(crate) fn read_compact(json: &[u8]) -> Result<CompactHead, ArchiveError> {
    let read: CompactJson = serde_json::from_slice(json)
        .map_err(|error| ArchiveError::Format(FormatError::Json(COMPACT, error.to_string())))?;
    if read.revision > crate::compact::REVISION {
        let version = format!("compact revision {}", read.revision);
        return Err(ArchiveError::Format(FormatError::UnknownVersion(version)));
    }
    Ok(read.head)
}

fn put(path: &str, content: &[u8], sink: &mut Sink<'_>) -> Result<(), ArchiveError> {
    put_long(path, content.len() as u64, &|sink| sink(content), sink)
}

/// A member of `size` bytes that are not all in memory at the same time.
fn put_long(
    path: &str,
    size: u64,
    content: &dyn Fn(&mut Sink<'_>) -> Result<(), ArchiveError>,
    sink: &mut Sink<'_>,
) -> Result<(), ArchiveError> {
    sink(&member::header(path, size))?;
    content(sink)?;
    let zeros = [0; 512];
    sink(&zeros[..usize::try_from(member::padding(size)).unwrap_or(0)])
}

/// Lengths of the frames of a head: file and content bytes of each.
pub(crate) type FrameLens = Vec<(u32, u32)>;

/// Compresses a run into frames of 1 MiB of content and passes each to `out`.
pub(crate) struct HeadEncoder<'a> {
    pending: Vec<u8>,
    frames: FrameLens,
    out: &'a mut Sink<'a>,
}

impl<'a> HeadEncoder<'a> {
    pub(crate) fn new(out: &'a mut Sink<'a>) -> Self {
        Self { pending: Vec::with_capacity(frame::HEAD_FRAME_CONTENT), frames: Vec::new(), out }
    }

    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), ArchiveError> {
        while !piece.is_empty() {
            let room = frame::HEAD_FRAME_CONTENT - self.pending.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.pending.extend_from_slice(now);
            piece = later;
            if self.pending.len() == frame::HEAD_FRAME_CONTENT {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<FrameLens, ArchiveError> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok(self.frames)
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        let compressed = frame::compress_head(&self.pending)?;
        let lens = u32::try_from(compressed.len()).ok().zip(u32::try_from(self.pending.len()).ok());
        self.frames.push(lens.ok_or(ArchiveError::Invariant("a head frame over 4 GiB"))?);
        self.pending.clear();
        (self.out)(&compressed)
    }
}

impl std::fmt::Debug for HeadEncoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadEncoder").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}
