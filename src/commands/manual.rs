//! `bundle completions` and `bundle man`, generated from the command line's definition.

use std::path::Path;

use clap::CommandFactory;

use crate::app::failure::{ExitCode, Failure};
use crate::cli::Cli;
use crate::session::console;

pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bundle", &mut text);
    console::write(&text)?;
    Ok(ExitCode::Done)
}

pub(super) fn man(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    if let Some(dir) = dir {
        let written =
            std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
        written.map_err(|error| Failure::io(dir, &error))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        console::write(&page)?;
    }
    Ok(ExitCode::Done)
}
