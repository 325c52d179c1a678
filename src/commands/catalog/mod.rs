//! `bundle catalog`: what can be done with catalogs before anything is exported.

mod show;

use crate::cli::CatalogCommand;
use crate::failure::ExitCode;

pub(super) fn run(command: &CatalogCommand) -> anyhow::Result<ExitCode> {
    match command {
        CatalogCommand::List => {
            show::list();
            Ok(ExitCode::Done)
        }
        CatalogCommand::Show { catalog, format } => show::show(catalog, *format),
    }
}
