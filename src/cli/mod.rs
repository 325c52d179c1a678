//! The command line: clap types and help texts, no behaviour.
//!
//! A flag has the same spelling and meaning in every command that has it. Here the commands; the flags of each stand
//! in the file of its side of the gap.

mod catalog;
mod common;
mod export;
mod handoff;
mod import;
mod login;
mod repack;
mod review;
mod serve;
mod trust;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use catalog::{
    CatalogArgs, CatalogCommand, DiscoverArgs, LintArgs, LockArgs, RowArgs, SelectionArgs, TableFormat,
};
pub use common::{NetworkArgs, OutputArgs, ReportArgs, ResultFormat, With, WithArgs};
pub use export::{ExportArgs, ForeignLayers, WriteArgs};
pub use handoff::{MappingArgs, MirrorRuntime, MirrorsArgs, ValuesArgs, ValuesStyleArgs};
#[cfg(feature = "ecr")]
pub use import::EcrArgs;
pub use import::{ImportArgs, InspectArgs, OnConflict, ShardArg, VerifyArgs};
pub use login::{LoginArgs, LogoutArgs};
pub use repack::RepackArgs;
pub use review::{DiffArgs, DiffFormat, ReviewArgs, ReviewFormat};
pub use serve::ServeArgs;
pub use trust::{
    ApprovalArgs, KeygenArgs, PassphraseArgs, PolicyArgs, Role, SignArgs, SignKeyArgs, TrustArgs,
};

/// Carries container images across an air gap.
///
/// Outside, `bundle export` downloads every image of a catalog into one compressed, checksummed file. Someone
/// carries the file across. Inside, `bundle import -d REGISTRY` replays it into an isolated registry.
#[derive(Debug, Parser)]
#[command(name = "bundle", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  bundle export                                  the built-in catalog, all platforms\n  \
    bundle export images.txt -o images.tar.zst     a list of your own, one image per line\n  \
    bundle import -d registry.local:5000           the one bundle in this folder, into a registry\n  \
    bundle verify images.tar.zst                   every checksum, offline"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Download every image of a catalog into one file.
    #[command(
        after_help = "Examples:\n  bundle export\n  bundle export stackstate@4.1 --set VERSION=sts-v4.1.3 \
        --source docker.io/bitnami=docker.io/bitnamilegacy\n  bundle export images.txt --platform linux/amd64 --dry-run\n  \
        helm template … | grep image: | awk '{print $2}' | bundle export - -o app.tar.zst\n  \
        bundle export images.txt --policy policy.yaml --statement --sign-key site.key"
    )]
    Export(ExportArgs),
    /// Replay a bundle into a registry.
    #[command(after_help = "Examples:\n  bundle import -d registry.local:5000\n  \
        bundle import images.tar.zst -d registry.local/mirror --only '*/kafka*'\n  \
        ssh outside bundle export images.txt -o - | bundle import - -d registry.local\n  \
        bundle import images.tar.zst -d registry.local --require-approval reviewer.pub --receipt receipt.json")]
    Import(ImportArgs),
    /// Check every byte of a bundle, offline; or that it has every image that manifests name.
    #[command(after_help = "Examples:\n  bundle verify shop.tar.zst\n  \
        bundle verify shop.tar.zst --verify-key site.pub --policy policy.yaml\n  \
        bundle verify shop.tar.zst --receipt receipt.json\n  \
        helm template shop ./shop --values shop.values.yaml | bundle verify shop.tar.zst --manifests - -d registry.local")]
    Verify(VerifyArgs),
    /// Show what is in a bundle.
    Inspect(InspectArgs),
    /// Serve a bundle, or a folder, as an OCI registry.
    ///
    /// A bundle is served read-only, straight out of the file. A folder is a small read-write registry for trials,
    /// tests and small sites; it is no replacement for a production registry.
    #[command(
        after_help = "Examples:\n  bundle serve images.tar.zst\n  bundle serve --dir ./registry --address 127.0.0.1:5000"
    )]
    Serve(ServeArgs),
    /// Show what one bundle has that another has not: images, digests, bytes, how they run.
    #[command(after_help = "Examples:\n  bundle diff shop-2.4.tar.zst shop-2.5.tar.zst\n  \
        bundle diff shop-2.4.tar.zst shop-2.5.tar.zst --format markdown >> ticket.md")]
    Diff(DiffArgs),
    /// Write a page for the reviewer at the gap: every image with what it is, runs as, holds, and what changed.
    #[command(
        after_help = "Examples:\n  bundle review shop-2.5.tar.zst -o review.html --against shop-2.4.tar.zst\n  \
        bundle review shop-2.5.tar.zst -o images.csv"
    )]
    Review(ReviewArgs),
    /// Make one bundle of bundles, offline.
    ///
    /// Cut into other volumes or none, a part, several together with their layers shared, a delta made whole again, or
    /// two bundles made a delta. Nothing is asked of any registry, and the same content gives the same bytes.
    #[command(
        after_help = "Examples:\n  bundle repack shop-2.4.tar.zst --volume-size fat32 -o /media/stick/shop.tar.zst\n  \
        bundle repack shop-2.4.tar.zst --only '*/kafka*' --platform linux/amd64 -o kafka.tar.zst\n  \
        bundle repack shop.tar.zst tools.tar.zst -o ship.tar.zst\n  \
        bundle repack shop-2.5.delta-0f3c9a12.tar.zst --fill-from shop-2.4.tar.zst -o shop-2.5.tar.zst"
    )]
    Repack(RepackArgs),
    /// Sign a bundle, a statement or a receipt, in files beside it.
    ///
    /// The bundle itself stays as it is. FILE.sig is for openssl and older cosign, FILE.sigstore.json for newer cosign;
    /// either makes `bundle import --verify-key` take the bundle. A reviewer signs with `--role approver`, in
    /// FILE.approvals, which makes `bundle import --require-approval` take it.
    #[command(after_help = "Examples:\n  bundle sign shop.tar.zst --key site.key\n  \
        bundle import shop.tar.zst -d registry.local --verify-key site.pub\n  \
        bundle sign shop.tar.zst --role approver --key reviewer.key --by 'Grace Hopper'\n  \
        bundle import shop.tar.zst -d registry.local --require-approval reviewer.pub\n  \
        bundle sign receipt.json --key inside.key")]
    Sign(SignArgs),
    /// Make a pair of keys: one to sign with, one to check with.
    #[command(after_help = "Examples:\n  bundle keygen -o site             site.key and site.pub\n  \
        bundle export --sign-key site.key\n  \
        AIRGAP_BUNDLE_VERIFY_KEY=/etc/bundle/site.pub bundle import -d registry.local")]
    Keygen(KeygenArgs),
    /// Print the Helm values that point the chart at the destination.
    #[command(
        after_help = "Examples:\n  bundle values shop.tar.zst -d registry.local/mirror >values.yaml\n  \
        bundle values shop.tar.zst -d registry.local --per-image --pin\n  \
        bundle values shop.tar.zst -d registry.local --pull-secret secret.yaml >values.yaml"
    )]
    Values(ValuesArgs),
    /// Print the configuration that makes nodes pull from the destination, so that charts need no change.
    #[command(
        after_help = "Examples:\n  bundle mirrors shop.tar.zst -d registry.local/mirror --for containerd -o /etc/containerd\n  \
        bundle mirrors shop.tar.zst -d registry.local --for k3s >registries.yaml\n  \
        bundle mirrors shop.tar.zst -d registry.local --for openshift | oc apply -f -"
    )]
    Mirrors(MirrorsArgs),
    /// Store a login for a registry, checked against it.
    Login(LoginArgs),
    /// Remove a stored login.
    Logout(LogoutArgs),
    /// Show catalogs.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write all of them into a folder.
    Man {
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
