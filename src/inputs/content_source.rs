//! Where the manifests and blobs of a request come from: this machine if it has them, otherwise a registry.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::base_contents::BaseContents;
use super::held::Held;
use crate::app::failure::{ExitCode, Explain};
use crate::image::{Digest, ManifestError, RawManifest, Repository};
use crate::registry::{
    BlobPlace, BlobStream, ErrorClass, MAX_MANIFEST, ManifestTarget, RegistryClient, RegistryError,
    SourceError,
};

/// Content by digest, and manifests also by tag. Clones share connections and local content.
#[derive(Clone, Debug)]
pub(crate) struct ContentSource {
    client: RegistryClient,
    held: Held,
    /// Content to which compact blobs may refer.
    bases: Option<Arc<BaseContents>>,
}

/// Why content is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An error of local content, with a description of it.
    #[error("{what}: {why}")]
    Held { what: String, why: HeldError },
}

/// What is wrong with local content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeldError {
    #[error("it is in none of the given files")]
    Missing,
    #[error("it has {found} bytes, but its descriptor says {wanted}")]
    OtherSize { wanted: u64, found: u64 },
    #[error("a manifest of {0} bytes is too large")]
    TooLarge(u64),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    Source(SourceError),
}

impl Explain for ContentError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Registry(error) => error.calls_for(),
            Self::Held { why: HeldError::Source(error), .. } => {
                error.get().calls_for().or(Some(ExitCode::Failed))
            }
            Self::Held { .. } => Some(ExitCode::Content),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Held { why: HeldError::Source(error), .. } => error.get().hints(),
            Self::Held { .. } => Vec::new(),
        }
    }
}

impl ContentError {
    /// Whether the registry answered that it does not have the content.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_not_found())
    }

    /// The class of the error, if a registry failed.
    pub(crate) fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Registry(error) => Some(error.class()),
            Self::Held { .. } => None,
        }
    }
}

impl ContentSource {
    /// Uses the content in `held`, and the registries of `client` for everything else.
    pub(crate) fn new(client: RegistryClient, held: Held) -> Self {
        Self { client, held, bases: None }
    }

    /// Lets compact blobs refer to the content in `bases`.
    pub(crate) fn with_bases(self, bases: Option<BaseContents>) -> Self {
        Self { bases: bases.map(Arc::new), ..self }
    }

    /// Content to which compact blobs may refer.
    pub(crate) fn bases(&self) -> Option<&Arc<BaseContents>> {
        self.bases.as_ref()
    }

    /// The client for registries, for data that only they have, such as tags and referrers.
    pub(crate) fn client(&self) -> &RegistryClient {
        &self.client
    }

    /// Whether all content is local and no registry is contacted.
    pub(crate) fn is_local(&self) -> bool {
        self.held.is_all()
    }

    /// Whether `digest` is on this machine.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.held.contains(digest)
    }

    /// The manifest `target` of `repository`.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
    ) -> Result<RawManifest, ContentError> {
        if let ManifestTarget::Digest(digest) = target
            && let Some(manifest) = self.held_manifest(repository, digest).await?
        {
            return Ok(manifest);
        }
        Ok(self.client.manifest(repository, target).await?.manifest)
    }

    /// The manifest `digest`, which another manifest refers to. A registry that lacks it is asked again: caches may
    /// have the referring manifest a moment before this one.
    pub(crate) async fn referred_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<RawManifest, ContentError> {
        match self.held_manifest(repository, digest).await? {
            Some(manifest) => Ok(manifest),
            None => Ok(self.client.referred_manifest(repository, digest).await?.manifest),
        }
    }

    /// The content of `digest`, of `size` bytes, from byte `from` on.
    pub(crate) async fn blob(
        &self,
        place: &BlobPlace,
        digest: &Digest,
        size: u64,
        from: u64,
    ) -> Result<ContentStream, ContentError> {
        let what = || format!("blob {digest} of {place}");
        match self.held.find(digest) {
            Some(held) if held.size != size => {
                let why = HeldError::OtherSize { wanted: size, found: held.size };
                Err(ContentError::Held { what: what(), why })
            }
            Some(held) => {
                let from = from.min(size);
                Ok(ContentStream::Held { what: what(), pieces: held.source.open(from, size - from) })
            }
            None if self.is_local() => Err(ContentError::Held { what: what(), why: HeldError::Missing }),
            None => Ok(ContentStream::Registry(Box::new(self.client.blob(place, digest, size, from).await?))),
        }
    }

    async fn held_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<RawManifest>, ContentError> {
        let failed = |why| ContentError::Held { what: format!("manifest {repository}@{digest}"), why };
        let Some(held) = self.held.find(digest) else {
            return if self.is_local() { Err(failed(HeldError::Missing)) } else { Ok(None) };
        };
        if held.size > MAX_MANIFEST as u64 {
            return Err(failed(HeldError::TooLarge(held.size)));
        }
        let mut bytes = BytesMut::new();
        let mut pieces = held.source.open(0, held.size);
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| failed(HeldError::Source(error)))?);
        }
        let manifest = RawManifest::new(bytes.freeze(), held.media_type.as_deref(), Some(digest));
        manifest.map(Some).map_err(|error| failed(error.into()))
    }
}

/// A blob being read.
pub(crate) enum ContentStream {
    Held { what: String, pieces: BoxStream<'static, Result<Bytes, SourceError>> },
    Registry(Box<BlobStream>),
}

impl ContentStream {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ContentError> {
        match self {
            Self::Registry(stream) => Ok(stream.next().await?),
            Self::Held { what, pieces } => pieces
                .next()
                .await
                .transpose()
                .map_err(|error| ContentError::Held { what: what.clone(), why: HeldError::Source(error) }),
        }
    }
}
