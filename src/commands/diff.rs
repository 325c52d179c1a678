//! `bundle diff`: what one bundle has that another has not.

use crate::app::failure::ExitCode;
use crate::cli::{DiffArgs, DiffFormat};
use crate::inputs::open_bundle;
use crate::review::{self, Diff, Facts};
use crate::session::console;

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let facts =
        |path| anyhow::Ok(Facts::of(open_bundle::open(Some(path), &args.trust)?.image_store.as_ref())?);
    let diff = Diff::of(&facts(&args.old)?, &facts(&args.new)?);
    match args.format {
        DiffFormat::Human => console::print(&review::text(&diff))?,
        DiffFormat::Markdown => console::print(&review::markdown(&diff))?,
        DiffFormat::Json => console::print_json(&serde_json::to_value(&diff)?)?,
    }
    Ok(if args.exit_code && !diff.is_empty() { ExitCode::Differs } else { ExitCode::Done })
}
