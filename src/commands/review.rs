//! `bundle review`: a page, a table or JSON for the person who decides whether a bundle may cross the gap.

use std::path::Path;

use crate::app::failure::{ExitCode, Failure};
use crate::cli::{ReviewArgs, ReviewFormat};
use crate::inputs::{open_bundle, policy_check};
use crate::policy::Selection;
use crate::review::{self, Diff, Facts, Page};
use crate::session::{console, output_files};

/// Bytes of labels and settings that JSON and CSV may have, because they leave nothing out.
const MAX_LISTED: usize = 256 << 20;

pub(super) fn run(args: &ReviewArgs) -> anyhow::Result<ExitCode> {
    let mut inputs = vec![("the bundle", args.bundle.as_path())];
    inputs.extend(args.policy.policy.iter().map(|path| ("the policy", path.as_path())));
    inputs.extend(args.against.iter().map(|path| ("--against", path.as_path())));
    output_files::refuse_overlaps(&inputs, &[("the review", &args.output)])?;
    let rules = policy_check::load(&args.policy)?;
    let open = |path: &Path| anyhow::Ok(open_bundle::open(Some(path), &args.trust)?.image_store);
    let image_store = open(&args.bundle)?;
    let now = Facts::of(image_store.as_ref())?;
    let findings = rules
        .map(|rules| rules.findings(image_store.as_ref(), Selection::ALL))
        .transpose()?
        .unwrap_or_default();
    let old = args.against.as_deref().map(open).transpose()?;
    let old = old.map(|old| Facts::of(old.as_ref())).transpose()?;
    let diff = old.as_ref().map(|old| Diff::of(old, &now));
    let page = Page { facts: &now, diff: diff.as_ref(), findings: &findings, today: jiff::Timestamp::now() };
    let format = args.format.unwrap_or_else(|| format_of(&args.output));
    if format != ReviewFormat::Html && now.weight() > MAX_LISTED {
        let why = format!(
            "its labels and settings need more than the {} MiB that JSON and CSV may have",
            MAX_LISTED >> 20
        );
        let hint = "write a page instead: --format html";
        return Err(Failure::new(ExitCode::Content, why).hint(hint).into());
    }
    let text = match format {
        ReviewFormat::Html => review::page(&page),
        ReviewFormat::Json => format!("{:#}\n", review::json(&page)),
        ReviewFormat::Csv => String::from_utf8(review::csv(&page)?)?,
    };
    if args.output.as_os_str() == "-" {
        console::print(&text)?;
        return Ok(ExitCode::Done);
    }
    output_files::refuse_overwrite(&args.output, text.as_bytes(), args.force, "")?;
    output_files::write(&args.output, &text)?;
    console::print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::Done)
}

fn format_of(path: &Path) -> ReviewFormat {
    let is = |ending: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
    match () {
        () if is("csv") => ReviewFormat::Csv,
        () if is("json") => ReviewFormat::Json,
        () => ReviewFormat::Html,
    }
}
