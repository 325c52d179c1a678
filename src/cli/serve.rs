//! `bundle serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, TrustArgs};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The bundle to serve, read-only.
    #[arg(value_name = "BUNDLE", required_unless_present = "dir", conflicts_with = "dir")]
    pub bundle: Option<PathBuf>,
    /// Serve this folder as a read-write registry. A folder that is empty or missing becomes one.
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
    pub trust: TrustArgs,
    #[command(flatten)]
    pub output_style: OutputArgs,
}
