//! `bundle review`: a page, a table or JSON for whoever decides whether a bundle may cross.

use std::path::Path;

use super::{input, outputs};
use crate::cli::{ReviewArgs, ReviewFormat};
use crate::failure::ExitCode;
use crate::review::{self, Diff, Facts, Page};

pub(super) fn run(args: &ReviewArgs) -> anyhow::Result<ExitCode> {
    let mut inputs = vec![("the bundle", args.bundle.as_path())];
    inputs.extend(args.against.iter().map(|path| ("--against", path.as_path())));
    outputs::keep_apart(&inputs, &[("the review", &args.output)])?;
    let facts =
        |path: &Path| anyhow::Ok(Facts::of(input::open(Some(path), None, &args.trust)?.holdings.as_ref())?);
    let (now, old) = (facts(&args.bundle)?, args.against.as_deref().map(facts).transpose()?);
    let diff = old.as_ref().map(|old| Diff::of(old, &now));
    let page = Page { facts: &now, diff: diff.as_ref(), findings: &[], today: jiff::Timestamp::now() };
    let text = match args.format.unwrap_or_else(|| format_of(&args.output)) {
        ReviewFormat::Html => review::page(&page),
        ReviewFormat::Json => format!("{:#}\n", review::json(&page)),
        ReviewFormat::Csv => String::from_utf8(review::csv(&now)?)?,
    };
    if args.output.as_os_str() == "-" {
        super::print(&text);
        return Ok(ExitCode::Done);
    }
    outputs::spare(&args.output, text.as_bytes(), args.force, "")?;
    outputs::write(&args.output, &text)?;
    super::print(&format!("{}\n", args.output.display()));
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
