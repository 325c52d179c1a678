//! `bundle import`, and the commands that read a bundle: `verify`, `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::{pair, printable};
use super::{
    ApprovalArgs, MappingArgs, NetworkArgs, OutputArgs, PolicyArgs, ReportArgs, SignKeyArgs, TrustArgs,
    ValuesStyleArgs, WithArgs,
};
use crate::image::{Platform, Reference};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ImportArgs {
    /// The bundle, an OCI layout of another tool (folder or archive), or `-`. Default: the one bundle in this folder.
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
    /// The registry, with a path that goes before every repository if need be.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: String,
    /// Only images whose name matches; `*` and `?` as in a shell.
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
    /// Send only part I of N, so that N machines share the work: every image is in one part, whatever the registry has.
    /// N alone takes the part from `JOB_COMPLETION_INDEX`, which an Indexed Job of Kubernetes counts from 0.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<ShardArg>,
    /// What to do where a tag has other content.
    #[arg(long, value_enum, default_value_t = OnConflict::Overwrite)]
    pub on_conflict: OnConflict,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// The name of the one image in a layout of another tool, for example when it comes without one.
    #[arg(long, value_name = "REF")]
    pub name: Option<Reference>,
    /// Import only the manifest of this platform of multi-platform images, for layouts of other tools that do not contain
    /// all platforms. The tag then names that manifest; the index is not imported.
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// Where blobs out of a pipe may wait: large ones, should the registry lose an upload, and what comes before it
    /// is known. A folder; nothing stays in it.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    #[command(flatten)]
    pub with: WithArgs,
    /// Begin with the first volume and wait for the others, for discs that are changed or copies under way. The list
    /// (`X.volumes.json`) must be there.
    #[arg(long, conflicts_with_all = ["name", "platform"])]
    pub wait_for_volumes: bool,
    /// Go on without images that fail; exit code 7.
    #[arg(long)]
    pub keep_going: bool,
    /// From a damaged bundle, import every image that is whole, and write down what has to come again
    /// (`<bundle>.request-….json`, for `bundle export --request`); exit code 7.
    #[arg(long)]
    pub salvage: bool,
    /// Print the plan and what stands against it, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not look for write access and what a delta builds on before the first byte: images fail one by one instead.
    #[arg(long)]
    pub skip_preflight: bool,
    /// Where to write the Helm values. Default: `<bundle>.values.yaml`.
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    #[command(flatten)]
    pub style: ValuesStyleArgs,
    /// Replace an existing values file of other content.
    #[arg(long)]
    pub force: bool,
    /// Make missing Harbor projects (private ones), the first component of every target's path.
    #[arg(long)]
    pub create_projects: bool,
    #[cfg(feature = "ecr")]
    #[command(flatten)]
    pub ecr: EcrArgs,
    /// Write a receipt of what arrived, signed with --sign-key.
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub receipt: Option<PathBuf>,
    /// Who imports. Default: user@host.
    #[arg(long, value_name = "NAME", help_heading = "Trust", value_parser = printable, requires = "receipt")]
    pub by: Option<String>,
    #[command(flatten)]
    pub sign: SignKeyArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub approval: ApprovalArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// How repositories are made that are missing at Amazon ECR.
#[cfg(feature = "ecr")]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Amazon ECR, where missing repositories are made")]
pub struct EcrArgs {
    /// Tags cannot be moved.
    #[arg(long)]
    pub ecr_immutable_tags: bool,
    /// Images are scanned when they are pushed.
    #[arg(long)]
    pub ecr_scan_on_push: bool,
    /// Encrypt with this KMS key.
    #[arg(long, value_name = "ARN")]
    pub ecr_kms_key: Option<String>,
    /// Give each this lifecycle policy.
    #[arg(long, value_name = "JSON-FILE")]
    pub ecr_lifecycle: Option<PathBuf>,
}

/// A part of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardArg {
    /// Counted from 0; none where the environment tells.
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
    /// The bundle, as it was exported, unpacked or packed again; or an OCI layout of another tool (folder or archive).
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Name of the one image in a layout of another tool.
    #[arg(long, value_name = "REF")]
    pub name: Option<Reference>,
    /// Check only this platform of multi-platform images in a layout of another tool, as `import --platform` reads it.
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// Prove that every image that these rendered manifests name is in the bundle: files, folders, or `-`.
    #[arg(long, value_name = "FILE|DIR|-")]
    pub manifests: Vec<PathBuf>,
    /// With --manifests: prove that they are in this registry too, with the digests of the bundle.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]", requires = "manifests")]
    pub destination: Option<String>,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// With --manifests: what only probably is an image has to be there too.
    #[arg(long, requires = "manifests")]
    pub strict: bool,
    /// With --manifests: compare names and digests, and do not read the content of the bundle.
    #[arg(long, requires = "manifests")]
    pub names_only: bool,
    /// Check that this receipt is of the bundle, and that every image arrived (repeatable; those of one destination
    /// count together).
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub receipt: Vec<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub approval: ApprovalArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    #[arg(value_name = "BUNDLE", required_unless_present = "destination", conflicts_with = "destination")]
    pub bundle: Option<PathBuf>,
    /// Show instead what this registry holds of a catalog, as `export --base` takes it.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]", requires = "catalog")]
    pub destination: Option<String>,
    /// With -d: the catalog; a built-in one, a file, or `-`.
    #[arg(long, value_name = "CATALOG", requires = "destination")]
    pub catalog: Vec<String>,
    /// With --catalog: set a variable of it.
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair, requires = "catalog")]
    pub set: Vec<(String, String)>,
    /// With -d: write the inventory to this file.
    #[arg(short, long, value_name = "FILE", requires = "destination")]
    pub output: Option<PathBuf>,
    /// Replace an existing file of other content.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub mapping: MappingArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
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
