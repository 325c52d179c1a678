//! Finds the referrers of an image and of each of its children: signatures, attestations, SBOMs and others.
//!
//! The registry is asked about each manifest by digest, in the repository that it was pulled from. A referrer may
//! itself be the subject of others. An image without referrers is fine. A referrer that exists but cannot be fetched
//! fails the image, because nobody behind the gap could notice that it is missing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;

use super::resolver::{FoundReferrers, ResolveError, Resolver, parse, wrap};
use crate::archive::{ArtifactRow, MAX_DEPTH, Manifests};
use crate::export::write::error::TransferError;
use crate::image::{
    ArtifactKind, Descriptor, Digest, ParsedManifest, RawManifest, Repository, Tag, media_type,
};
use crate::registry::{ErrorClass, ManifestTarget, RegistryError};

impl Resolver<'_> {
    /// All referrers of the manifests `subjects`, and their own referrers, in an order that depends on content alone.
    pub(crate) async fn artifacts(
        &self,
        repository: &Repository,
        subjects: Vec<Digest>,
    ) -> Result<Vec<ArtifactRow>, Arc<ResolveError>> {
        let mut rows = Vec::new();
        if self.request.with.is_empty() {
            return Ok(rows);
        }
        let mut seen: HashSet<Digest> = subjects.iter().copied().collect();
        let mut level = subjects;
        for depth in 0.. {
            let mut asked = futures_util::stream::iter(std::mem::take(&mut level))
                .map(|subject| {
                    self.about.get((repository.clone(), subject), Box::pin(self.about(repository, subject)))
                })
                .buffer_unordered(self.jobs.max(1));
            while let Some(found) = asked.next().await {
                for row in found?.iter() {
                    level.extend(seen.insert(row.digest).then_some(row.digest));
                    rows.push(row.clone());
                }
            }
            drop(asked);
            if level.is_empty() {
                break;
            }
            if depth == MAX_DEPTH {
                return Err(Arc::new(ResolveError::TooDeep));
            }
        }
        rows.sort();
        rows.dedup();
        Ok(rows)
    }

    /// The `pinned` referrers of `subjects`, or of each other, that are wanted; fetched by digest.
    pub(crate) async fn pinned_artifacts(
        &self,
        repository: &Repository,
        subjects: Vec<Digest>,
        pinned: &[ArtifactRow],
    ) -> Result<Vec<ArtifactRow>, Arc<ResolveError>> {
        let is_wanted = |row: &&ArtifactRow| row.kind().is_some_and(|kind| self.request.with.contains(&kind));
        let mut left: Vec<&ArtifactRow> = pinned.iter().filter(is_wanted).collect();
        let mut known: HashSet<Digest> = subjects.into_iter().collect();
        let mut rows = Vec::new();
        // The referrers of an artifact that was left out are left out too.
        while let Some(at) = left.iter().position(|row| known.contains(&row.subject)) {
            let row = left.swap_remove(at);
            let manifest = self.fetched(repository, &row.digest, &row.media_type, row.size).await?;
            rows.push(self.row(repository, &manifest, &row.subject, row.tag.clone()).await?);
            known.insert(row.digest);
        }
        rows.sort();
        rows.dedup();
        Ok(rows)
    }

    /// The direct referrers of `subject`.
    async fn about(&self, repository: &Repository, subject: Digest) -> FoundReferrers {
        let kinds = self.request.with.iter();
        let asked = kinds.map(|kind| async move {
            match kind {
                ArtifactKind::Referrer => self.referrers(repository, &subject).await,
                tagged => match tagged.tag(&subject) {
                    Some(tag) => self.tagged(repository, &subject, tag).await,
                    None => Ok(Vec::new()),
                },
            }
        });
        let mut rows = Vec::new();
        for found in futures_util::future::join_all(asked).await {
            rows.extend(found?);
        }
        Ok(rows.into())
    }

    async fn tagged(
        &self,
        repository: &Repository,
        subject: &Digest,
        tag: Tag,
    ) -> Result<Vec<ArtifactRow>, Arc<ResolveError>> {
        let target = ManifestTarget::Tag(tag.clone());
        let known = match self.content.client().head_manifest(repository, &target).await {
            Ok(Some(digest)) => digest,
            Ok(None) => return Ok(Vec::new()),
            Err(error) => return self.unasked(repository, error),
        };
        let manifest = if self.spool.contains(&known) {
            let bytes = self.spool.manifest(&known).map_err(|e| wrap(TransferError::from(e)))?;
            let raw = RawManifest::new(bytes, None, Some(&known));
            raw.map_err(|error| Arc::new(ResolveError::Manifest { digest: known, error }))?
        } else {
            self.content.manifest(repository, &target).await.map_err(wrap)?
        };
        self.spool.put(manifest.digest, &manifest.bytes).map_err(wrap)?;
        Ok(vec![self.row(repository, &manifest, subject, Some(tag)).await?])
    }

    async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<ArtifactRow>, Arc<ResolveError>> {
        let listed = match self.content.client().referrers(repository, subject).await {
            Ok(referrers) => referrers.descriptors,
            Err(error) => return self.unasked(repository, error),
        };
        let mut rows = Vec::new();
        for descriptor in listed.iter().filter(|d| media_type::is_manifest(&d.media_type)) {
            rows.extend(self.referrer(repository, subject, descriptor).await?);
        }
        Ok(rows)
    }

    async fn referrer(
        &self,
        repository: &Repository,
        subject: &Digest,
        descriptor: &Descriptor,
    ) -> Result<Option<ArtifactRow>, Arc<ResolveError>> {
        let digest = descriptor.digest;
        let raw = self.fetched(repository, &digest, &descriptor.media_type, descriptor.size).await?;
        // Clients write fallback tags, so one may list anything.
        if parse(&raw)?.subject.is_none_or(|about| about.digest != *subject) {
            self.note(format!(
                "{repository} lists {digest} as a referrer of {subject}, but it is not: left out"
            ));
            return Ok(None);
        }
        self.row(repository, &raw, subject, None).await.map(Some)
    }

    /// Fetches the manifest `digest`, which must have `size` bytes, into the spool.
    async fn fetched(
        &self,
        repository: &Repository,
        digest: &Digest,
        media_type: &str,
        size: u64,
    ) -> Result<RawManifest, Arc<ResolveError>> {
        self.child(repository, digest, size).await?;
        let bytes = self.spool.manifest(digest).map_err(|e| wrap(TransferError::from(e)))?;
        let raw = RawManifest::new(bytes, Some(media_type), Some(digest));
        raw.map_err(|error| Arc::new(ResolveError::Manifest { digest: *digest, error }))
    }

    /// The row of a manifest in the spool; everything below it is fetched into the spool too.
    async fn row(
        &self,
        repository: &Repository,
        manifest: &RawManifest,
        subject: &Digest,
        tag: Option<Tag>,
    ) -> Result<ArtifactRow, Arc<ResolveError>> {
        let parsed: ParsedManifest = parse(manifest)?;
        self.tree(repository, (manifest.digest, &parsed), 0, &Mutex::default()).await?;
        Ok(ArtifactRow {
            artifact_type: parsed.effective_artifact_type().map(str::to_owned),
            digest: manifest.digest,
            media_type: manifest.media_type.clone(),
            repository: repository.clone(),
            size: manifest.size(),
            subject: *subject,
            tag,
        })
    }

    /// A registry may allow reading an image but not its referrers; the image is exported all the same.
    fn unasked(
        &self,
        repository: &Repository,
        error: RegistryError,
    ) -> Result<Vec<ArtifactRow>, Arc<ResolveError>> {
        if error.class() != ErrorClass::Denied {
            return Err(wrap(error));
        }
        self.note(format!("signatures and other referrers in {repository} cannot be listed: {error}"));
        Ok(Vec::new())
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(note);
    }
}
