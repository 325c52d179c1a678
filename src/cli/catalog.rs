//! `bundle catalog`, and the choice of images that it shares with `bundle export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::common::heading::{INPUT, NETWORK, OUTPUT, SELECTION};
use super::common::pair;
use super::{NetworkArgs, OutputArgs, ReportArgs, WithArgs};
use crate::catalog::SourceRewrite;
use crate::image::HostName;

/// The catalogs, their variables, and where images are pulled from.
#[derive(Clone, Debug, Args)]
pub struct CatalogArgs {
    /// Built-in catalog, file, or `-` for stdin: YAML, JSON, or one image per line.
    ///
    /// Several catalogs are joined. `bundle catalog list` lists the built-in ones, `bundle help catalogs` describes
    /// the format.
    #[arg(value_name = "CATALOG")]
    pub catalogs: Vec<String>,
    /// Set a variable of the catalog (repeatable).
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair, help_heading = INPUT)]
    pub set: Vec<(String, String)>,
    /// Pull from TO… what the catalog calls FROM… (repeatable).
    ///
    /// The names at the destination do not change.
    #[arg(long, value_name = "FROM=TO", help_heading = INPUT)]
    pub source: Vec<SourceRewrite>,
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List the built-in catalogs.
    List,
    /// Print a catalog as a table.
    Show {
        /// Built-in catalog, file, or `-` for stdin.
        #[arg(default_value = "stackstate@4.1")]
        catalog: String,
        /// Format of the table.
        #[arg(long, value_enum, default_value_t = TableFormat::Text, value_name = "FORMAT", help_heading = OUTPUT)]
        format: TableFormat,
    },
    /// Record the digest that every reference has now.
    ///
    /// Keep the lock in version control; `bundle export --locked` downloads exactly what it says. Locking again
    /// reports which tags moved. Without a CATALOG, the rows of the existing lock are locked again.
    #[command(after_help = "Examples:\n  bundle catalog lock stackstate@4.1\n  \
        bundle catalog lock --check --exit-code     has a tag moved since?\n  \
        bundle catalog lock images.txt --keep       lock what is new, change nothing else\n  \
        bundle export --locked")]
    Lock(Box<LockArgs>),
    /// Find likely problems: moving tags, names that collide, missing values.
    ///
    /// The exit code is 3 when something will fail, with --strict also for warnings.
    #[command(after_help = "Examples:\n  bundle catalog lint shop.yaml\n  \
        bundle catalog lint shop.yaml -d registry.local/mirror --online --strict")]
    Lint(LintArgs),
    /// Print the JSON Schema of catalogs or policies.
    #[command(
        after_help = "Examples:\n  bundle catalog schema >catalog.schema.json\n  bundle catalog schema --example >shop.yaml\n  \
        bundle catalog schema --policy >policy.schema.json"
    )]
    Schema {
        /// Print a catalog with every key, explained.
        #[arg(long, conflicts_with = "policy", help_heading = OUTPUT)]
        example: bool,
        /// Print the schema of the files that --policy of other commands reads.
        #[arg(long, help_heading = OUTPUT)]
        policy: bool,
    },
    /// Generate a catalog from rendered manifests or a Helm chart.
    ///
    /// An image is certain when a container of a workload names it, and probable when it is found elsewhere: in
    /// environment variables, arguments, annotations, configurations, custom resources and values. What is not
    /// understood is listed; where an image may be missing because of it, the exit code is 7.
    #[command(
        after_help = "Examples:\n  helm template shop ./shop | bundle catalog discover - -o shop.yaml\n  \
        bundle catalog discover --chart ./shop --values small.yaml --values base.yaml,large.yaml\n  \
        bundle catalog discover manifests/ --diff shop.yaml --exit-code"
    )]
    Discover(DiscoverArgs),
}

/// Which rows of the catalogs.
#[derive(Clone, Debug, Default, Args)]
pub struct RowArgs {
    /// Only images whose name matches; `*` and `?` as in a shell (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub only: Vec<String>,
    /// Leave out images whose name matches (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub skip: Vec<String>,
    /// Only rows of charts that match (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION, hide_short_help = true)]
    pub only_chart: Vec<String>,
    /// Only rows of components that match (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION, hide_short_help = true)]
    pub only_component: Vec<String>,
}

/// Which rows of the catalogs, and which images in addition.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectionArgs {
    #[command(flatten)]
    pub rows: RowArgs,
    /// Only rows with this label (repeatable).
    #[arg(long, value_name = "LABEL", help_heading = SELECTION, hide_short_help = true)]
    pub only_label: Vec<String>,
    /// Leave out rows with this label, for example `optional` or `probable` (repeatable).
    #[arg(long, value_name = "LABEL", help_heading = SELECTION, hide_short_help = true)]
    pub skip_label: Vec<String>,
    /// Add an image, an `oci://` artifact or a packed chart (repeatable).
    ///
    /// For example `oci://host/charts/name:version` or `./name-1.0.0.tgz`. What is added is not affected by --only
    /// and --skip.
    #[arg(long, value_name = "IMAGE", help_heading = SELECTION)]
    pub add: Vec<String>,
}

/// `bundle catalog lock`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct LockArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Keep the digests that are locked already; lock only what is new.
    #[arg(long, help_heading = INPUT)]
    pub keep: bool,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub with: WithArgs,
    /// Lock file to write; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "catalog.lock", help_heading = OUTPUT)]
    pub output: PathBuf,
    /// Compare with the existing lock; write nothing.
    #[arg(long, help_heading = OUTPUT)]
    pub check: bool,
    /// End with exit code 8 when there are differences.
    #[arg(long, help_heading = OUTPUT)]
    pub exit_code: bool,
    /// Record when each image was built.
    #[arg(long, help_heading = OUTPUT)]
    pub dates: bool,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
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

/// `bundle catalog lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Also check the names at this registry, with an optional path prefix.
    #[arg(short, long, value_name = "REGISTRY", help_heading = INPUT)]
    pub destination: Option<String>,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long, help_heading = INPUT)]
    pub keep_host: bool,
    /// Check at the registries that every image exists.
    #[arg(long, help_heading = INPUT)]
    pub online: bool,
    /// Treat warnings as errors.
    #[arg(long, help_heading = INPUT)]
    pub strict: bool,
    #[command(flatten)]
    pub output_style: OutputArgs,
    /// Registry that --username is for, when the catalog names several.
    #[arg(long, value_name = "REGISTRY", requires = "username", help_heading = NETWORK, hide_short_help = true)]
    pub registry: Option<HostName>,
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `bundle catalog discover`.
#[derive(Clone, Debug, Args)]
pub struct DiscoverArgs {
    /// Rendered manifests: files, folders, or `-` for stdin.
    #[arg(value_name = "MANIFESTS", required_unless_present = "chart")]
    pub inputs: Vec<PathBuf>,
    /// Chart to render with helm: folder, .tgz, oci:// or name.
    #[arg(long, value_name = "CHART", help_heading = INPUT)]
    pub chart: Option<String>,
    /// Helm repository of --chart.
    #[arg(long, value_name = "URL", requires = "chart", help_heading = INPUT)]
    pub repo: Option<String>,
    /// Version of --chart.
    #[arg(long, value_name = "VERSION", requires = "chart", help_heading = INPUT)]
    pub chart_version: Option<String>,
    /// Values for --chart (repeatable: one rendering each).
    ///
    /// The images of all renderings count. `A,B` is one rendering with the values of B over those of A.
    #[arg(long, value_name = "FILE[,FILE]", requires = "chart", help_heading = INPUT)]
    pub values: Vec<String>,
    /// Additional argument for `helm template` (repeatable), for example --helm-arg=--kube-version=1.30.
    #[arg(long, value_name = "ARG", requires = "chart", allow_hyphen_values = true, help_heading = INPUT, hide_short_help = true)]
    pub helm_arg: Vec<String>,
    /// Leave out images that are only probable.
    #[arg(long, help_heading = SELECTION)]
    pub certain: bool,
    /// Catalog to write. Default: stdout.
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    /// Print the differences to this catalog instead of a new one.
    #[arg(long, value_name = "CATALOG", help_heading = OUTPUT)]
    pub diff: Option<String>,
    /// Set a variable of the catalog (repeatable).
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair, requires = "diff", help_heading = OUTPUT)]
    pub set: Vec<(String, String)>,
    /// End with exit code 8 when there are differences.
    #[arg(long, requires = "diff", help_heading = OUTPUT)]
    pub exit_code: bool,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Text,
    Json,
    Markdown,
}
