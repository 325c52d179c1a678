//! `bundle repack`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::heading::{INPUT, MEDIA, OUTPUT, SELECTION};
use super::{
    BaseContentArgs, ForeignLayers, OutputArgs, ReportArgs, RowArgs, TrustArgs, WithArgs, WriteArgs,
};
use crate::image::Platform;

#[derive(Debug, Args)]
pub struct RepackArgs {
    /// Bundles whose images the new one has: files, volumes, or OCI layouts of other tools.
    #[arg(value_name = "BUNDLE", required = true)]
    pub bundles: Vec<PathBuf>,
    /// Take blobs that are missing from this bundle (repeatable).
    ///
    /// The base of a delta, or the answer to a request of `bundle import --salvage`.
    #[arg(long, value_name = "BUNDLE", help_heading = INPUT)]
    pub fill_from: Vec<PathBuf>,
    /// Make a delta, without the layers that this base has.
    ///
    /// The base is a bundle, its `bundle.json`, the receipt of an import, or an inventory that `bundle inspect -d`
    /// wrote. With --verify-key, one of the keys must have signed it.
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub base_content: BaseContentArgs,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Keep only these platforms of multi-platform images (repeatable).
    ///
    /// This changes the digest of the index. Without the flag, all platforms are carried.
    #[arg(long, value_name = "OS/ARCH", help_heading = SELECTION)]
    pub platform: Vec<Platform>,
    #[command(flatten)]
    pub with: WithArgs,
    /// Layers that are kept outside of registries (old Windows bases): `carry` them, or leave them out (`keep-urls`).
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ForeignLayers::Carry, help_heading = SELECTION, hide_short_help = true)]
    pub foreign_layers: ForeignLayers,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Form of the blobs: `layout`, `compact` or `max`.
    ///
    /// As `layout` they are what registries have; in `compact` form they are smaller, and with `max` smallest, see --compact of
    /// `bundle export`. Each is made from each, and digests stay what they are.
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = ProfileChoice::Layout, hide_possible_values = true, help_heading = OUTPUT)]
    pub profile: ProfileChoice,
    /// Rebuild lost or damaged volumes from parity volumes.
    ///
    /// They are written beside the others, or into the directory that -o names.
    #[arg(long, help_heading = MEDIA, conflicts_with_all = [
        "fill_from", "base", "base_content", "platform", "foreign_layers", "with", "volume_size", "parity", "with_self", "no_sidecar", "force",
        "fresh", "dry_run", "skip_preflight", "profile", "spool", "sign_key", "passphrase_file", "policy", "statement", "by",
    ])]
    #[arg(conflicts_with_all = ["only", "skip", "only_chart", "only_component", "signature"])]
    pub rebuild: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    /// Maximum number of concurrent transfers.
    ///
    /// Here: of blobs that are copied. Environment: `AIRGAP_BUNDLE_JOBS`.
    #[arg(short, long, value_name = "N", default_value_t = 6, env = "AIRGAP_BUNDLE_JOBS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = OUTPUT)]
    pub jobs: u16,
}

/// The form of the blobs of a new bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileChoice {
    /// An OCI image layout.
    Layout,
    /// What is in the layers, and how to make them again.
    Compact,
    /// The same for what is in the zip files of the layers.
    Max,
}
