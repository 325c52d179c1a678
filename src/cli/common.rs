//! Flags that several commands share, and the forms of their values.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::app::units;
use crate::image::{ArtifactKind, HostName};
use crate::report::ProgressMode;

/// The headings of flag groups, in the order of the help pages.
pub(super) mod heading {
    pub(in crate::cli) const INPUT: &str = "Input";
    pub(in crate::cli) const SELECTION: &str = "Selection";
    pub(in crate::cli) const OUTPUT: &str = "Output";
    pub(in crate::cli) const MEDIA: &str = "Media";
    pub(in crate::cli) const RESUME: &str = "Resume";
    pub(in crate::cli) const TRUST: &str = "Trust";
    pub(in crate::cli) const NETWORK: &str = "Network";
}
use heading::{NETWORK, OUTPUT, SELECTION};

/// How registries are reached.
#[derive(Clone, Debug, Args)]
pub struct NetworkArgs {
    /// User name for the registry.
    #[arg(short, long, value_name = "NAME", help_heading = NETWORK)]
    pub username: Option<String>,
    /// Read the password from stdin.
    #[arg(long, requires = "username", help_heading = NETWORK)]
    pub password_stdin: bool,
    /// Credentials file to use instead of the default ones.
    ///
    /// Environment: `AIRGAP_BUNDLE_AUTH_FILE`.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_AUTH_FILE", hide_env = true, help_heading = NETWORK)]
    pub auth_file: Option<PathBuf>,
    /// Trust these additional certificate authorities (PEM, repeatable).
    ///
    /// Environment: `AIRGAP_BUNDLE_CA_FILE`, several separated by `:`.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_CA_FILE", hide_env = true, value_delimiter = ':', help_heading = NETWORK)]
    pub ca_file: Vec<PathBuf>,
    /// Client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "client_key", help_heading = NETWORK, hide_short_help = true)]
    pub client_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "client_cert", help_heading = NETWORK, hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// Use plain HTTP for this registry (repeatable).
    ///
    /// Registries on loopback do not need this flag.
    #[arg(long, value_name = "REGISTRY", help_heading = NETWORK)]
    pub plain_http: Vec<HostName>,
    /// Do not verify the certificate of this registry (repeatable).
    #[arg(long, value_name = "REGISTRY", help_heading = NETWORK)]
    pub tls_no_verify: Vec<HostName>,
    /// Maximum number of concurrent transfers.
    ///
    /// Environment: `AIRGAP_BUNDLE_JOBS`.
    #[arg(short, long, value_name = "N", default_value_t = 6, env = "AIRGAP_BUNDLE_JOBS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = NETWORK)]
    pub jobs: u16,
    /// Limit on bytes per second over all transfers, for example 20M.
    ///
    /// Environment: `AIRGAP_BUNDLE_LIMIT_RATE`.
    #[arg(long, value_name = "RATE", env = "AIRGAP_BUNDLE_LIMIT_RATE", hide_env = true, value_parser = rate, help_heading = NETWORK)]
    pub limit_rate: Option<u64>,
    /// Attempts per request.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = NETWORK, hide_short_help = true)]
    pub retries: u32,
    /// Abort a connection after this long without data, for example 90s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = NETWORK, hide_short_help = true)]
    pub timeout: Duration,
    /// Offer HTTP/2, for servers that speak nothing else. Several connections of HTTP/1.1 are faster.
    #[arg(long, help_heading = NETWORK, hide_short_help = true)]
    pub http2: bool,
}

/// Output: progress, format and verbosity.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Progress on stderr: auto, bar, plain, json or none.
    ///
    /// `auto` shows bars on a terminal and plain lines elsewhere; `json` writes one JSON event per line. Environment:
    /// `AIRGAP_BUNDLE_PROGRESS`.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = ProgressMode::Auto, env = "AIRGAP_BUNDLE_PROGRESS", hide_env = true, hide_possible_values = true, help_heading = OUTPUT)]
    pub progress: ProgressMode,
    /// Results on stdout: human or json.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ResultFormat::Human, hide_possible_values = true, help_heading = OUTPUT)]
    pub format: ResultFormat,
    /// Print more details.
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = OUTPUT)]
    pub verbose: u8,
}

/// The report of a run.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Write a JSON report of the run, also when it fails.
    #[arg(long = "report", id = "report", value_name = "FILE", help_heading = OUTPUT)]
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

/// Printable text, without characters that move a cursor or hide text.
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
    // Optical media: minus a reserve for the file system and the list of volumes.
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

/// Which artifacts are carried with the images.
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

/// The artifacts that are carried with the images.
#[derive(Clone, Debug, Args)]
pub struct WithArgs {
    /// Kinds of artifacts that go with the images, or `none`. Default: all.
    ///
    /// Kinds, separated by commas: signatures, attestations, sboms, referrers. Artifacts of an image's children go with
    /// it too.
    #[arg(long, value_name = "KINDS", default_value = "signatures,attestations,sboms,referrers", value_parser = with, hide_default_value = true, help_heading = SELECTION)]
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
