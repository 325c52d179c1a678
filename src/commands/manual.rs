//! `bundle completions` and `bundle man`, generated from the command line's definition.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::ExitCode;

pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bundle", &mut text);
    let _ = std::io::stdout().lock().write_all(&text);
    ExitCode::Done
}

pub(super) fn man(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    if let Some(dir) = dir {
        clap_mangen::generate_to(Cli::command(), dir)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        let _ = std::io::stdout().lock().write_all(&page);
    }
    Ok(ExitCode::Done)
}
