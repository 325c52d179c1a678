//! Parse, run, exit.

use std::process::ExitCode;

use airgap_bundle::{cli::Cli, commands};
use clap::Parser;

fn main() -> ExitCode {
    commands::run(Cli::parse()).into()
}
