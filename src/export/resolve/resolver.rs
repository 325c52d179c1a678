//! Resolving: turns references into pinned digests and puts every manifest and config into the spool.
//!
//! Each distinct source is requested once; after that only digests are used. Each child is fetched once, however many
//! images share it. A failure affects only its own image.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};

use super::manifest_cache::ManifestCache;
use crate::app::failure::{ExitCode, Explain};
use crate::app::once::Once;
use crate::archive::manifest::MAX_HEAD_CONFIG;
use crate::archive::{ArtifactRow, ImageRow, MAX_DEPTH, MAX_MANIFESTS, Manifests, Repinned, broken_pin};
use crate::export::write::error::TransferError;
use crate::image::{
    Digest, ImageConfig, ManifestError, ManifestKind, NarrowError, ParsedManifest, Platform, RawManifest,
    Reference, Repository, media_type, narrow,
};
use crate::inputs::content_source::{ContentError, ContentSource};
use crate::plan::{Request, RequestedImage, Resolution, ResolvedImage};
use crate::registry::{ErrorClass, ManifestTarget, RegistryError};

/// Why an image cannot be exported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("{digest}: {error}")]
    Manifest { digest: Digest, error: ManifestError },
    #[error("its indexes are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("it has none of the requested platforms ({wanted}); it has {found}")]
    NoPlatform { wanted: String, found: String },
    #[error("the entry pins an index by digest, and leaving out platforms would change that digest")]
    Pinned,
    #[error("it is pinned to {pin}, but the registry or the lock has {found}")]
    OtherDigest { pin: Digest, found: Digest },
    #[error("it has more than {MAX_MANIFESTS} manifests")]
    TooMany,
    #[error(
        "an index lists {digest} with the type {what:?}, but it is a manifest: some tools run it, others ignore it"
    )]
    ListedAsBlob { digest: Digest, what: String },
    #[error("blob {digest}: {why}")]
    Blob { digest: Digest, why: String },
    #[error("stopped")]
    Cancelled,
}

impl Explain for ResolveError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Content(error) => error.calls_for(),
            Self::Transfer(error) => error.calls_for(),
            Self::Manifest { .. }
            | Self::TooDeep
            | Self::TooMany
            | Self::ListedAsBlob { .. }
            | Self::OtherDigest { .. }
            | Self::Blob { .. } => Some(ExitCode::Content),
            Self::NoPlatform { .. } | Self::Pinned => Some(ExitCode::Failed),
            Self::Cancelled => Some(ExitCode::Interrupted),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Content(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl From<RegistryError> for ResolveError {
    fn from(error: RegistryError) -> Self {
        Self::Content(error.into())
    }
}

/// An image that could not be resolved: its position, the source that was tried, and the reason.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub image: usize,
    pub source: Reference,
    pub error: Arc<ResolveError>,
}

/// The result of resolving a request.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub resolution: Resolution,
    /// Positions, in the request, of the images in `resolution`.
    pub positions: Vec<usize>,
    pub failures: Vec<Unresolved>,
    /// Notes for the user that are not failures.
    pub notes: BTreeSet<String>,
}

/// The referrers of one manifest.
pub(crate) type FoundReferrers = Result<Arc<[ArtifactRow]>, Arc<ResolveError>>;

pub(crate) struct Resolver<'a> {
    pub(crate) content: &'a ContentSource,
    pub(crate) spool: &'a ManifestCache,
    pub(crate) request: &'a Request,
    platforms: Vec<Platform>,
    pub(crate) jobs: usize,
    sources: Once<Reference, Result<RawManifest, Arc<ResolveError>>>,
    /// By repository, because one repository may fail and another not.
    children: Once<(Repository, Digest), Result<(), Arc<ResolveError>>>,
    /// The referrers of a manifest, kept because images share children and tags share images.
    pub(crate) about: Once<(Repository, Digest), FoundReferrers>,
    pub(crate) notes: Mutex<BTreeSet<String>>,
}

/// Resolves every image of `request`. `each` is called for every image that is done or has failed.
pub(crate) async fn resolve(
    content: &ContentSource,
    spool: &ManifestCache,
    request: &Request,
    jobs: usize,
    each: &(dyn Fn(&RequestedImage, bool) + Sync),
) -> Resolved {
    let resolver = Resolver {
        content,
        spool,
        request,
        platforms: request.platforms.iter().filter_map(|p| p.parse().ok()).collect(),
        jobs,
        sources: Once::default(),
        children: Once::default(),
        about: Once::default(),
        notes: Mutex::default(),
    };
    let resolver = &resolver;
    let mut results: Vec<_> = futures_util::stream::iter(request.images.iter().enumerate())
        .map(|(position, wanted)| async move {
            let result = Box::pin(resolver.image(wanted)).await;
            each(wanted, result.is_ok());
            (position, result)
        })
        .buffer_unordered(jobs.max(1) * 2)
        .collect()
        .await;
    results.sort_by_key(|(position, _)| *position);
    let mut resolved = Resolved {
        resolution: Resolution::default(),
        positions: Vec::new(),
        failures: Vec::new(),
        notes: std::mem::take(&mut *resolver.notes.lock().unwrap_or_else(PoisonError::into_inner)),
    };
    for (position, result) in results {
        match result {
            Ok(image) => {
                resolved.positions.push(position);
                resolved.resolution.images.push(image);
            }
            Err((source, error)) => resolved.failures.push(Unresolved { image: position, source, error }),
        }
    }
    resolved
}

impl Resolver<'_> {
    /// Tries the sources of `wanted` in order and uses the first that has the image.
    async fn image(&self, wanted: &RequestedImage) -> Result<ResolvedImage, (Reference, Arc<ResolveError>)> {
        let mut first = None;
        for source in &wanted.sources {
            let pin = wanted.pin.or(wanted.name.digest().filter(|_| source.digest().is_none()).copied());
            let asked = pin.map_or_else(|| source.clone(), |digest| source.repository().at(digest));
            match self.sources.get(asked.clone(), Box::pin(self.root(&asked))).await {
                Ok(root) => {
                    return self.settle(wanted, source, root).await.map_err(|e| (source.clone(), e));
                }
                Err(error) => {
                    let elsewhere = matches!(&*error, ResolveError::Content(e)
                        if matches!(e.class(), Some(ErrorClass::NotFound | ErrorClass::Denied)));
                    first.get_or_insert((source.clone(), error));
                    if !elsewhere {
                        break;
                    }
                }
            }
        }
        let nowhere = || (wanted.name.clone(), Arc::new(ResolveError::Cancelled));
        Err(first.unwrap_or_else(nowhere))
    }

    /// The root manifest or index at `source`.
    async fn root(&self, source: &Reference) -> Result<RawManifest, Arc<ResolveError>> {
        let pinned = source.digest().copied();
        let target = match (source.digest(), source.tag()) {
            (Some(digest), _) => ManifestTarget::Digest(*digest),
            (None, Some(tag)) => ManifestTarget::Tag(tag.clone()),
            (None, None) => return Err(Arc::new(ResolveError::Cancelled)),
        };
        // A HEAD request does not count against pull limits, and makes the GET unnecessary if an earlier run kept the
        // manifest.
        let known = match pinned {
            Some(digest) => Some(digest),
            None if source.host().is_docker_hub() || !self.spool.is_empty() => {
                self.content.client().head_manifest(source.repository(), &target).await.map_err(wrap)?
            }
            None => None,
        };
        if let Some(digest) = known.filter(|digest| self.spool.contains(digest)) {
            let bytes = self.spool.manifest(&digest).map_err(|e| wrap(TransferError::from(e)))?;
            let raw = RawManifest::new(bytes, None, Some(&digest));
            return raw.map_err(|error| Arc::new(ResolveError::Manifest { digest, error }));
        }
        self.content.manifest(source.repository(), &target).await.map_err(wrap)
    }

    async fn settle(
        &self,
        wanted: &RequestedImage,
        source: &Reference,
        root: RawManifest,
    ) -> Result<ResolvedImage, Arc<ResolveError>> {
        let repository = source.repository();
        Self::check_pins(wanted, source, &root)?;
        let parsed = parse(&root)?;
        let mut repinned = wanted.repinned.clone();
        let (root, parsed, original) = match self.narrow(&root)? {
            Some(_) if wanted.name.digest().is_some() && !self.request.repin => {
                return Err(Arc::new(ResolveError::Pinned));
            }
            Some(narrowed) => {
                let is_pinned = wanted.name.digest().or(source.digest()).is_some();
                repinned = repinned.map_or_else(
                    || is_pinned.then(|| Repinned::new(&root.bytes, &self.request.platforms)),
                    |earlier| Some(Repinned { platforms: self.request.platforms.clone(), ..earlier }),
                );
                let parsed = parse(&narrowed)?;
                (narrowed, parsed, Some(root.digest))
            }
            None => (root, parsed, None),
        };
        self.spool.put(root.digest, &root.bytes).map_err(wrap)?;
        let below = Mutex::default();
        self.tree(repository, (original.unwrap_or(root.digest), &parsed), 0, &below).await?;
        let platforms = self.found_platforms(&parsed)?;
        if original.is_none() && parsed.kind == ManifestKind::Image && !self.wants_any(&platforms) {
            return Err(self.no_platform(&platforms));
        }
        let is_image = parsed.config.is_none() || parsed.has_image_config();
        let artifact_type = match parsed.kind {
            ManifestKind::Index if parsed.artifact_type.is_none() => None,
            ManifestKind::Image if is_image => None,
            _ => parsed.effective_artifact_type().map(str::to_owned),
        };
        let row = ImageRow {
            artifact_type,
            digest: root.digest,
            entries: wanted.entries.clone(),
            media_type: root.media_type.clone(),
            name: wanted.name.clone(),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            size: 0,
            source: source.clone(),
        };
        // An index that was made just now cannot have referrers.
        let own = original.is_none().then_some(root.digest);
        let below = below.into_inner().unwrap_or_else(PoisonError::into_inner);
        let subjects = own.into_iter().chain(below).collect();
        let artifacts = match &wanted.artifacts {
            Some(pinned) => self.pinned_artifacts(repository, subjects, pinned).await?,
            None => self.artifacts(repository, subjects).await?,
        };
        Ok(ResolvedImage { row, root_size: root.size(), original, repinned, artifacts })
    }

    /// Every digest given by the name, the source or a lock must equal the digest of the pulled image. Content from a
    /// bundle whose platforms were left out earlier was compared with its pins when that bundle was made.
    fn check_pins(
        wanted: &RequestedImage,
        source: &Reference,
        root: &RawManifest,
    ) -> Result<(), Arc<ResolveError>> {
        if wanted.repinned.is_some() {
            return Ok(());
        }
        let other = broken_pin(&wanted.name, source, &root.digest, &root.bytes);
        let locked = wanted.pin.filter(|pin| *pin != root.digest);
        match other.or(locked) {
            Some(pin) => Err(Arc::new(ResolveError::OtherDigest { pin, found: root.digest })),
            None => Ok(()),
        }
    }

    /// Fetches the children and configs below a manifest into the spool; the children are added to `visited`.
    pub(crate) fn tree<'b>(
        &'b self,
        repository: &'b Repository,
        (parent, parsed): (Digest, &'b ParsedManifest),
        depth: usize,
        visited: &'b Mutex<HashSet<Digest>>,
    ) -> BoxFuture<'b, Result<(), Arc<ResolveError>>> {
        async move {
            if depth > MAX_DEPTH {
                return Err(Arc::new(ResolveError::TooDeep));
            }
            let (mut children, others): (Vec<_>, Vec<_>) = parsed
                .manifests
                .iter()
                .cloned()
                .partition(|child| media_type::is_manifest(&child.media_type));
            // An entry with a platform is checked, and refused if need be, when the plan is made.
            for other in others.iter().filter(|other| other.platform.is_none()) {
                self.refuse_manifest_as_blob(repository, other).await?;
            }
            // Each child once per image: indexes that list a child many times, level by level, would never end.
            {
                let mut visited = visited.lock().unwrap_or_else(PoisonError::into_inner);
                children.retain(|child| visited.insert(child.digest));
                if visited.len() >= MAX_MANIFESTS {
                    return Err(Arc::new(ResolveError::TooMany));
                }
            }
            let mut pending = futures_util::stream::iter(children)
                .map(|child| async move {
                    let key = || (repository.clone(), child.digest);
                    let fetch = || self.child(repository, &child.digest, child.size);
                    self.children
                        .get(key(), Box::pin(self.after_its_parent(repository, &parent, fetch)))
                        .await?;
                    let bytes =
                        self.spool.manifest(&child.digest).map_err(|e| wrap(TransferError::from(e)))?;
                    let parsed = ParsedManifest::of(&bytes, Some(&child.media_type));
                    let parsed = parsed
                        .map_err(|error| Arc::new(ResolveError::Manifest { digest: child.digest, error }))?;
                    self.tree(repository, (child.digest, &parsed), depth + 1, visited).await
                })
                .buffer_unordered(self.jobs.max(1));
            while let Some(result) = pending.next().await {
                result?;
            }
            if let Some(config) = parsed.config.as_ref().filter(|config| config.size <= MAX_HEAD_CONFIG) {
                let fetch = || self.config(repository, config);
                self.children
                    .get(
                        (repository.clone(), config.digest),
                        Box::pin(self.after_its_parent(repository, &parent, fetch)),
                    )
                    .await?;
            }
            Ok(())
        }
        .boxed()
    }

    /// The index with only the requested platforms. None when nothing changes.
    fn narrow(&self, root: &RawManifest) -> Result<Option<RawManifest>, Arc<ResolveError>> {
        narrow(root, &self.platforms).map_err(|error| match error {
            NarrowError::NoPlatform(found) => self.no_platform(&found),
            NarrowError::Manifest(error) => Arc::new(ResolveError::Manifest { digest: root.digest, error }),
        })
    }

    fn wants_any(&self, found: &[Platform]) -> bool {
        self.platforms.is_empty()
            || found.is_empty()
            || found.iter().any(|p| self.platforms.iter().any(|want| p.satisfies(want)))
    }

    fn no_platform(&self, found: &[Platform]) -> Arc<ResolveError> {
        let list =
            |platforms: &[Platform]| platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Arc::new(ResolveError::NoPlatform { wanted: list(&self.platforms), found: list(found) })
    }

    /// The platforms of an index's children, or of an image's config.
    fn found_platforms(&self, parsed: &ParsedManifest) -> Result<Vec<Platform>, Arc<ResolveError>> {
        if parsed.kind == ManifestKind::Index {
            let mut found: Vec<Platform> = Vec::new();
            let platforms = parsed.manifests.iter().filter_map(|child| child.platform.as_ref());
            for platform in platforms.filter(|p| p.is_nameable()) {
                let platform = Platform { os_version: None, ..platform.clone() };
                if !found.contains(&platform) {
                    found.push(platform);
                }
            }
            return Ok(found);
        }
        let Some(config) = parsed.config.as_ref().filter(|c| self.spool.contains(&c.digest)) else {
            return Ok(Vec::new());
        };
        let bytes = self.spool.manifest(&config.digest).map_err(|e| wrap(TransferError::from(e)))?;
        Ok(ImageConfig::of(&bytes).ok().and_then(|config| config.platform).into_iter().collect())
    }
}

pub(crate) fn parse(raw: &RawManifest) -> Result<ParsedManifest, Arc<ResolveError>> {
    raw.parse().map_err(|error| Arc::new(ResolveError::Manifest { digest: raw.digest, error }))
}

pub(crate) fn wrap(error: impl Into<ResolveError>) -> Arc<ResolveError> {
    Arc::new(error.into())
}
