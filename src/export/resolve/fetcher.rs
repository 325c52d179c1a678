//! Fetches what is below a manifest: child manifests and configs, each once, into the cache.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};

use super::error::{ResolveError, wrap};
use super::manifest_cache::ManifestCache;
use crate::app::once::Once;
use crate::archive::manifest::MAX_HEAD_CONFIG;
use crate::archive::{MAX_DEPTH, MAX_MANIFESTS, Manifests};
use crate::export::write::error::TransferError;
use crate::image::{Descriptor, Digest, Hasher, ManifestError, ParsedManifest, Repository, media_type};
use crate::inputs::content_source::ContentSource;
use crate::registry::ManifestTarget;

/// Manifests and configs by descriptor.
pub(crate) struct Fetcher<'a> {
    pub(crate) content: &'a ContentSource,
    pub(crate) cache: &'a ManifestCache,
    pub(crate) jobs: usize,
    /// By repository, because one repository may fail and another not.
    children: Once<(Repository, Digest), Result<(), Arc<ResolveError>>>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(content: &'a ContentSource, cache: &'a ManifestCache, jobs: usize) -> Self {
        Self { content, cache, jobs: jobs.max(1), children: Once::default() }
    }

    /// Runs `fetch`. If the content is missing and its parent manifest came from an earlier run, the parent is
    /// requested first and `fetch` is tried again: a pull-through cache may know a child only after a request for its
    /// parent.
    async fn after_its_parent<F: Future<Output = Result<(), Arc<ResolveError>>>>(
        &self,
        repository: &Repository,
        parent: &Digest,
        fetch: impl Fn() -> F,
    ) -> Result<(), Arc<ResolveError>> {
        match fetch().await {
            Err(error)
                if matches!(&*error, ResolveError::Content(error) if error.is_not_found())
                    && !self.content.client().has_fetched(repository, parent) =>
            {
                let asked = self.content.manifest(repository, &ManifestTarget::Digest(*parent)).await;
                if asked.is_ok() { fetch().await } else { Err(error) }
            }
            result => result,
        }
    }

    pub(crate) async fn child(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Arc<ResolveError>> {
        if self.cache.contains(digest) {
            return Ok(());
        }
        let fetched = self.content.referred_manifest(repository, digest).await.map_err(wrap)?;
        if fetched.size() != size {
            let why = format!("{} bytes arrived, but its descriptor says {size}", fetched.size());
            return Err(Arc::new(ResolveError::Blob { digest: *digest, why }));
        }
        self.cache.put(*digest, &fetched.bytes).map_err(wrap)
    }

    /// Refuses a manifest that an index lists with another media type and without a platform: some tools run it
    /// whatever its type says. Other blobs, such as those of build caches, are recognised by their first bytes.
    async fn refuse_manifest_as_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<(), Arc<ResolveError>> {
        // No tool reads a larger one as a manifest.
        if blob.size > MAX_HEAD_CONFIG {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut stream =
            self.content.blob(&repository.into(), &blob.digest, blob.size, 0).await.map_err(wrap)?;
        while let Some(chunk) = stream.next().await.map_err(wrap)? {
            bytes.extend_from_slice(&chunk);
            let first = bytes.trim_ascii_start().first();
            if first.is_some_and(|first| *first != b'{') {
                return Ok(());
            }
        }
        match ParsedManifest::of(&bytes, None) {
            Ok(_) | Err(ManifestError::Key { .. } | ManifestError::Ambiguous | ManifestError::Schema1) => {
                let what = blob.media_type.chars().take(120).collect();
                Err(Arc::new(ResolveError::ListedAsBlob { digest: blob.digest, what }))
            }
            Err(_) => Ok(()),
        }
    }

    async fn config(&self, repository: &Repository, config: &Descriptor) -> Result<(), Arc<ResolveError>> {
        if self.cache.contains(&config.digest) {
            return Ok(());
        }
        let mut hasher = Hasher::for_digest(&config.digest);
        let mut bytes = Vec::new();
        let mut stream =
            self.content.blob(&repository.into(), &config.digest, config.size, 0).await.map_err(wrap)?;
        while let Some(chunk) = stream.next().await.map_err(wrap)? {
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        let found = hasher.finish();
        if found != config.digest {
            let why = format!("the registry sent content with digest {found}");
            return Err(Arc::new(ResolveError::Blob { digest: config.digest, why }));
        }
        self.cache.put(config.digest, &bytes).map_err(wrap)
    }

    /// Fetches the children and configs below a manifest into the cache; the children are added to `visited`.
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
                        self.cache.manifest(&child.digest).map_err(|e| wrap(TransferError::from(e)))?;
                    let parsed = ParsedManifest::of(&bytes, Some(&child.media_type));
                    let parsed = parsed
                        .map_err(|error| Arc::new(ResolveError::Manifest { digest: child.digest, error }))?;
                    self.tree(repository, (child.digest, &parsed), depth + 1, visited).await
                })
                .buffer_unordered(self.jobs);
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
}
