//! `bundle unpack`.

use std::path::PathBuf;

use clap::Args;

use super::common::heading::{INPUT, OUTPUT, SELECTION};
use super::{OutputArgs, PolicyArgs, ReportArgs, RowArgs, SignKeyArgs, TrustArgs, WriteArgs};
use crate::image::Platform;

#[derive(Debug, Args)]
pub struct UnpackArgs {
    /// Bundle to unpack: a file, its volumes, or an OCI layout of another tool.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Take blobs that are missing from this bundle (repeatable).
    ///
    /// A delta is unpacked with its base.
    #[arg(long, value_name = "BUNDLE", help_heading = INPUT)]
    pub fill_from: Vec<PathBuf>,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Keep only these platforms of multi-platform images (repeatable).
    ///
    /// This changes the digest of the index. Without the flag, all platforms are unpacked.
    #[arg(long, value_name = "OS/ARCH", help_heading = SELECTION)]
    pub platform: Vec<Platform>,
    /// New folder, file that ends with `.tar`, or `-` for stdout.
    #[arg(short, long, value_name = "PLACE", help_heading = OUTPUT)]
    pub output: PathBuf,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

impl UnpackArgs {
    /// As an export into the same place would be written.
    pub fn write(&self) -> WriteArgs {
        WriteArgs {
            output: Some(self.output.clone()),
            dry_run: false,
            force: self.force,
            with_self: false,
            no_sidecar: true,
            volume_size: None,
            parity: None,
            spool: None,
            assume_medium: None,
            fresh: false,
            skip_preflight: false,
            sign: SignKeyArgs::default(),
            policy: PolicyArgs::default(),
            statement: false,
            by: None,
        }
    }
}
