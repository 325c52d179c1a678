//! The interface between the registry's routes and its storage.
//!
//! Implementations are plain blocking code: the routes call every method on a blocking thread, never on the event
//! loop. Names and digests arrive validated, so they are safe in paths. What is read is whole or an error:
//! a store never shows half a blob. No method may need memory in proportion to a blob.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::str::FromStr;

use super::limits::Peer;
use super::listing::{Listed, Page, Referrers};
use crate::image::{
    Algorithm, Descriptor, Digest, HostName, ParsedManifest, RawManifest, ReferenceError, Repository, Tag,
    media_type,
};

/// The largest manifest that is taken or served, in bytes. Every registry in use has this limit or a higher one.
pub const MAX_MANIFEST: u64 = 4 << 20;

/// The path of a repository (`<name>` in the distribution-spec), without a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ReferenceError;

    fn from_str(path: &str) -> Result<Self, ReferenceError> {
        // The parser of names needs a host; any one but Docker Hub's, which has rules of its own.
        let host: HostName = "localhost".parse()?;
        Ok(Self(Repository::new(host, path)?.path().to_owned()))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a manifest in a request: `<reference>` in the distribution-spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagOrDigest {
    Tag(Tag),
    Digest(Digest),
}

/// What a manifest refers to, and cannot be pulled without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    pub blobs: Vec<Digest>,
    pub manifests: Vec<Digest>,
}

impl Needed {
    pub(super) fn of(parsed: &ParsedManifest) -> Self {
        // Foreign layers are fetched from where their urls say.
        let foreign = |blob: &Descriptor| media_type::is_foreign(&blob.media_type) && !blob.urls.is_empty();
        let blobs = parsed.blobs().filter(|blob| !foreign(blob)).map(|blob| blob.digest);
        // An index may list blobs, as build caches do.
        let (manifests, listed): (Vec<_>, Vec<_>) =
            parsed.manifests.iter().partition(|child| media_type::is_manifest(&child.media_type));
        let listed = listed.into_iter().map(|child| child.digest);
        Self {
            blobs: once(blobs.chain(listed)),
            manifests: once(manifests.into_iter().map(|child| child.digest)),
        }
    }
}

/// Each digest once, in order: a manifest of 4 MiB has room for the same one a hundred thousand times.
fn once(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    digests.filter(|digest| seen.insert(*digest)).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("repository {0} is not known to this registry")]
    NameUnknown(RepositoryName),
    #[error("manifest {0} is not in this repository")]
    ManifestUnknown(String),
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    #[error("{} is not in this repository", .0.first().map_or_else(String::new, ToString::to_string))]
    Missing(Vec<Digest>),
    #[error("{digest} is still needed: {by}")]
    InUse { digest: Box<Digest>, by: String },
    #[error("the upload is not known to this repository: it ended, or was never started")]
    UploadUnknown,
    #[error("the content has digest {found}, not {stated}")]
    DigestMismatch { stated: Box<Digest>, found: Box<Digest> },
    #[error("the upload has {size} bytes, and the next chunk must start there")]
    OutOfOrder { size: u64 },
    #[error("this client has {uploads} uploads open, and no more are accepted until some of them end")]
    TooManyUploads { uploads: usize },
    #[error("{uploads} uploads are open, and no more are accepted until some of them end")]
    Busy { uploads: usize },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a registry needs to be read from. Lists are sorted by byte value.
pub trait Store: Send + Sync {
    /// Every repository that has a manifest.
    fn repositories(&self, page: &Page) -> Result<Listed, StoreError>;

    /// The tags of a repository; `NameUnknown` if there is no such repository.
    fn tags(&self, repository: &RepositoryName, page: &Page) -> Result<Listed, StoreError>;

    /// The manifest's exact bytes.
    fn manifest(&self, repository: &RepositoryName, wanted: &TagOrDigest) -> Result<RawManifest, StoreError>;

    /// The manifests of the repository whose `subject` is `digest` (see [`RawManifest::as_referrer`]), as many as fit on
    /// a page after the one that ended with `after`; none is no error.
    fn referrers(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        after: Option<&Digest>,
    ) -> Result<Referrers, StoreError>;

    /// The size in bytes of a blob that is visible in this repository.
    fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, StoreError>;

    /// Whether parts of blobs are given out. Where not, each request for one is answered with the whole.
    fn has_parts(&self) -> bool {
        true
    }

    /// The bytes of `range` of a blob, to be read in order. `range` lies within the blob's size. Each `read` happens
    /// on a blocking thread, with a buffer of [`super::CHUNK`] bytes; an early end or an error breaks off the answer.
    /// The digest of a whole blob is compared by the caller; what can be checked of a part is checked here.
    fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, StoreError>;

    /// The write half; `None` makes every write request a 405.
    fn writable(&self) -> Option<&dyn WritableStore> {
        None
    }
}

/// The write half of a [`Store`].
pub trait WritableStore: Send + Sync {
    /// Opens an upload and returns its id. `algorithm` is a hint what to hash while bytes arrive; `client` is who it
    /// counts for.
    fn start_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
        client: Option<Peer>,
    ) -> Result<String, StoreError>;

    /// How many bytes of the upload are kept.
    fn upload_size(&self, repository: &RepositoryName, upload: &str) -> Result<u64, StoreError>;

    /// Appends `bytes` at `offset`, which must be the upload's size (else `OutOfOrder`), and returns the new size.
    fn append(
        &self,
        repository: &RepositoryName,
        upload: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, StoreError>;

    /// Ends the upload: the blob is in the repository, durably, or (on a `DigestMismatch`) the upload is gone.
    fn finish_upload(
        &self,
        repository: &RepositoryName,
        upload: &str,
        digest: &Digest,
    ) -> Result<(), StoreError>;

    /// Drops abandoned uploads; called now and then.
    fn tidy(&self);

    fn cancel_upload(&self, repository: &RepositoryName, upload: &str) -> Result<(), StoreError>;

    /// Makes the blob of `from` visible in `repository` without a copy; `BlobUnknown` where `from` lacks it.
    fn mount(
        &self,
        repository: &RepositoryName,
        from: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StoreError>;

    /// Stores a manifest whose content has been checked, and points `tag` at it. `Missing` where the repository lacks
    /// something of `needed`; nothing of it is removed before the manifest is there.
    fn put_manifest(
        &self,
        repository: &RepositoryName,
        manifest: &RawManifest,
        needed: &Needed,
        tag: Option<&Tag>,
    ) -> Result<(), StoreError>;

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), StoreError>;

    /// Removes a manifest and the tag that points at it. `InUse` where an index of the repository has it, or several
    /// tags point at it.
    fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a blob from this repository; `InUse` where a manifest in it has the blob.
    fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError>;
}
