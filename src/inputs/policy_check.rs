//! `--policy`: checks a bundle against the rules of a site before any of its content is sent or written.

use std::path::Path;

use crate::app::failure::{ExitCode, Failure};
use crate::app::foreign_text;
use crate::archive::{ArchiveError, ImageStore, Manifests};
use crate::cli::PolicyArgs;
use crate::image::Descriptor;
use crate::plan::ExportPlan;
use crate::policy::{Facts, Finding, MAX_POLICY, Policy, Selection};
use crate::report::{Reporter, count};
use crate::session::run_report::RunReport;

/// A policy, and the name that the user gave for it.
pub(crate) struct Rules {
    file: String,
    policy: Policy,
}

/// The policy that was named, if any.
pub(crate) fn load(args: &PolicyArgs) -> anyhow::Result<Option<Rules>> {
    args.policy.as_deref().map(read).transpose()
}

fn read(path: &Path) -> anyhow::Result<Rules> {
    let file = path.display().to_string();
    let refuse = |why: &dyn std::fmt::Display| Failure::usage(format!("{file}: {why}"));
    let text = foreign_text::named(path, MAX_POLICY);
    let text = text.map_err(|error| Failure::unusable(error.about(&file)))?;
    let policy = Policy::parse(text.as_bytes()).map_err(|error| {
        refuse(&error).hint(
            "a policy may have: sources, pinned, signature, sbom, noRoot, maxImageSize, maxBundleSize; \
             and waive, for exceptions",
        )
    })?;
    Ok(Rules { file, policy })
}

impl Rules {
    /// The violations of an existing bundle, or of the selected part of it.
    pub(crate) fn findings(
        &self,
        image_store: &dyn ImageStore,
        selection: Selection<'_>,
    ) -> Result<Vec<Finding>, ArchiveError> {
        let facts =
            Facts::of(image_store.bundle(), image_store, &|config| image_store.small(config), selection)?;
        Ok(self.policy.findings(&facts, today()))
    }

    /// The violations of a planned bundle, whose manifests and configs are in the cache.
    pub(crate) fn planned(
        &self,
        plan: &ExportPlan,
        cache: &dyn Manifests,
    ) -> Result<Vec<Finding>, ArchiveError> {
        let config = |config: &Descriptor| cache.manifest(&config.digest).ok().map(Vec::from);
        Ok(self.policy.findings(&Facts::of(&plan.bundle, cache, &config, Selection::ALL)?, today()))
    }

    /// All findings that count, as one error and as failures of their images; none if there are none. Waived findings
    /// are printed.
    pub(crate) fn refusal(
        &self,
        findings: &[Finding],
        report: &mut RunReport,
        reporter: &Reporter,
    ) -> Option<Failure> {
        let (findings, waived): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.counts());
        for finding in waived {
            reporter.say(&finding.to_string());
        }
        if findings.is_empty() {
            return None;
        }
        for row in &mut report.images {
            let own: Vec<String> = findings
                .iter()
                .filter(|finding| finding.image.as_ref() == Some(&row.name))
                .map(|finding| format!("{}: {}", finding.rule, finding.why))
                .collect();
            if !own.is_empty() {
                row.failed(ExitCode::Content, &"", &format_args!("policy: {}", own.join("; ")), Vec::new());
            }
        }
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let number = count(findings.len(), "finding");
        let message = format!("{} does not allow this: {number}:\n{}", self.file, lines.join("\n"));
        Some(Failure::new(ExitCode::Content, message).hint(
            "leave these images out with --skip when the bundle is exported, or ask the owners of the policy",
        ))
    }
}

/// Today's date in UTC, so that a waiver ends at the same time everywhere.
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
