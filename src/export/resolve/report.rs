//! Resolving a request for people to see: progress, what changed its digest, and every failure with its way out.

use super::manifest_cache::ManifestCache;
use super::resolver::{ResolveError, Resolved, resolve};
use crate::app::failure::Explain;
use crate::image::Reference;
use crate::inputs::content_source::{ContentError, ContentSource};
use crate::plan::{Request, RequestedImage};
use crate::registry::ErrorClass;
use crate::session::Session;
use crate::session::run_report::RunReport;

/// A request to be resolved, and how.
pub(crate) struct Resolving<'a> {
    pub(crate) session: &'a Session,
    pub(crate) content: &'a ContentSource,
    pub(crate) request: &'a Request,
    pub(crate) jobs: usize,
    pub(crate) keep_going: bool,
}

impl Resolving<'_> {
    /// The resolution, with its failures in `report`; they end the run unless it may keep going.
    pub(crate) async fn run(
        &self,
        spool: &ManifestCache,
        report: &mut RunReport,
    ) -> anyhow::Result<Resolved> {
        let reporter = &self.session.reporter;
        reporter.begin_count("resolving images", self.request.images.len() as u64);
        let step = |_: &RequestedImage, _| reporter.step();
        let work = resolve(self.content, spool, self.request, self.jobs, &step);
        let resolved = self.session.stoppable("nothing has been written yet", work).await?;
        reporter.end();
        for (image, position) in resolved.resolution.images.iter().zip(&resolved.positions) {
            report.images[*position].resolved(&image.row.source, &image.row.digest);
            if let Some(original) = &image.original {
                reporter.warn(&format!(
                    "{}: platforms were left out, so its digest changes from {original} to {}; \
                     pins and signatures of the whole index no longer fit",
                    image.row.name, image.row.digest
                ));
            }
        }
        for note in &resolved.notes {
            reporter.warn(note);
        }
        for failure in &resolved.failures {
            let mut hints = source_hint(&failure.source, &failure.error);
            if self.request.images[failure.image].pin.is_some() {
                hints.push("the lock says so; bundle catalog lock finds what is there now".to_owned());
            }
            let code = failure.error.exit_code();
            report.images[failure.image].failed(code, &failure.source, &failure.error, hints);
        }
        if !resolved.failures.is_empty() && (!self.keep_going || resolved.resolution.images.is_empty()) {
            let failure = report.failure();
            let hint = if resolved.failures.iter().any(|failure| is_of_catalog(&failure.error)) {
                "correct the catalog, or leave these images out with --keep-going"
            } else {
                "run it again when that is mended, or leave these images out with --keep-going"
            };
            return Err(failure.hint(hint).into());
        }
        Ok(resolved)
    }
}

/// Whether the catalog asks for what does not exist; all else is a matter of the registry or of the way to it.
fn is_of_catalog(error: &ResolveError) -> bool {
    match error {
        ResolveError::Content(error) => error.class() == Some(ErrorClass::NotFound),
        ResolveError::NoPlatform { .. } | ResolveError::Pinned => true,
        _ => false,
    }
}

/// Where images went that are no longer where the chart looks for them.
fn source_hint(source: &Reference, error: &ResolveError) -> Vec<String> {
    // What the registry itself says, and not a proxy or a credentials file.
    let gone = matches!(error, ResolveError::Content(ContentError::Registry(e))
        if e.status().is_some() && matches!(e.class(), ErrorClass::NotFound | ErrorClass::Denied));
    let bitnami = source.host().is_docker_hub() && source.repository().path().starts_with("bitnami/");
    if gone && bitnami {
        return vec![
            "versioned Bitnami images moved: --source docker.io/bitnami=docker.io/bitnamilegacy, or a mirror of your own"
                .to_owned(),
        ];
    }
    match error {
        ResolveError::Content(error) => error.hints(),
        ResolveError::Pinned => vec!["allow it with --repin, or leave --platform out".to_owned()],
        _ => Vec::new(),
    }
}
