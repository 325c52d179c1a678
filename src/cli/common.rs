//! Flags that several commands share, and the forms of their values.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::app::units;
use crate::image::{ArtifactKind, HostName};
use crate::report::ProgressMode;

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
    /// Offer HTTP/2 as well, for servers that speak nothing else. Several connections of HTTP/1.1 are faster.
    #[arg(long)]
    pub http2: bool,
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
    /// Say more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// For the commands that have something to report.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct ReportArgs {
    /// Write a JSON report of the run, also when it fails.
    #[arg(long = "report", id = "report", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    Human,
    Json,
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Text for people to read: nothing in it moves a cursor or hides text.
pub(super) fn printable(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text == crate::report::printable(text) && !text.contains(['\n', '\t']);
    if plain {
        Ok(text.to_owned())
    } else {
        Err("write it on one line, without control characters".to_owned())
    }
}

fn rate(text: &str) -> Result<u64, String> {
    units::rate(text).ok_or_else(|| "write a number of bytes per second such as 800k, 20M or 1.5G".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "write a time such as 90s, 5m or 1h, up to 24h".to_owned())
}

/// `700M`, `4GiB`, `4GiB-1`, a number of bytes, or a medium: bytes of a volume.
pub(super) fn volume_size(text: &str) -> Result<u64, String> {
    // Optical media leave a little for their file system and for the list of volumes.
    match text {
        "fat32" => return Ok((4 << 30) - 1),
        "dvd5" => return Ok(4_696_000_000),
        "dvd9" => return Ok(8_539_000_000),
        "bd25" => return Ok(24_200_000_000),
        _ => {}
    }
    let refuse = || {
        "write fat32, dvd5, dvd9, bd25, or a size such as 700M, 1.5G, 4GiB, 4GiB-1 or 4294967295".to_owned()
    };
    let (text, less) = text.strip_suffix("-1").map_or((text, 0), |text| (text, 1));
    let size = units::size(text);
    size.and_then(|size| size.checked_sub(less)).filter(|size| *size > 0).ok_or_else(refuse)
}

/// Which manifests about images come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct With(pub Vec<ArtifactKind>);

/// `signatures,sboms` or `none`; without the flag, everything.
fn with(text: &str) -> Result<With, String> {
    if text == "none" {
        return Ok(With(Vec::new()));
    }
    let kind = |word: &str| match word {
        "signatures" => Ok(ArtifactKind::Signature),
        "attestations" => Ok(ArtifactKind::Attestation),
        "sboms" => Ok(ArtifactKind::Sbom),
        "referrers" => Ok(ArtifactKind::Referrer),
        _ => Err("write none, or some of signatures, attestations, sboms, referrers with commas between"
            .to_owned()),
    };
    let mut kinds = text.split(',').map(kind).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(With(kinds))
}

/// What comes along with the images.
#[derive(Clone, Debug, Args)]
pub struct WithArgs {
    /// Signatures and the like that come along with images and their children: some of these, or none.
    #[arg(long, value_name = "KINDS", default_value = "signatures,attestations,sboms,referrers", value_parser = with)]
    pub with: With,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_sizes_are_media_or_bytes() {
        assert_eq!(volume_size("fat32"), Ok(4_294_967_295));
        assert_eq!(volume_size("4GiB-1"), volume_size("fat32"));
        assert_eq!((volume_size("700M"), volume_size("12")), (Ok(700_000_000), Ok(12)));
        assert_eq!(volume_size("1.5G"), Ok(1_500_000_000));
        for text in ["", "0", "-1", "1-1", "x", "99999999999TiB", "fat16"] {
            assert!(volume_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_comes_along_is_some_or_none() {
        assert_eq!(with("none"), Ok(With(Vec::new())));
        assert_eq!(
            with("sboms,signatures,sboms"),
            Ok(With(vec![ArtifactKind::Signature, ArtifactKind::Sbom]))
        );
        assert!(["", "all", "none,sboms", "sboms,"].iter().all(|text| with(text).is_err()));
    }
}
