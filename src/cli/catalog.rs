//! `bundle catalog`, and the choice of images that it shares with `bundle export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::common::pair;
use super::{NetworkArgs, OutputArgs, ReportArgs, WithArgs};
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
    Lock(Box<LockArgs>),
    /// Find what will cost somebody a night: tags that move, names that clash, values that are missing.
    ///
    /// Ends with exit code 3 when something will fail.
    #[command(after_help = "Examples:\n  bundle catalog lint shop.yaml\n  \
        bundle catalog lint shop.yaml -d registry.local/mirror --online --strict")]
    Lint(LintArgs),
    /// Print the JSON Schema of catalogs, or of policies, for editors and other tools.
    #[command(
        after_help = "Examples:\n  bundle catalog schema >catalog.schema.json\n  bundle catalog schema --example >shop.yaml\n  \
        bundle catalog schema --policy >policy.schema.json"
    )]
    Schema {
        /// Print a catalog with every key there is, explained.
        #[arg(long, conflicts_with = "policy")]
        example: bool,
        /// Print the schema of what --policy of other commands reads.
        #[arg(long)]
        policy: bool,
    },
    /// Make a catalog of what manifests or a chart name.
    ///
    /// Certain is what containers of workloads name; probable what stands in environment variables, arguments,
    /// annotations, configurations, custom resources and values. What is not understood is listed; where an image may
    /// be missing because of it, the exit code is 7.
    #[command(
        after_help = "Examples:\n  helm template shop ./shop | bundle catalog discover - -o shop.yaml\n  \
        bundle catalog discover --chart ./shop --values small.yaml --values base.yaml,large.yaml\n  \
        bundle catalog discover manifests/ --diff shop.yaml --exit-code"
    )]
    Discover(DiscoverArgs),
}

/// Which rows of the catalogs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct RowArgs {
    /// Only images whose name matches; `*` and `?` as in a shell.
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
    /// No images whose name matches.
    #[arg(long, value_name = "PATTERN")]
    pub skip: Vec<String>,
    /// Only rows of charts that match.
    #[arg(long, value_name = "PATTERN")]
    pub only_chart: Vec<String>,
    /// Only rows of components that match.
    #[arg(long, value_name = "PATTERN")]
    pub only_component: Vec<String>,
}

/// Which rows of the catalogs, and what beside them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    #[command(flatten)]
    pub rows: RowArgs,
    /// Only rows with this label.
    #[arg(long, value_name = "LABEL")]
    pub only_label: Vec<String>,
    /// No rows with this label, for example optional or probable.
    #[arg(long, value_name = "LABEL")]
    pub skip_label: Vec<String>,
    /// One more image, artifact in a registry (`oci://host/charts/name:version`), or packed chart (`./name-1.0.0.tgz`);
    /// never left out.
    #[arg(long, value_name = "IMAGE")]
    pub add: Vec<String>,
}

/// `bundle catalog lock`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct LockArgs {
    #[command(flatten)]
    pub catalog: CatalogArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
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
    #[command(flatten)]
    pub report: ReportArgs,
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

/// `bundle catalog discover`.
#[derive(Clone, Debug, Args)]
pub struct DiscoverArgs {
    /// Manifests: files, folders, or `-` for stdin.
    #[arg(value_name = "FILE|DIR|-", required_unless_present = "chart")]
    pub inputs: Vec<PathBuf>,
    /// Render this chart with helm: a folder, a .tgz, a name in a repository, or oci://…
    #[arg(long, value_name = "CHART")]
    pub chart: Option<String>,
    /// The repository that --chart is in.
    #[arg(long, value_name = "URL", requires = "chart")]
    pub repo: Option<String>,
    /// The version of --chart.
    #[arg(long, value_name = "VERSION", requires = "chart")]
    pub chart_version: Option<String>,
    /// Values to render --chart with; repeated, each is rendered, and all their images count. `A,B` is A with B over it.
    #[arg(long, value_name = "FILE[,FILE]", requires = "chart")]
    pub values: Vec<String>,
    /// A further argument of `helm template`, for example --helm-arg=--kube-version=1.30.
    #[arg(long, value_name = "ARG", requires = "chart", allow_hyphen_values = true)]
    pub helm_arg: Vec<String>,
    /// Leave out what is only probable.
    #[arg(long)]
    pub certain: bool,
    /// Where to write the catalog. Default: stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Tell what this catalog has otherwise, instead of printing one.
    #[arg(long, value_name = "CATALOG")]
    pub diff: Option<String>,
    /// Set a variable of the catalog of --diff.
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair, requires = "diff")]
    pub set: Vec<(String, String)>,
    /// With differences, end with exit code 8.
    #[arg(long, requires = "diff")]
    pub exit_code: bool,
    /// Replace an existing file of other content.
    #[arg(long)]
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
