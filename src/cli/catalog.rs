//! `bundle catalog`, and the choice of images that it shares with `bundle export`.

use clap::{Args, Subcommand, ValueEnum};

use super::common::pair;
use crate::catalog::SourceRewrite;

/// Which images, under which names, from where.
#[derive(Clone, Debug, Args)]
pub struct CatalogArgs {
    /// A built-in catalog (see `bundle catalog list`), a file, or `-`: YAML, JSON, or one image per line.
    #[arg(value_name = "CATALOG")]
    pub catalogs: Vec<String>,
    /// Set a variable of the catalog.
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Pull what the catalog names FROM… from TO… instead; names behind the gap stay.
    #[arg(long, value_name = "FROM=TO")]
    pub source: Vec<SourceRewrite>,
}

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
