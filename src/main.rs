//! Parse, run, exit.

use std::process::ExitCode;

use airgap_bundle::{cli::Cli, commands};
use clap::Parser;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) => commands::refuse(&error),
    }
    .into()
}
