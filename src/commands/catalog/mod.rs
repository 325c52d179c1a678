//! `bundle catalog`: list, show, lint, lock and discover catalogs.

mod discover;
mod lint;
mod lock;
mod show;

use tokio_util::sync::CancellationToken;

use crate::app::failure::ExitCode;
use crate::catalog::builtin;
use crate::cli::CatalogCommand;
use crate::session::{Session, console};

pub(super) async fn run(command: &CatalogCommand, cancel: CancellationToken) -> anyhow::Result<ExitCode> {
    match command {
        CatalogCommand::List => show::list(),
        CatalogCommand::Show { catalog, format } => show::show(catalog, *format),
        CatalogCommand::Discover(args) => {
            discover::run(&Session::new(&args.output_style, cancel), args).await
        }
        CatalogCommand::Lint(args) => lint::run(&Session::new(&args.output_style, cancel), args).await,
        CatalogCommand::Schema { example, policy } => {
            console::print(match (example, policy) {
                (true, _) => builtin::EXAMPLE,
                (_, true) => crate::policy::SCHEMA,
                _ => builtin::SCHEMA,
            })?;
            Ok(ExitCode::Done)
        }
        CatalogCommand::Lock(args) => lock::run(&Session::new(&args.output_style, cancel), args).await,
    }
}
