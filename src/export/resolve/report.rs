//! Resolves a request and reports it: progress, digests that changed, and every failure with a hint.

use super::error::ResolveError;
use super::manifest_cache::ManifestCache;
use super::resolver::{Resolved, resolve};
use crate::app::failure::Explain;
use crate::image::Reference;
use crate::inputs::content_source::{ContentError, ContentSource};
use crate::plan::{Request, RequestedImage};
use crate::registry::ErrorClass;
use crate::session::Session;
use crate::session::run_report::RunReport;

/// A request to resolve, and the settings for it.
pub(crate) struct Resolving<'a> {
    pub(crate) session: &'a Session,
    pub(crate) content: &'a ContentSource,
    pub(crate) request: &'a Request,
    pub(crate) jobs: usize,
    pub(crate) keep_going: bool,
}

impl Resolving<'_> {
    /// Resolves the request and puts failures into `report`; they end the run unless it may keep going.
    pub(crate) async fn run(
        &self,
        cache: &ManifestCache,
        report: &mut RunReport,
    ) -> anyhow::Result<Resolved> {
        let reporter = &self.session.reporter;
        reporter.begin_count("resolving images", self.request.images.len() as u64);
        let step = |_: &RequestedImage, is_resolved| {
            if is_resolved {
                reporter.step();
            }
        };
        let work = resolve(self.content, cache, self.request, self.jobs, &step);
        let resolved = self.session.stoppable("nothing has been written yet", work).await?;
        reporter.end();
        for (image, position) in resolved.resolution.images.iter().zip(&resolved.positions) {
            report.images[*position].resolved(&image.row.source, &image.row.digest);
            if let Some(original) = &image.original {
                reporter.warn(&format!(
                    "{}: platforms were left out, so its digest changes from {original} to {}; \
                     pins and signatures of the whole index no longer match",
                    image.row.name, image.row.digest
                ));
            }
        }
        for note in &resolved.notes {
            reporter.warn(note);
        }
        for failure in &resolved.failures {
            let mut hints = source_hint(&failure.source, &failure.error);
            if self.request.images[failure.image].pin.is_some() && !self.content.is_local() {
                hints.push(
                    "this comes from the lock; bundle catalog lock records the current digests".to_owned(),
                );
            }
            let code = failure.error.exit_code();
            report.images[failure.image].failed(code, &failure.source, &failure.error, hints);
        }
        if !resolved.failures.is_empty() && (!self.keep_going || resolved.resolution.images.is_empty()) {
            let failure = report.failure();
            let hint = if self.content.is_local() {
                "leave these images out with --skip"
            } else if resolved.failures.iter().any(|failure| is_of_catalog(&failure.error)) {
                "correct the catalog, or leave these images out with --keep-going"
            } else {
                "run it again after the problem is fixed, or leave these images out with --keep-going"
            };
            return Err(failure.hint(hint).into());
        }
        Ok(resolved)
    }
}

/// Whether the catalog names something that does not exist; other errors come from the registry or the network.
fn is_of_catalog(error: &ResolveError) -> bool {
    match error {
        ResolveError::Content(error) => error.class() == Some(ErrorClass::NotFound),
        ResolveError::NoPlatform { .. } | ResolveError::Pinned => true,
        _ => false,
    }
}

/// Where images that have moved can be found now.
fn source_hint(source: &Reference, error: &ResolveError) -> Vec<String> {
    // Only answers of the registry itself count, not those of a proxy or a credentials file.
    let gone = matches!(error, ResolveError::Content(ContentError::Registry(e))
        if e.status().is_some() && matches!(e.class(), ErrorClass::NotFound | ErrorClass::Denied));
    let bitnami = source.host().is_docker_hub() && source.repository().path().starts_with("bitnami/");
    if gone && bitnami {
        return vec![
            "versioned Bitnami images moved: add --source docker.io/bitnami=docker.io/bitnamilegacy or your own mirror"
                .to_owned(),
        ];
    }
    match error {
        ResolveError::Content(error) => error.hints(),
        ResolveError::Pinned => vec!["allow it with --repin, or leave --platform out".to_owned()],
        _ => Vec::new(),
    }
}
