//! Fetches child manifests and configs from a registry into the spool.

use std::sync::Arc;

use super::resolver::{ResolveError, Resolver, wrap};
use crate::archive::manifest::MAX_HEAD_CONFIG;
use crate::image::{Descriptor, Digest, Hasher, ManifestError, ParsedManifest, Repository};
use crate::registry::ManifestTarget;

impl Resolver<'_> {
    /// Runs `fetch`. If the content is missing and its parent manifest came from an earlier run, the parent is
    /// requested first and `fetch` is tried again: a pull-through cache may know a child only after a request for its
    /// parent.
    pub(crate) async fn after_its_parent<F: Future<Output = Result<(), Arc<ResolveError>>>>(
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
        if self.spool.contains(digest) {
            return Ok(());
        }
        let fetched = self.content.referred_manifest(repository, digest).await.map_err(wrap)?;
        if fetched.size() != size {
            let why = format!("{} bytes arrived, but its descriptor says {size}", fetched.size());
            return Err(Arc::new(ResolveError::Blob { digest: *digest, why }));
        }
        self.spool.put(*digest, &fetched.bytes).map_err(wrap)
    }

    /// Refuses a manifest that an index lists with another media type and without a platform: some tools run it
    /// whatever its type says. Other blobs, such as those of build caches, are recognised by their first bytes.
    pub(crate) async fn refuse_manifest_as_blob(
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

    pub(crate) async fn config(
        &self,
        repository: &Repository,
        config: &Descriptor,
    ) -> Result<(), Arc<ResolveError>> {
        if self.spool.contains(&config.digest) {
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
        self.spool.put(config.digest, &bytes).map_err(wrap)
    }
}
