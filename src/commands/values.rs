//! `bundle values`: the Helm values for a destination, from the bundle alone.

use super::input;
use crate::cli::ValuesArgs;
use crate::destination::Destination;
use crate::failure::{ExitCode, Failure};
use crate::handoff::helm_values;

pub(super) fn run(args: &ValuesArgs) -> anyhow::Result<ExitCode> {
    let destination: Destination = args.destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let opened = input::open(Some(&args.bundle), None)?;
    super::print(&helm_values(&opened.holdings.bundle().catalog, &destination)?);
    Ok(ExitCode::Done)
}
