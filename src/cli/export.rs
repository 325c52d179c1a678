//! `bundle export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::heading::{INPUT, MEDIA, NETWORK, OUTPUT, RESUME, SELECTION, TRUST};
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
    /// Use the rows and digests of a lock. Default file: catalog.lock.
    ///
    /// `bundle catalog lock` writes it. Where the tags point now does not matter.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "catalog.lock", help_heading = INPUT)]
    pub locked: Option<PathBuf>,
    /// Export a delta, without the layers that this base has.
    ///
    /// The base is a bundle, its `bundle.json`, the receipt of an import, or an inventory that `bundle inspect -d`
    /// wrote. With --verify-key, one of the keys must have signed it.
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub base_content: BaseContentArgs,
    /// Export what `import --salvage` asked for.
    ///
    /// Where a catalog, --locked or --base (the damaged bundle) is given, names, sources and digests must be the same
    /// there.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["platform", "add"], help_heading = INPUT)]
    pub request: Option<PathBuf>,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Keep only these platforms of multi-platform images (repeatable).
    ///
    /// This changes the digest of the index. Without the flag, all platforms are carried.
    #[arg(long, value_name = "OS/ARCH", help_heading = SELECTION)]
    pub platform: Vec<Platform>,
    /// With --platform: allow a new digest for entries that pin an index by digest.
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub repin: bool,
    #[command(flatten)]
    pub with: WithArgs,
    /// Layers that are kept outside of registries (old Windows bases): `carry` them, or leave them out (`keep-urls`).
    ///
    /// Carried layers are downloaded from the registry or from the addresses that they name. `keep-urls` is for clusters that
    /// can reach those addresses.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ForeignLayers::Carry, help_heading = SELECTION, hide_short_help = true)]
    pub foreign_layers: ForeignLayers,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Write a smaller bundle with the same digests.
    ///
    /// It carries what is in the layers instead of their gzip form, and with `max` what is in the jars and zip files in them,
    /// too. Import makes the exact layers again, which takes processor time: about a minute for each GB, with `max` two
    /// where there are many jars. Only this program reads such a bundle. Layers whose encoder is not known are carried as
    /// they are.
    #[arg(long, value_enum, value_name = "max", num_args = 0..=1, require_equals = true, default_missing_value = "normal", hide_possible_values = true, help_heading = OUTPUT)]
    pub compact: Option<CompactChoice>,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long, help_heading = OUTPUT)]
    pub keep_host: bool,
    /// Leave out images that fail; the exit code is then 7.
    #[arg(long, help_heading = RESUME)]
    pub keep_going: bool,
    /// Checks --base.
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    /// Registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "REGISTRY", requires = "username", help_heading = NETWORK, hide_short_help = true)]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// A kind of medium, as tests assume it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AssumedMedium {
    /// It has sparse files.
    Sparse,
    /// It fills gaps with zeros.
    Filling,
    /// It fills gaps with zeros, and has no large files.
    Fat,
}

/// Where and how a bundle is written.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct WriteArgs {
    /// File to write; `-` is stdout.
    ///
    /// Default of export: `<catalog>-<version>.tar.zst`. Endings of other formats, such as `.tar`, `.tgz` or `.zip`, are
    /// refused.
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    /// Print the plan and any problems; write nothing.
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    /// Put this program beside the bundle, with its checksum.
    ///
    /// A text with instructions for doing without it is written too.
    #[arg(long, help_heading = OUTPUT)]
    pub with_self: bool,
    /// Do not write the `.sha256` sidecar file.
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub no_sidecar: bool,
    /// Split into volumes: fat32, dvd5, dvd9, bd25, or a size such as 700M.
    ///
    /// Sizes may also be written as 1.5G, 4GiB or 4GiB-1.
    #[arg(long, value_name = "SIZE", value_parser = volume_size, help_heading = MEDIA)]
    pub volume_size: Option<u64>,
    /// Add N parity volumes, from which any N lost volumes can be rebuilt.
    ///
    /// `bundle repack --rebuild` rebuilds them. The size of volumes is rounded down to a multiple of 64 bytes.
    #[arg(long, value_name = "N", requires = "volume_size", value_parser = clap::value_parser!(u16).range(1..=999), help_heading = MEDIA)]
    pub parity: Option<u16>,
    /// Directory on another disk that buffers blobs for a pipe, FAT or exFAT.
    ///
    /// Where the file must be written strictly in order, downloads then need not wait for each other. Emptied afterwards.
    #[arg(long, value_name = "DIR", help_heading = MEDIA)]
    pub spool: Option<PathBuf>,
    /// What the medium of the output is taken for, instead of finding out. For tests.
    #[arg(long, value_enum, env = "AIRGAP_BUNDLE_MEDIUM", hide = true, hide_env = true, help_heading = MEDIA)]
    pub assume_medium: Option<AssumedMedium>,
    /// Discard what an earlier, interrupted run left.
    #[arg(long, help_heading = RESUME)]
    pub fresh: bool,
    /// Skip the checks made before the run (free space, access, …).
    #[arg(long, help_heading = RESUME, hide_short_help = true)]
    pub skip_preflight: bool,
    #[command(flatten)]
    pub sign: SignKeyArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Write a statement: what was made, by whom, of what.
    ///
    /// The sidecar file `FILE.statement.json`, signed with --sign-key.
    #[arg(long, help_heading = TRUST)]
    pub statement: bool,
    /// Name in the statement. Default: user@host.
    #[arg(long, value_name = "NAME", help_heading = TRUST, value_parser = printable, requires = "statement", hide_short_help = true)]
    pub by: Option<String>,
}

/// How layers are handled that their publisher keeps outside of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForeignLayers {
    /// Download them and put them into the bundle.
    Carry,
    /// Leave them where they are.
    KeepUrls,
}

/// How small a compact bundle is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompactChoice {
    /// Without the gzip around layers.
    #[value(hide = true)]
    Normal,
    /// Without the deflated form of what is in the zip files of the layers, too.
    Max,
}

/// What compact blobs may refer to.
#[derive(Debug, Args)]
pub struct BaseContentArgs {
    /// What --compact does with the content of --base: `use`, `require` or `none`.
    ///
    /// With `use`, a layer of the base that cannot be read makes the bundle larger, which is said. With `require` it is an
    /// error. With `none` no content is read, and importing needs none: the delta only leaves out whole layers.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = BaseContentChoice::Use, requires = "base", hide_possible_values = true, help_heading = INPUT, hide_short_help = true)]
    pub base_content: BaseContentChoice,
}

/// What is done with the content of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BaseContentChoice {
    /// Read it, as far as that is possible.
    Use,
    /// Fail where it cannot be read.
    Require,
    /// Do not read it.
    None,
}
