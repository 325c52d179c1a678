//! The text that an import prints: the plan of a dry run, and the summary.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::run::Sent;
use super::values::WrittenValues;
use crate::app::text::typed;
use crate::archive::BundleManifest;
use crate::destination::{Destination, Preparation};
use crate::image::ArtifactCounts;
use crate::plan::{ImageTarget, ImportPlan};
use crate::report::{bytes, count};
use crate::session::preflight::Preflight;
use crate::session::run_report::{ImageState, RunReport};

/// The findings of a dry run.
pub(crate) struct Found<'a> {
    pub(crate) plan: &'a ImportPlan,
    pub(crate) targets: &'a [ImageTarget],
    pub(crate) preparation: &'a Preparation,
    /// What has to be created at the destination first.
    pub(crate) lacking: &'a [String],
    pub(crate) preflight: &'a Preflight,
}

impl Found<'_> {
    /// One line per image, then totals and the preflight.
    pub(crate) fn text(&self, bundle: &BundleManifest, report: &RunReport) -> String {
        let Self { plan, targets, preparation, lacking, preflight } = self;
        let mut text = String::new();
        let sent: HashSet<usize> =
            plan.image_uploads.iter().map(|image_upload| image_upload.target.image).collect();
        for target in targets.iter().filter(|target| target.main) {
            let row = &report.images[target.image];
            let state = match row.state {
                ImageState::Failed => "fails",
                ImageState::Skipped => "skip",
                _ if sent.contains(&target.image) => "send",
                _ => "there",
            };
            let _ = writeln!(text, "{state:5}  {}  →  {}", row.name, target.place());
        }
        let mut artifacts = ArtifactCounts::default();
        for one in plan.image_uploads.iter().flat_map(|image_upload| &image_upload.artifacts) {
            artifacts.extend(bundle.artifacts[one.artifact].kind());
        }
        let with = if artifacts.is_empty() { String::new() } else { format!(" with {artifacts}") };
        let _ = writeln!(
            text,
            "\n{}{with} to send, {}, {} at most",
            count(sent.len(), "image"),
            count(plan.uploads.len(), "blob"),
            bytes(plan.bytes())
        );
        text.push_str(&report.chosen("imported"));
        if !lacking.is_empty() {
            let _ = writeln!(text, "{} to create:\n  {}", preparation.nouns().1, lacking.join("\n  "));
        }
        format!("{text}\n{}", preflight.text())
    }

    pub(crate) fn json(&self, report: &RunReport) -> Value {
        let mut value = report.value();
        value["toMake"] = self.lacking.into();
        value["preflight"] = self.preflight.json();
        value
    }
}

/// The last lines of an import: the totals, and the path of the Helm values.
pub(crate) fn summary(
    destination: &Destination,
    report: &RunReport,
    sent: &Sent,
    took: Duration,
    values: Option<&WrittenValues>,
) -> String {
    let number = |state| report.number(state);
    let images = count(number(ImageState::Done), "image");
    let sent_images = match sent.artifacts {
        none if none.is_empty() => format!("{images} sent"),
        artifacts => format!("{images} sent, with {artifacts}"),
    };
    let skipped = number(ImageState::Skipped);
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    let mut text = format!(
        "{destination}: {sent_images}, {} there already{skipped}; {} ({}) uploaded, {} mounted, \
         {} there already; in {:.1} s\n",
        number(ImageState::AlreadyThere),
        count(usize::try_from(sent.uploaded).unwrap_or(usize::MAX), "blob"),
        bytes(sent.bytes),
        sent.mounted,
        sent.already,
        took.as_secs_f64(),
    );
    text.push_str(&report.chosen("imported"));
    if let Some(WrittenValues { path, kept, is_of_chart }) = values {
        let only = if *is_of_chart {
            ""
        } else {
            " (only the registry override: the list names no values of a chart)"
        };
        let _ = writeln!(text, "\nHelm values{only}: {}", path.display());
        if *is_of_chart && number(ImageState::Failed) == 0 {
            let _ = writeln!(text, "  helm upgrade … --values {}", typed(path));
        }
        if let Some(kept) = kept {
            let _ =
                writeln!(text, "{} is kept: it was edited, or is for another destination", kept.display());
        }
    }
    text
}

/// For example `3 names fit, and none collide`.
pub(crate) fn names_text(fit: usize, unfit: usize) -> String {
    let (verb, others) = (if fit == 1 { "fits" } else { "fit" }, if unfit == 1 { "does" } else { "do" });
    let rest = if unfit == 0 { String::new() } else { format!("; {unfit} {others} not") };
    format!("{} {verb}, and none collide{rest}", count(fit, "name"))
}
