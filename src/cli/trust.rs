//! Who must have signed, who signs: flags of every command that reads or makes a bundle; `keygen`, `sign`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputArgs;
use super::common::printable;

/// What a bundle is asked for before anything in it is believed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct TrustArgs {
    /// Take only a bundle with a valid signature by this public key (PEM; repeatable: any of them).
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_VERIFY_KEY", value_delimiter = ':')]
    pub verify_key: Vec<PathBuf>,
    /// A signature that does not lie beside the bundle under its name, for one out of a pipe (repeatable).
    #[arg(long, value_name = "FILE")]
    pub signature: Vec<PathBuf>,
}

/// Whose approval a bundle needs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct ApprovalArgs {
    /// Take only a bundle that a reviewer approved whose public key this is (PEM; repeatable: any of them).
    #[arg(long, value_name = "FILE", env = "AIRGAP_BUNDLE_REQUIRE_APPROVAL", value_delimiter = ':')]
    pub require_approval: Vec<PathBuf>,
    /// Approvals that do not lie beside the bundle under its name, for one out of a pipe (repeatable).
    #[arg(long, value_name = "FILE")]
    pub approvals: Vec<PathBuf>,
}

/// The rules of a site.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct PolicyArgs {
    /// Take only what these rules let pass (YAML): where images come from, digests, signatures, SBOMs, no root, sizes.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// The key that signs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct SignKeyArgs {
    /// Sign with this private key (PEM). Its pass phrase is asked for.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Where the pass phrase of a private key is, if it is not asked for.
#[derive(Clone, Debug, Default, Args)]
pub struct PassphraseArgs {
    /// Read the pass phrase of the key from the first line of this file. Else it is taken from the environment
    /// (`AIRGAP_BUNDLE_PASSPHRASE`), or asked for.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the files are called: NAME.key and NAME.pub.
    #[arg(short, long, value_name = "NAME", default_value = "bundle")]
    pub output: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Leave the private key unencrypted, for machines.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub no_passphrase: bool,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The bundle: a file, or its volumes; the statement beside it is signed along. Or a statement, or a receipt.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// As whom: who made the bundle, or who reviewed it and lets it pass. Neither counts as the other.
    #[arg(long, value_enum, default_value_t = Role::Exporter)]
    pub role: Role,
    /// With --role approver: who that is. Default: user@host.
    #[arg(long, value_name = "NAME", value_parser = printable)]
    pub by: Option<String>,
    /// Replace signatures by other keys, or of other bundles.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub output_style: OutputArgs,
}

/// What a signature means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The bundle is as its maker made it: FILE.sig and FILE.sigstore.json.
    Exporter,
    /// The bundle may pass: one more line in FILE.approvals.
    Approver,
}
