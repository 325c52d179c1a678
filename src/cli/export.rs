//! `bundle export`.

use std::path::PathBuf;

use clap::Args;

use super::common::pair;
use super::{NetworkArgs, OutputArgs, WithArgs};
use crate::catalog::SourceRewrite;
use crate::image::{HostName, Platform};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ExportArgs {
    /// A built-in catalog (see `bundle catalog list`), a file, or `-`: YAML, JSON, or one image per line.
    #[arg(value_name = "CATALOG")]
    pub catalogs: Vec<String>,
    /// Where to write; `-` is stdout. Default: `<catalog>-<version>.tar.zst`.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Set a variable of the catalog.
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Keep only these platforms of multi-platform images (default: all).
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Vec<Platform>,
    /// With --platform: allow entries that pin an index by digest to get a new digest.
    #[arg(long)]
    pub repin: bool,
    /// Pull what the catalog names FROM… from TO… instead; names behind the gap stay.
    #[arg(long, value_name = "FROM=TO")]
    pub source: Vec<SourceRewrite>,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long)]
    pub keep_host: bool,
    #[command(flatten)]
    pub with: WithArgs,
    /// Go on without images that fail; exit code 7.
    #[arg(long)]
    pub keep_going: bool,
    /// Forget what an earlier, interrupted run left.
    #[arg(long)]
    pub fresh: bool,
    /// Replace an existing file of other content.
    #[arg(long)]
    pub force: bool,
    /// Print the plan and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where blobs may wait for their turn when the file is written strictly in order: into a pipe, or on a disk
    /// without sparse files (FAT, exFAT). A folder on another disk; emptied afterwards.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Write no `.sha256` file beside the bundle.
    #[arg(long)]
    pub no_sidecar: bool,
    /// The registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "HOST", requires = "username")]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
}
