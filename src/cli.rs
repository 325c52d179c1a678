//! The command line: clap types and help texts, no behaviour.
//!
//! A flag has the same spelling and meaning in every command that has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::catalog::SourceRewrite;
use crate::image::{HostName, Platform, Reference};
use crate::report::ProgressMode;

/// Carries container images across an air gap.
///
/// Outside, `bundle export` downloads every image of a catalog into one compressed, checksummed file. Someone
/// carries the file across. Inside, `bundle import -d REGISTRY` replays it into an isolated registry.
#[derive(Debug, Parser)]
#[command(name = "bundle", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  bundle export                                  the built-in catalog, all platforms\n  \
    bundle export images.txt -o images.tar.zst     a list of your own, one image per line\n  \
    bundle import -d registry.local:5000           the one bundle in this folder, into a registry\n  \
    bundle verify images.tar.zst                   every checksum, offline"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Download every image of a catalog into one file.
    #[command(
        after_help = "Examples:\n  bundle export\n  bundle export stackstate@4.1 --set VERSION=sts-v4.1.3 \
        --source docker.io/bitnami=docker.io/bitnamilegacy\n  bundle export images.txt --platform linux/amd64 --dry-run\n  \
        helm template … | grep image: | awk '{print $2}' | bundle export - -o app.tar.zst"
    )]
    Export(ExportArgs),
    /// Replay a bundle into a registry.
    #[command(after_help = "Examples:\n  bundle import -d registry.local:5000\n  \
        bundle import images.tar.zst -d registry.local/mirror --only '*/kafka*'\n  \
        ssh outside bundle export images.txt -o - | bundle import - -d registry.local")]
    Import(ImportArgs),
    /// Check every byte of a bundle, offline.
    Verify(VerifyArgs),
    /// Show what is in a bundle.
    Inspect(InspectArgs),
    /// Serve a bundle, or a folder, as an OCI registry.
    ///
    /// A bundle is served read-only, straight out of the file. A folder is a small read-write registry for trials,
    /// tests and small sites; it is no replacement for a production registry.
    #[command(
        after_help = "Examples:\n  bundle serve images.tar.zst\n  bundle serve --dir ./registry --address 127.0.0.1:5000"
    )]
    Serve(ServeArgs),
    /// Print the Helm values that point the chart at the destination.
    Values(ValuesArgs),
    /// Store a login for a registry, checked against it.
    Login(LoginArgs),
    /// Remove a stored login.
    Logout(LogoutArgs),
    /// Show catalogs.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write all of them into a folder.
    Man {
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

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
    /// What to do where a tag has other content.
    #[arg(long, value_enum, default_value_t = OnConflict::Overwrite)]
    pub on_conflict: OnConflict,
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long)]
    pub keep_host: bool,
    /// Give images that came without a tag none at the destination either.
    #[arg(long)]
    pub no_synthetic_tags: bool,
    /// The name of the one image in a layout of another tool, for example when it comes without one.
    #[arg(long, value_name = "REF")]
    pub name: Option<Reference>,
    /// Where blobs out of a pipe may wait: large ones, should the registry lose an upload, and what comes before it
    /// is known. A folder; nothing stays in it.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Go on without images that fail; exit code 7.
    #[arg(long)]
    pub keep_going: bool,
    /// Print the plan and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where to write the Helm values. Default: `<bundle>.values.yaml`.
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// Replace an existing values file of other content.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
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
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The bundle to serve, read-only.
    #[arg(value_name = "BUNDLE", required_unless_present = "dir", conflicts_with = "dir")]
    pub bundle: Option<PathBuf>,
    /// Serve this folder as a read-write registry; made when missing.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5000")]
    pub address: SocketAddr,
    /// Certificate chain (PEM) for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Users and bcrypt hashes, as `htpasswd -B` writes them.
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,
    /// Listen beyond this machine without TLS and users all the same.
    #[arg(long)]
    pub open: bool,
    /// Write the address listened on to this file, once it is.
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ValuesArgs {
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The registry the images went to, with its path.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: String,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    pub registry: HostName,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    pub registry: HostName,
    /// Credentials file to use instead of the default ones.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Text,
    Json,
    Markdown,
}

/// How registries are reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Transfers at once, at most.
    #[arg(short, long, value_name = "N", default_value_t = 6, env = "AIRGAP_BUNDLE_JOBS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Bytes per second over all transfers, for example 20M.
    #[arg(long, value_name = "RATE", env = "AIRGAP_BUNDLE_LIMIT_RATE", value_parser = rate)]
    pub limit_rate: Option<u64>,
    /// Tries per request.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub retries: u32,
    /// Give up on a connection that has been silent for so long, for example 90s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
    /// Trust these certificate authorities too (PEM; repeatable).
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_CA_FILE", value_delimiter = ':')]
    pub ca_file: Vec<PathBuf>,
    /// Client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// Speak plain HTTP to this registry (repeatable). Loopback registries need no flag.
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<HostName>,
    /// Do not verify the certificate of this registry (repeatable).
    #[arg(long, value_name = "HOST")]
    pub tls_no_verify: Vec<HostName>,
    /// Use HTTP/1.1 only.
    #[arg(long)]
    pub http1: bool,
    /// User name for the registry.
    #[arg(short, long)]
    pub username: Option<String>,
    /// Read the password from stdin.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Credentials file to use instead of the default ones.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
}

/// What is shown, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, env = "AIRGAP_BUNDLE_PROGRESS")]
    pub progress: ProgressMode,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = ResultFormat::Human)]
    pub format: ResultFormat,
    /// Write a JSON report of the run, also when it fails.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Say more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    Human,
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// `20M`, `1.5G`, `800k`, `1000`: decimal units, per second.
fn rate(text: &str) -> Result<u64, String> {
    let refuse = || "write a number of bytes per second such as 800k, 20M or 1G".to_owned();
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let value = number.parse::<f64>().map_err(|_| refuse())? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    if (1.0..1e18).contains(&value) { Ok(value as u64) } else { Err(refuse()) }
}

/// `45`, `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || "write a time such as 90s, 5m or 1h".to_owned();
    let (number, factor) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let value = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    value.filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates_and_times_are_read_as_meant() {
        assert_eq!((rate("20M"), rate("1.5k"), rate("7")), (Ok(20_000_000), Ok(1500), Ok(7)));
        assert!(["", "M", "-1", "nan", "1e30", "x"].iter().all(|text| rate(text).is_err()));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert!(["", "0", "s", "-1s", "99h"].iter().all(|text| duration(text).is_err()));
    }
}
