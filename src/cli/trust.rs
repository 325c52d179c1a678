//! Flags for signatures and approvals, of every command that reads or writes a bundle; `keygen`, `sign`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputArgs;
use super::common::heading::{OUTPUT, TRUST};
use super::common::printable;

/// Whose signature a bundle needs before anything in it is trusted.
#[derive(Clone, Debug, Default, Args)]
pub struct TrustArgs {
    /// Require a valid signature by this public key (PEM).
    ///
    /// Repeatable: one of the keys is enough. Environment: `AIRGAP_BUNDLE_VERIFY_KEY`, several separated by `:`.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_VERIFY_KEY", hide_env = true, value_delimiter = ':', help_heading = TRUST)]
    pub verify_key: Vec<PathBuf>,
    /// Signature that is not beside the bundle under its name, for example for a pipe (repeatable).
    #[arg(long, value_name = "FILE", help_heading = TRUST, hide_short_help = true)]
    pub signature: Vec<PathBuf>,
}

/// The reviewers, one of whom must have approved the bundle.
#[derive(Clone, Debug, Default, Args)]
pub struct ApprovalArgs {
    /// Require an approval by this reviewer's public key (PEM).
    ///
    /// Repeatable: one of the keys is enough. Environment: `AIRGAP_BUNDLE_REQUIRE_APPROVAL`, several separated by `:`.
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_REQUIRE_APPROVAL", hide_env = true, value_delimiter = ':', help_heading = TRUST)]
    pub require_approval: Vec<PathBuf>,
    /// Approvals that are not beside the bundle under its name, for example for a pipe (repeatable).
    #[arg(long, value_name = "FILE", help_heading = TRUST, hide_short_help = true)]
    pub approvals: Vec<PathBuf>,
}

/// The rules of a site.
#[derive(Clone, Debug, Default, Args)]
pub struct PolicyArgs {
    /// Enforce the rules of this policy (YAML).
    ///
    /// Rules for sources, digests, signatures, SBOMs, root users and sizes; see `bundle help trust`.
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub policy: Option<PathBuf>,
}

/// The key that signs.
#[derive(Clone, Debug, Default, Args)]
pub struct SignKeyArgs {
    /// Sign with this private key (PEM).
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub sign_key: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Where the pass phrase of a private key is, if it is not asked for.
#[derive(Clone, Debug, Default, Args)]
pub struct PassphraseArgs {
    /// Read the key's pass phrase from the first line of this file.
    ///
    /// Without the flag it is taken from `AIRGAP_BUNDLE_PASSPHRASE`, or asked for.
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Write NAME.key and NAME.pub.
    #[arg(short, long, value_name = "NAME", default_value = "bundle", help_heading = OUTPUT)]
    pub output: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Do not encrypt the private key, for machines.
    #[arg(long, conflicts_with = "passphrase_file", help_heading = TRUST)]
    pub no_passphrase: bool,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// Bundle (a file or its volumes), statement or receipt to sign.
    ///
    /// With a bundle, the statement beside it is signed too.
    #[arg(value_name = "FILE")]
    pub bundle: PathBuf,
    /// Replace an existing file of other content.
    ///
    /// Here: signatures by other keys, or of other bundles.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub output_style: OutputArgs,
    /// Private key (PEM).
    #[arg(long, value_name = "FILE", help_heading = TRUST)]
    pub key: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Sign as the exporter or as an approver.
    ///
    /// One never counts as the other. An exporter's signature is FILE.sig and FILE.sigstore.json; an approval is one more
    /// line in FILE.approvals.
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = Role::Exporter, help_heading = TRUST, hide_possible_values = true)]
    pub role: Role,
    /// Name in the approval. Default: user@host.
    #[arg(long, value_name = "NAME", value_parser = printable, help_heading = TRUST)]
    pub by: Option<String>,
}

/// What a signature means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The bundle is as its maker made it: FILE.sig and FILE.sigstore.json.
    Exporter,
    /// The bundle may pass: one more line in FILE.approvals.
    Approver,
}
