//! `bundle import`, and the commands that read a bundle: `verify`, `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::heading::{INPUT, MEDIA, OUTPUT, RESUME, SELECTION, TRUST};
use super::common::{pair, printable};
use super::{
    ApprovalArgs, MappingArgs, NetworkArgs, OutputArgs, PolicyArgs, ReportArgs, SignKeyArgs, TrustArgs,
    ValuesStyleArgs, WithArgs,
};
use crate::image::{Platform, Reference};

/// The group of the flags for Amazon ECR.
const ECR: &str = "Amazon ECR (missing repositories)";

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ImportArgs {
    /// Bundle, OCI layout, address, or `-` for stdin. Default: the one bundle in this folder.
    ///
    /// A bundle is a file, its volumes, or a folder; an address begins with https://, http:// or s3://.
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
    /// Older bundle to which the blobs of a compact one refer; repeatable.
    ///
    /// Without it they are read where the destination has them.
    #[arg(long, value_name = "BUNDLE", help_heading = INPUT, hide_short_help = true)]
    pub base: Vec<PathBuf>,
    /// Name of the one image in a layout of another tool.
    ///
    /// For example when the layout has no name for it.
    #[arg(long, value_name = "REFERENCE", help_heading = INPUT, hide_short_help = true)]
    pub name: Option<Reference>,
    /// Only images whose name matches; `*` and `?` as in a shell (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub only: Vec<String>,
    /// Import one platform of a layout of another tool that lacks others.
    ///
    /// The tag then names the manifest of that platform; the index is not imported.
    #[arg(long, value_name = "OS/ARCH", help_heading = SELECTION, hide_short_help = true)]
    pub platform: Option<Platform>,
    /// Send only part I of N, so that N machines share the work.
    ///
    /// Every image is in one part, whatever the registry holds. N alone takes the part from `JOB_COMPLETION_INDEX`, which an
    /// Indexed Job of Kubernetes counts from 0.
    #[arg(long, value_name = "I/N", value_parser = shard, help_heading = SELECTION)]
    pub shard: Option<ShardArg>,
    #[command(flatten)]
    pub with: WithArgs,
    /// Registry to push to, with an optional path prefix.
    #[arg(short, long, value_name = "REGISTRY", help_heading = OUTPUT)]
    pub destination: String,
    /// For a tag in use: overwrite, skip or fail.
    ///
    /// This is about tags with other content. `overwrite` moves the tag and `skip` leaves it, both with a message. `fail` fails the image.
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = OnConflict::Overwrite, hide_possible_values = true, help_heading = OUTPUT)]
    pub on_conflict: OnConflict,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Print the plan and any problems; write nothing.
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
    /// File for the Helm values. Default: `<bundle>.values.yaml`.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub values: Option<PathBuf>,
    #[command(flatten)]
    pub style: ValuesStyleArgs,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    /// Create missing Harbor projects, as private ones.
    ///
    /// The project is the first component of every target's path.
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub create_projects: bool,
    /// Directory that buffers blobs read from a pipe. Emptied afterwards.
    ///
    /// Large blobs are kept there until they are sent, so that failed uploads can be retried.
    #[arg(long, value_name = "DIR", help_heading = MEDIA)]
    pub spool: Option<PathBuf>,
    /// Begin with the first volume and wait for the others.
    ///
    /// For discs that are changed, or copies in progress. The list (`X.volumes.json`) must be there.
    #[arg(long, conflicts_with_all = ["name", "platform"], help_heading = MEDIA)]
    pub wait_for_volumes: bool,
    /// Leave out images that fail; the exit code is then 7.
    #[arg(long, help_heading = RESUME)]
    pub keep_going: bool,
    /// Import every whole image of a damaged bundle.
    ///
    /// What is missing is written to `<bundle>.request-….json`, for `bundle export --request`. The exit code is then 7.
    #[arg(long, help_heading = RESUME)]
    pub salvage: bool,
    /// Skip the checks made before the run (free space, access, …).
    #[arg(long, help_heading = RESUME, hide_short_help = true)]
    pub skip_preflight: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub approval: ApprovalArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Write a receipt of what arrived, signed with --sign-key.
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub receipt: Option<PathBuf>,
    /// Name in the receipt. Default: user@host.
    #[arg(long, value_name = "NAME", help_heading = TRUST, value_parser = printable, requires = "receipt", hide_short_help = true)]
    pub by: Option<String>,
    #[command(flatten)]
    pub sign: SignKeyArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub ecr: EcrArgs,
}

/// How missing repositories are created at Amazon ECR. A build without the feature `ecr` has the flags too, and refuses
/// them.
#[derive(Clone, Debug, Args)]
pub struct EcrArgs {
    /// Create repositories whose tags cannot be moved.
    #[arg(long, help_heading = ECR, hide_short_help = true)]
    pub ecr_immutable_tags: bool,
    /// Create repositories that scan images when they are pushed.
    #[arg(long, help_heading = ECR, hide_short_help = true)]
    pub ecr_scan_on_push: bool,
    /// Create repositories that are encrypted with this KMS key.
    #[arg(long, value_name = "ARN", help_heading = ECR, hide_short_help = true)]
    pub ecr_kms_key: Option<String>,
    /// Create repositories with this lifecycle policy (JSON).
    #[arg(long, value_name = "FILE", help_heading = ECR, hide_short_help = true)]
    pub ecr_lifecycle: Option<PathBuf>,
}

/// A part of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardArg {
    /// Counted from 0; none if `JOB_COMPLETION_INDEX` gives it.
    pub index: Option<usize>,
    pub count: usize,
}

fn shard(text: &str) -> Result<ShardArg, String> {
    const MOST: usize = 1000;
    let refuse = || format!("write I/N, such as 2/4, with N from 1 to {MOST} and I from 1 to N; or N alone");
    let (index, count) = match text.split_once('/') {
        Some((index, count)) => (Some(index.parse::<usize>().map_err(|_| refuse())?), count),
        None => (None, text),
    };
    let count: usize = count.parse().map_err(|_| refuse())?;
    let fits = (1..=MOST).contains(&count) && index.is_none_or(|index| (1..=count).contains(&index));
    if fits { Ok(ShardArg { index: index.map(|index| index - 1), count }) } else { Err(refuse()) }
}

/// What to do with a tag that is there with another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Move the tag, and say so.
    Overwrite,
    /// Leave the tag, and say so.
    Skip,
    /// Fail that image.
    Fail,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Bundle, as exported, unpacked or packed again; its address; or an OCI layout.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Older bundle to which the blobs of a compact one refer; repeatable.
    #[arg(long, value_name = "BUNDLE", help_heading = INPUT)]
    pub base: Vec<PathBuf>,
    /// Fail if a blob cannot be checked, because it is made from those of an older bundle that --base does not name.
    #[arg(long, help_heading = INPUT, conflicts_with = "names_only", hide_short_help = true)]
    pub complete: bool,
    /// Name of the one image in a layout of another tool.
    #[arg(long, value_name = "REFERENCE", help_heading = INPUT, hide_short_help = true)]
    pub name: Option<Reference>,
    /// Check that all images of these rendered manifests are in the bundle.
    ///
    /// Files, folders, or `-` for stdin (repeatable).
    #[arg(long, value_name = "MANIFESTS", help_heading = INPUT)]
    pub manifests: Vec<PathBuf>,
    /// With --manifests: check that the images are in this registry too.
    ///
    /// They must have the digests of the bundle. The registry may be followed by a path prefix.
    #[arg(short, long, value_name = "REGISTRY", requires = "manifests", help_heading = INPUT)]
    pub destination: Option<String>,
    /// Treat warnings as errors.
    ///
    /// With --manifests: images that are only probable are required too.
    #[arg(long, requires = "manifests", help_heading = INPUT)]
    pub strict: bool,
    /// With --manifests: do not read the content of the bundle.
    ///
    /// Names and digests are compared.
    #[arg(long, requires = "manifests", help_heading = INPUT)]
    pub names_only: bool,
    /// Check one platform of a layout of another tool that lacks others.
    ///
    /// As `bundle import --platform` reads it.
    #[arg(long, value_name = "OS/ARCH", help_heading = SELECTION, hide_short_help = true)]
    pub platform: Option<Platform>,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Check a receipt: that it is of this bundle, and every image arrived.
    ///
    /// Repeatable; receipts of one destination count together.
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub receipt: Vec<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub approval: ApprovalArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Bundle, address of a bundle, or OCI layout of another tool.
    #[arg(value_name = "BUNDLE", required_unless_present = "destination", conflicts_with = "destination")]
    pub bundle: Option<PathBuf>,
    /// Show what this registry holds of --catalog, instead of a bundle.
    ///
    /// The result is an inventory for `bundle export --base`. The registry may be followed by a path prefix.
    #[arg(short, long, value_name = "REGISTRY", requires = "catalog", help_heading = INPUT)]
    pub destination: Option<String>,
    /// With -d: built-in catalog, file, or `-` for stdin (repeatable).
    #[arg(long, value_name = "CATALOG", requires = "destination", help_heading = INPUT)]
    pub catalog: Vec<String>,
    /// Set a variable of the catalog (repeatable).
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair, requires = "catalog", help_heading = INPUT)]
    pub set: Vec<(String, String)>,
    /// With -d: inventory file to write.
    #[arg(short, long, value_name = "FILE", requires = "destination", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub mapping: MappingArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("2/4"), Ok(ShardArg { index: Some(1), count: 4 }));
        assert_eq!(shard("4"), Ok(ShardArg { index: None, count: 4 }));
        for text in ["", "0/4", "5/4", "1/0", "0", "-1/2", "1/2/3", "a/b", "1/1001"] {
            assert!(shard(text).is_err(), "{text}");
        }
    }
}
