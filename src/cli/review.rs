//! `bundle diff` and `bundle review`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{PolicyArgs, TrustArgs};

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The bundle there was: a file, volumes, or an OCI layout of another tool.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The bundle there is now.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// How the difference is printed.
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    pub format: DiffFormat,
    /// With differences, end with exit code 8.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    Human,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// The bundle to be decided upon.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Where to write; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "review.html")]
    pub output: PathBuf,
    /// What to write. Default: as the file's ending says, else html.
    #[arg(long, value_enum)]
    pub format: Option<ReviewFormat>,
    /// Show what changed since this bundle.
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Replace an existing file of other content.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    Html,
    Csv,
    Json,
}
