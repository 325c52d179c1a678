//! `bundle login` and `bundle logout`.

use std::path::PathBuf;

use clap::Args;

use super::NetworkArgs;
use crate::image::HostName;

#[derive(Debug, Args)]
pub struct LoginArgs {
    pub registry: HostName,
    /// Store the login without trying it: for a web server that bundles are read from.
    #[arg(long)]
    pub no_check: bool,
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
