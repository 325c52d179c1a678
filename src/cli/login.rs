//! `bundle login` and `bundle logout`.

use std::path::PathBuf;

use clap::Args;

use super::NetworkArgs;
use super::common::heading::{INPUT, NETWORK};
use crate::image::HostName;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Registry to log in to.
    pub registry: HostName,
    /// Store the login without checking it, for a web server with bundles.
    #[arg(long, help_heading = INPUT)]
    pub no_check: bool,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Registry whose login is removed.
    pub registry: HostName,
    /// Credentials file to use instead of the default ones.
    ///
    /// Environment: `AIRGAP_BUNDLE_AUTH_FILE`.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_AUTH_FILE", hide_env = true, help_heading = NETWORK)]
    pub auth_file: Option<PathBuf>,
}
