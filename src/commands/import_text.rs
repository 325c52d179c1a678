//! What an import prints: the plan of a dry run, and the summary.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Instant;

use super::import::{Run, place};
use super::import_values::WrittenValues;
use super::preflight::Preflight;
use super::run_report::{ImageState, RunReport};
use crate::app::text::typed;
use crate::cli::ResultFormat;
use crate::destination::Preparation;
use crate::image::ArtifactCounts;
use crate::plan::{ImportPlan, Landing};
use crate::report::{bytes, count};
use crate::transfer::Sent;

impl Run<'_> {
    pub(super) fn print_plan(
        &self,
        plan: &ImportPlan,
        landings: &[Landing],
        preparation: &Preparation,
        lacking: &[String],
        preflight: &Preflight,
        report: &RunReport,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        let sent: HashSet<usize> = plan.arrivals.iter().map(|arrival| arrival.landing.image).collect();
        for landing in landings.iter().filter(|landing| landing.main) {
            let row = &report.images[landing.image];
            let state = match row.state {
                ImageState::Failed => "fails",
                ImageState::Skipped => "skip",
                _ if sent.contains(&landing.image) => "send",
                _ => "there",
            };
            let _ = writeln!(text, "{state:5}  {}  →  {}", row.name, place(landing));
        }
        let mut artifacts = ArtifactCounts::default();
        for one in plan.arrivals.iter().flat_map(|arrival| &arrival.artifacts) {
            artifacts.extend(self.holdings.bundle().artifacts[one.artifact].kind());
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
            let _ = writeln!(text, "{} to be made:\n  {}", preparation.nouns().1, lacking.join("\n  "));
        }
        match self.session.format {
            ResultFormat::Human => super::console::print(&format!("{text}\n{}", preflight.text()))?,
            ResultFormat::Json => {
                let mut value = report.value();
                value["toMake"] = lacking.into();
                value["preflight"] = preflight.json();
                super::console::print_json(&value)?;
            }
        }
        Ok(())
    }

    pub(super) fn print_summary(
        &self,
        report: &RunReport,
        sent: &Sent,
        began: Instant,
        values: Option<&WrittenValues>,
    ) -> anyhow::Result<()> {
        if self.session.format == ResultFormat::Json {
            return Ok(super::console::print_json(&report.value())?);
        }
        let number = |state| report.number(state);
        let images = count(number(ImageState::Done), "image");
        let sent_images = match sent.artifacts {
            none if none.is_empty() => format!("{images} sent"),
            artifacts => format!("{images} sent, with {artifacts}"),
        };
        let skipped = number(ImageState::Skipped);
        let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        let mut text = format!(
            "{}: {sent_images}, {} there already{skipped}; {} ({}) uploaded, {} mounted, {} there already; in {:.1} s\n",
            self.destination,
            number(ImageState::AlreadyThere),
            count(usize::try_from(sent.uploaded).unwrap_or(usize::MAX), "blob"),
            bytes(sent.bytes),
            sent.mounted,
            sent.already,
            began.elapsed().as_secs_f64(),
        );
        text.push_str(&report.chosen("imported"));
        if let Some(WrittenValues { path, kept }) = values {
            let _ = write!(
                text,
                "\nHelm values: {}\n  helm upgrade … --values {}\n",
                path.display(),
                typed(path)
            );
            if let Some(kept) = kept {
                let _ = writeln!(text, "{} was changed by somebody and stays as it is", kept.display());
            }
        }
        Ok(super::console::print(&text)?)
    }
}
