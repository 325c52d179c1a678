//! `bundle export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::{printable, volume_size};
use super::{
    CatalogArgs, NetworkArgs, OutputArgs, PolicyArgs, ReportArgs, SelectionArgs, SignKeyArgs, TrustArgs,
    WithArgs,
};
use crate::image::{HostName, Platform};

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Take every digest from a lock that `bundle catalog lock` wrote, and the rows too (default: catalog.lock).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "catalog.lock")]
    pub locked: Option<PathBuf>,
    /// Export what an import with --salvage asked for, and nothing else. A catalog, --locked or --base (the damaged
    /// bundle) is compared with it: names, sources and digests have to be the same.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["platform", "add"])]
    pub request: Option<PathBuf>,
    /// Leave out layers that the destination has already, through this bundle, its `bundle.json`, an inventory that
    /// `bundle inspect -d` wrote, or the receipt of an import: a delta. With --verify-key one of the keys must have
    /// signed it.
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// Keep only these platforms of multi-platform images (default: all).
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Vec<Platform>,
    /// With --platform: allow entries that pin an index by digest to get a new digest.
    #[arg(long)]
    pub repin: bool,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long)]
    pub keep_host: bool,
    /// Layers that their publisher keeps outside of registries (old Windows bases): carry them too, from the registry
    /// or from where they say they are; or leave them out, for clusters that can reach those addresses.
    #[arg(long, value_enum, default_value_t = ForeignLayers::Carry)]
    pub foreign_layers: ForeignLayers,
    #[command(flatten)]
    pub with: WithArgs,
    /// Go on without images that fail; exit code 7.
    #[arg(long)]
    pub keep_going: bool,
    #[command(flatten)]
    pub write: WriteArgs,
    /// What --base is asked for before anything in it is believed.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// The registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "HOST", requires = "username")]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Where and how a bundle is written.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct WriteArgs {
    /// Where to write; `-` is stdout. Default of export: `<catalog>-<version>.tar.zst`. Endings of other formats, such as
    /// `.tar`, `.tgz` or `.zip`, are refused.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Cut the file into volumes of this size, for media: fat32, dvd5, dvd9, bd25, or bytes such as 700M or 4GiB-1.
    #[arg(long, value_name = "SIZE", value_parser = volume_size)]
    pub volume_size: Option<u64>,
    /// Add N parity volumes, from which any N lost or damaged volumes can be rebuilt (bundle repack --rebuild). The size
    /// of volumes is rounded down to a multiple of 64 bytes.
    #[arg(long, value_name = "N", requires = "volume_size", value_parser = clap::value_parser!(u16).range(1..=999))]
    pub parity: Option<u16>,
    /// Put this program beside the bundle, with its checksum and a text on how to do without it.
    #[arg(long)]
    pub with_self: bool,
    /// Write no `.sha256` file beside the bundle.
    #[arg(long)]
    pub no_sidecar: bool,
    /// Replace an existing file of other content.
    #[arg(long)]
    pub force: bool,
    /// Forget what an earlier, interrupted run left.
    #[arg(long)]
    pub fresh: bool,
    /// Print the plan and what stands against it, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not refuse to begin for lack of room or other things that are looked at first.
    #[arg(long)]
    pub skip_preflight: bool,
    /// Where blobs may wait for their turn when the file is written strictly in order: into a pipe, or on a disk
    /// without sparse files (FAT, exFAT). A folder on another disk; emptied afterwards.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignKeyArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Write what was made, by whom and of what beside the bundle: FILE.statement.json, signed with --sign-key.
    #[arg(long, help_heading = "Trust")]
    pub statement: bool,
    /// Who that is. Default: user@host.
    #[arg(long, value_name = "NAME", help_heading = "Trust", value_parser = printable, requires = "statement")]
    pub by: Option<String>,
}

/// What becomes of layers that their publisher keeps outside of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForeignLayers {
    Carry,
    KeepUrls,
}
