//! What the destination already has of a bundle, and what the conflict policy does about tags with other content.

use std::collections::HashMap;

use futures_util::StreamExt;

use super::complete::{ArtifactStatus, artifacts_there, present};
use super::upload::UploadError;
use crate::app::failure::{ExitCode, Explain};
use crate::archive::{ArtifactIndex, ImageStore};
use crate::cli::OnConflict;
use crate::image::{ArtifactKind, Digest, RawManifest};
use crate::plan::{ImageTarget, Missing};
use crate::registry::{ErrorClass, ManifestTarget, RegistryClient};
use crate::session::run_report::{ImageReport, ImageState, RunReport};
use crate::session::{NOTHING_SENT, Session};

/// Compares a bundle with what is at its destination.
pub(crate) struct Presence<'a> {
    pub(crate) session: &'a Session,
    pub(crate) client: &'a RegistryClient,
    pub(crate) image_store: &'a dyn ImageStore,
    pub(crate) on_conflict: OnConflict,
    /// Which referrers are imported too.
    pub(crate) with: &'a [ArtifactKind],
    pub(crate) jobs: usize,
}

impl Presence<'_> {
    /// The targets that the destination lacks, and those it has; the conflict policy for tags with other content is
    /// applied.
    pub(crate) async fn missing(
        &self,
        targets: &[ImageTarget],
        report: &mut RunReport,
    ) -> anyhow::Result<(Vec<Missing>, Vec<ImageTarget>)> {
        let bundle = self.image_store.bundle();
        let reporter = &self.session.reporter;
        let wanted: Vec<_> = targets
            .iter()
            .map(|target| {
                (target.repository.clone(), manifest_target(target, &bundle.images[target.image].digest))
            })
            .collect();
        reporter.begin_count("comparing with the destination", wanted.len() as u64);
        let step = || reporter.step();
        let asked = present(self.client, &wanted, self.jobs, &step);
        let mut found = self.session.stoppable(NOTHING_SENT, asked).await?;
        reporter.end();
        let mut artifacts = self.artifacts(targets, report).await?;
        let (mut missing, mut present) = (Vec::new(), Vec::new());
        for (at, target) in targets.iter().enumerate() {
            let digest = bundle.images[target.image].digest;
            let row = &mut report.images[target.image];
            let Ok(artifacts) = artifacts.remove(&at).unwrap_or(Ok(Vec::new())) else {
                continue;
            };
            let is_missing = match found.remove(&at).unwrap_or(Ok(None)) {
                Ok(Some(there)) if self.is(&there, &digest, &bundle.images[target.image].media_type) => {
                    present.push(target.clone());
                    if row.state == ImageState::NotTried {
                        row.state = ImageState::AlreadyThere;
                    }
                    if artifacts.is_empty() {
                        continue;
                    }
                    false
                }
                Ok(Some(there)) => match self.may_replace(&target.place(), &there) {
                    Ok(true) => {
                        row.replaced = Some(there);
                        true
                    }
                    Ok(false) => {
                        row.state = ImageState::Skipped;
                        row.reason = Some(format!("the tag resolves to {there}"));
                        continue;
                    }
                    Err(conflict) => {
                        fail(row, &target.place(), &conflict);
                        continue;
                    }
                },
                // Some registries answer that a repository does not exist to users who may create it by pushing. The
                // check of write access, which comes next, decides.
                Ok(None) => true,
                Err(error) if error.class() == ErrorClass::Denied => true,
                Err(error) => {
                    fail(row, &target.place(), &error);
                    continue;
                }
            };
            missing.push(Missing { target: target.clone(), image: is_missing, artifacts });
        }
        for Missing { target, .. } in &missing {
            let row = &mut report.images[target.image];
            if row.state == ImageState::AlreadyThere {
                row.state = ImageState::NotTried;
            }
        }
        Ok((missing, present))
    }

    /// For each target with artifacts, by position, the artifacts it lacks; an error if one has failed the image.
    async fn artifacts(
        &self,
        targets: &[ImageTarget],
        report: &mut RunReport,
    ) -> anyhow::Result<HashMap<usize, Result<Vec<usize>, ()>>> {
        let (bundle, image_store) = (self.image_store.bundle(), self.image_store);
        let index = ArtifactIndex::of(bundle);
        let mut wanted = Vec::new();
        for (at, target) in targets.iter().enumerate() {
            let mut artifacts = index.of_image(target.image, image_store)?;
            artifacts.retain(|at| bundle.artifacts[*at].kind().is_some_and(|kind| self.with.contains(&kind)));
            if !artifacts.is_empty() {
                wanted.push((at, artifacts));
            }
        }
        let reporter = &self.session.reporter;
        reporter.begin_count("comparing signatures and other referrers", wanted.len() as u64);
        let asked = futures_util::stream::iter(wanted)
            .map(|(at, artifacts)| async move {
                let there =
                    artifacts_there(self.client, image_store, &targets[at].repository, &artifacts).await;
                reporter.step();
                (at, artifacts, there)
            })
            .buffer_unordered(self.jobs)
            .collect::<Vec<_>>();
        let mut asked = self.session.stoppable(NOTHING_SENT, asked).await?;
        reporter.end();
        asked.sort_by_key(|(at, ..)| *at);
        let mut lacking = HashMap::new();
        for (at, artifacts, there) in asked {
            let (row, place) = (&mut report.images[targets[at].image], targets[at].place());
            let missing = match there {
                Ok(there) => {
                    self.lacking(&targets[at], there).map_err(|conflict| fail(row, &place, &conflict))
                }
                Err(UploadError::Registry(error)) if error.class() == ErrorClass::Denied => Ok(artifacts),
                Err(error) => {
                    fail(row, &place, &error);
                    Err(())
                }
            };
            lacking.insert(at, missing);
        }
        Ok(lacking)
    }

    fn lacking(
        &self,
        target: &ImageTarget,
        there: Vec<(usize, ArtifactStatus)>,
    ) -> Result<Vec<usize>, Conflict> {
        let mut lacking = Vec::new();
        for (at, beside) in there {
            let tag = self.image_store.bundle().artifacts[at].tag.as_ref();
            let is_missing = match (beside, tag) {
                (ArtifactStatus::There, _) => false,
                (ArtifactStatus::Other(found), Some(tag)) => {
                    self.may_replace(&format!("{}:{tag}", target.repository), &found)?
                }
                _ => true,
            };
            lacking.extend(is_missing.then_some(at));
        }
        Ok(lacking)
    }

    /// Whether a tag that resolves to `there` has the manifest `digest`.
    fn is(&self, there: &Digest, digest: &Digest, media_type: &str) -> bool {
        there == digest
            || self.image_store.manifest(digest).is_ok_and(|bytes| {
                RawManifest::new(bytes, Some(media_type), Some(digest)).is_ok_and(|raw| raw.is_named(there))
            })
    }

    /// Whether the conflict policy replaces a tag with other content, keeps it, or fails.
    fn may_replace(&self, place: &str, there: &Digest) -> Result<bool, Conflict> {
        let reporter = &self.session.reporter;
        match self.on_conflict {
            OnConflict::Overwrite => {
                reporter.say(&format!("{place} has other content ({there}) and is replaced"));
                Ok(true)
            }
            OnConflict::Skip => {
                reporter.say(&format!("{place} has other content ({there}) and is kept"));
                Ok(false)
            }
            OnConflict::Fail => Err(Conflict(*there)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the tag exists with other content ({0})")]
struct Conflict(Digest);

impl Explain for Conflict {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(ExitCode::Failed)
    }
}

fn fail(row: &mut ImageReport, place: &str, error: &dyn Explain) {
    row.failed(error.exit_code(), &place, &error, error.hints());
}

fn manifest_target(target: &ImageTarget, digest: &Digest) -> ManifestTarget {
    target.tag.clone().map_or(ManifestTarget::Digest(*digest), ManifestTarget::Tag)
}
