//! `bundle diff` and `bundle review`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::heading::{INPUT, OUTPUT};
use super::{PolicyArgs, TrustArgs};

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Older bundle: a file, volumes, or an OCI layout of another tool.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// Newer bundle.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Results on stdout: human, json or markdown.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = DiffFormat::Human, hide_possible_values = true, help_heading = OUTPUT)]
    pub format: DiffFormat,
    /// End with exit code 8 when there are differences.
    #[arg(long, help_heading = OUTPUT)]
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
    /// Bundle to review.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Show what changed since this bundle.
    #[arg(long, value_name = "OLD", help_heading = INPUT)]
    pub against: Option<PathBuf>,
    /// File to write; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "review.html", help_heading = OUTPUT)]
    pub output: PathBuf,
    /// Format: html, csv or json. Default: by the file's ending.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = OUTPUT)]
    pub format: Option<ReviewFormat>,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    Html,
    Csv,
    Json,
}
