//! What the cluster needs afterwards: `bundle values`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct ValuesArgs {
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The registry the images went to, with its path.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: String,
}
