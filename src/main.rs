//! The program `bundle`: parses the command line, runs the command and returns its exit code.

use std::process::ExitCode;

use airgap_bundle::{cli::Cli, commands};
use clap::Parser;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) => commands::refuse(&error),
    }
    .into()
}
