//! `bundle catalog list` and `bundle catalog show`.

use crate::app::failure::ExitCode;
use crate::catalog::{builtin, table};
use crate::cli::TableFormat;
use crate::request::catalogs;
use crate::session::console::print;

pub(super) fn list() -> anyhow::Result<ExitCode> {
    let names = builtin::names().into_iter().map(|name| format!("{name}\n"));
    print(&names.collect::<String>())?;
    Ok(ExitCode::Done)
}

pub(super) fn show(catalog: &str, format: TableFormat) -> anyhow::Result<ExitCode> {
    let format = match format {
        TableFormat::Text => table::TableFormat::Text,
        TableFormat::Json => table::TableFormat::Json,
        TableFormat::Markdown => table::TableFormat::Markdown,
    };
    print(&table::render(&catalogs::read(catalog)?, format))?;
    Ok(ExitCode::Done)
}
