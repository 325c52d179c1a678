//! One export and everything it needs, with the steps that file, stream and dry run share.

use std::path::{Path, PathBuf};

use super::finish::SourceBundle;
use super::resolve::manifest_cache::ManifestCache;
use super::resolve::report::Resolving;
use super::resolve::resolver::Resolved;
use super::target;
use super::write::blob_spool::BlobSpool;
use super::write::compact;
use crate::app::failure::ExitCode;
use crate::archive::Profile;
use crate::cli::WriteArgs;
use crate::inputs::clients;
use crate::inputs::content_source::ContentSource;
use crate::inputs::policy_check::Rules;
use crate::plan::{ExportPlan, Request, Signer};
use crate::provenance::Material;
use crate::request::lock;
use crate::session::Session;
use crate::session::preflight::Preflight;
use crate::session::run_report::{ImageReport, RunReport};
use crate::signing::PrivateKey;

/// One export with everything it needs.
pub(crate) struct ExportJob<'a> {
    pub(crate) session: &'a Session,
    pub(crate) write: &'a WriteArgs,
    /// Leave out images that fail.
    pub(crate) keep_going: bool,
    pub(crate) jobs: usize,
    /// Where manifests and blobs come from: registries, or other bundles.
    pub(crate) content: &'a ContentSource,
    /// Signs the bundle.
    pub(crate) signer: Option<&'a PrivateKey>,
    /// The bundle it is made from; if the result is the same bundle, it keeps those signatures.
    pub(crate) origin: Option<&'a SourceBundle>,
    /// The policy to enforce, if any.
    pub(crate) policy: Option<&'a Rules>,
    /// What the bundle is made from, for the statement.
    pub(crate) materials: &'a [Material],
    pub(crate) request: &'a Request,
}

impl ExportJob<'_> {
    /// How the bundle is signed.
    pub(crate) fn signature_source(&self) -> Option<Signer<'_>> {
        let kept = || self.origin.map(SourceBundle::signature);
        self.signer.map(Signer::Key).or_else(kept)
    }

    /// Gives each requested image a row in the report.
    pub(crate) fn list_images(&self, report: &mut RunReport) {
        let rows = self.request.images.iter();
        report.images.extend(rows.map(|wanted| ImageReport::new(&wanted.name, wanted.sources.first())));
    }

    /// Where blobs are buffered until they can be written.
    pub(crate) fn blob_spool(&self, target: Option<&Path>) -> anyhow::Result<Option<BlobSpool>> {
        let open = |folder: &PathBuf| BlobSpool::open(folder, target);
        Ok(self.write.spool.as_ref().map(open).transpose()?)
    }

    /// Resolves every image; failures end the export unless it may keep going.
    pub(crate) async fn resolve(
        &self,
        cache: &ManifestCache,
        report: &mut RunReport,
    ) -> anyhow::Result<Resolved> {
        let resolving = Resolving {
            session: self.session,
            content: self.content,
            request: self.request,
            jobs: self.jobs,
            keep_going: self.keep_going,
        };
        let resolved = resolving.run(cache, report).await?;
        let reporter = &self.session.reporter;
        let drift = lock::warn_of_drift(self.content, self.request, resolving.jobs, reporter);
        self.session.stoppable("nothing has been written yet", drift).await?;
        Ok(resolved)
    }

    /// Refuses a plan that the policy does not allow, before any layer is fetched.
    pub(crate) fn enforce(
        &self,
        plan: &ExportPlan,
        cache: &ManifestCache,
        report: &mut RunReport,
    ) -> anyhow::Result<()> {
        let Some(rules) = self.policy else { return Ok(()) };
        match rules.refusal(&rules.planned(plan, cache)?, report, &self.session.reporter) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// The checks made before `plan` is written.
    pub(crate) fn preflight(&self, plan: &ExportPlan, target: Option<&Path>) -> Preflight {
        let mut preflight = Preflight::default();
        let longest = plan.bundle.images.iter().map(|image| image.name.repository().path().len()).max();
        preflight.fine("names", format!("the longest has {} characters; none collide", longest.unwrap_or(0)));
        if let Some(target) = target {
            let space = target::check_space(target, plan, self.write);
            preflight.check("space", space);
        }
        if !self.content.is_local() {
            preflight.registries(&self.content.client().stats());
            preflight.time(plan.payload(), self.content.client().limit_rate());
        }
        if plan.bundle.profile == Profile::Compact {
            let has_zip = !plan.compact.effort.is_normal();
            preflight.compact(plan.payload(), compact::memory(self.jobs), has_zip);
            preflight.references(&plan.compact.references);
        }
        preflight
    }

    /// The exit code: success, or partial success, in which case the missing images are named.
    pub(crate) fn ended(&self, report: &RunReport) -> ExitCode {
        clients::tell_warnings(self.content.client(), &self.session.reporter);
        if let Some(warning) = self.content.bases().and_then(|bases| bases.warning()) {
            self.session.reporter.warn(&warning);
        }
        if report.failures().next().is_none() {
            return ExitCode::Done;
        }
        self.session.reporter.warn(&report.warning());
        ExitCode::Partly
    }
}
