//! `bundle serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::common::heading::{INPUT, NETWORK};
use super::{OutputArgs, TrustArgs};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Bundle to serve, read-only.
    #[arg(value_name = "BUNDLE", required_unless_present = "dir", conflicts_with = "dir")]
    pub bundle: Option<PathBuf>,
    /// Serve this directory as a read-write registry.
    ///
    /// An empty or missing directory becomes one; any other directory is refused.
    #[arg(long, value_name = "DIR", help_heading = INPUT)]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub output_style: OutputArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Address to listen on.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5000", help_heading = NETWORK)]
    pub address: SocketAddr,
    /// Write the address to this file once the server listens.
    #[arg(long, value_name = "FILE", help_heading = NETWORK, hide_short_help = true)]
    pub address_file: Option<PathBuf>,
    /// Certificate chain for HTTPS (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = NETWORK)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = NETWORK)]
    pub tls_key: Option<PathBuf>,
    /// File with users and bcrypt hashes, as `htpasswd -B` writes it.
    #[arg(long, value_name = "FILE", help_heading = NETWORK)]
    pub htpasswd: Option<PathBuf>,
    /// Allow non-loopback addresses without TLS and authentication.
    #[arg(long, help_heading = NETWORK)]
    pub open: bool,
}
