//! `bundle catalog`, and the choice of images that it shares with `bundle export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::common::pair;
use super::{NetworkArgs, OutputArgs, WithArgs};
use crate::catalog::SourceRewrite;
use crate::image::HostName;

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
    /// Write down which digest every reference has now.
    ///
    /// The lock goes into version control; `bundle export --locked` downloads what it says and nothing else. Locking
    /// again tells what moved; without a CATALOG it locks the rows again that are in the lock.
    #[command(after_help = "Examples:\n  bundle catalog lock stackstate@4.1\n  \
        bundle catalog lock --check --exit-code       has a tag moved since?\n  \
        bundle catalog lock images.txt --keep         lock what is new, move nothing\n  \
        bundle export --locked")]
    Lock(LockArgs),
    /// Find what will cost somebody a night: tags that move, names that clash, values that are missing.
    ///
    /// Ends with exit code 3 when something will fail.
    #[command(after_help = "Examples:\n  bundle catalog lint shop.yaml\n  \
        bundle catalog lint shop.yaml -d registry.local/mirror --online --strict")]
    Lint(LintArgs),
}

/// `bundle catalog lock`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct LockArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Where to write the lock; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "catalog.lock")]
    pub output: PathBuf,
    /// Compare with the lock that is there, and write nothing.
    #[arg(long)]
    pub check: bool,
    /// With differences, end with exit code 8.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub with: WithArgs,
    /// Keep the digests that are locked already; lock only what is new.
    #[arg(long)]
    pub keep: bool,
    /// Note when each image was built.
    #[arg(long)]
    pub dates: bool,
    /// Replace a file that is no lock.
    #[arg(long)]
    pub force: bool,
    /// The registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "HOST", requires = "username")]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

/// `bundle catalog lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Check names against this registry and prefix.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: Option<String>,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long)]
    pub keep_host: bool,
    /// Ask for every image where it is said to be.
    #[arg(long)]
    pub online: bool,
    /// End with exit code 3 for warnings too.
    #[arg(long)]
    pub strict: bool,
    /// The registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "HOST", requires = "username")]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Text,
    Json,
    Markdown,
}
