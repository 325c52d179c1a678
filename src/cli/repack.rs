//! `bundle repack`.

use std::path::PathBuf;

use clap::Args;

use super::{ForeignLayers, OutputArgs, ReportArgs, RowArgs, SelectionArgs, TrustArgs, WithArgs, WriteArgs};
use crate::image::Platform;

#[derive(Debug, Args)]
pub struct RepackArgs {
    /// The bundles whose images the new one has: files, volumes, or OCI layouts of other tools.
    #[arg(value_name = "BUNDLE", required = true)]
    pub bundles: Vec<PathBuf>,
    /// Restore lost or damaged volumes of the set from its parity volumes: beside the others, or into the folder that -o
    /// names.
    #[arg(long, conflicts_with_all = [
        "fill_from", "base", "platform", "foreign_layers", "with", "volume_size", "parity", "with_self", "no_sidecar", "force",
        "fresh", "dry_run", "skip_preflight", "spool", "sign_key", "passphrase_file", "policy", "statement", "by",
    ])]
    #[arg(conflicts_with_all = ["only", "skip", "only_chart", "only_component", "signature"])]
    pub rebuild: bool,
    /// A bundle whose blobs are taken where the others lack them: the base of a delta, or what was sent after a
    /// salvage.
    #[arg(long, value_name = "BUNDLE")]
    pub fill_from: Vec<PathBuf>,
    /// Leave out layers that this bundle, `bundle.json`, inventory or receipt has: a delta.
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// Keep only these platforms of multi-platform images (default: all).
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Vec<Platform>,
    /// Leave out layers that their publisher keeps outside of registries, as export does.
    #[arg(long, value_enum, default_value_t = ForeignLayers::Carry)]
    pub foreign_layers: ForeignLayers,
    #[command(flatten)]
    pub with: WithArgs,
    #[command(flatten)]
    pub rows: RowArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Blobs at once, at most.
    #[arg(short, long, value_name = "N", default_value_t = 6, env = "AIRGAP_BUNDLE_JOBS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

impl RepackArgs {
    /// Bundles have rows, and nothing but rows.
    pub fn selection(&self) -> SelectionArgs {
        SelectionArgs { rows: self.rows.clone(), ..SelectionArgs::default() }
    }
}
