//! `bundle catalog`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List the built-in catalogs.
    List,
    /// Print a catalog's configuration table.
    Show {
        /// A built-in catalog, a file, or `-`.
        #[arg(default_value = "stackstate@4.1")]
        catalog: String,
        #[arg(long, value_enum, default_value_t = TableFormat::Text)]
        format: TableFormat,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Text,
    Json,
    Markdown,
}
