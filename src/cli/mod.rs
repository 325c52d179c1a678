//! The command line: clap types and help texts, no behaviour.
//!
//! A flag has the same spelling and meaning in every command that has it. This file lists the commands; the flags of
//! each command are in a file of their own.

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
mod unpack;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use catalog::{
    CatalogArgs, CatalogCommand, DiscoverArgs, LintArgs, LockArgs, RowArgs, SelectionArgs, TableFormat,
};
use common::heading::OUTPUT;
pub use common::{NetworkArgs, OutputArgs, ReportArgs, ResultFormat, With, WithArgs};
pub use export::{
    AssumedMedium, BaseContentArgs, BaseContentChoice, CompactChoice, ExportArgs, ForeignLayers, WriteArgs,
};
pub use handoff::{MappingArgs, MirrorRuntime, MirrorsArgs, ValuesArgs, ValuesStyleArgs};
pub use import::{EcrArgs, ImportArgs, InspectArgs, OnConflict, ShardArg, VerifyArgs};
pub use login::{LoginArgs, LogoutArgs};
pub use repack::{ProfileChoice, RepackArgs};
pub use review::{DiffArgs, DiffFormat, ReviewArgs, ReviewFormat};
pub use serve::ServeArgs;
pub use trust::{
    ApprovalArgs, KeygenArgs, PassphraseArgs, PolicyArgs, Role, SignArgs, SignKeyArgs, TrustArgs,
};
pub use unpack::UnpackArgs;

/// Carries container images across an air gap.
///
/// Outside, `bundle export` downloads every image of a catalog into one compressed, checksummed file. Someone
/// carries the file across. Inside, `bundle import -d REGISTRY` pushes it to an isolated registry.
#[derive(Debug, Parser)]
#[command(
    name = "bundle",
    version,
    propagate_version = true,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(after_help = "Examples:
  bundle export                                the built-in catalog, all platforms
  bundle export images.txt -o images.tar.zst   your own list, one image per line
  bundle import -d registry.local:5000         the one bundle in this folder
  bundle verify images.tar.zst                 every checksum, offline

The manual is in the program: bundle help lists its pages.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Download every image of a catalog into one file.
    ///
    /// An interrupted export continues when the same command is run again. The file gets its final name when it is complete.
    #[command(after_help = "Examples:
  bundle export
  bundle export stackstate@4.1 --set VERSION=sts-v4.1.3 \\
      --source docker.io/bitnami=docker.io/bitnamilegacy
  bundle export images.txt --platform linux/amd64 --dry-run
  helm template shop ./shop | bundle catalog discover - | bundle export - -o app.tar.zst
  bundle export images.txt --policy policy.yaml --statement --sign-key site.key

Manual: bundle help catalogs, bundle help transfer.")]
    Export(ExportArgs),
    /// Push a bundle to a registry.
    ///
    /// Everything is checked while it is read, and each tag is read back. An import that is run again sends only what is
    /// missing.
    #[command(after_help = "Examples:
  bundle import -d registry.local:5000
  bundle import images.tar.zst -d registry.local/mirror --only '*/kafka*'
  ssh outside bundle export images.txt -o - | bundle import - -d registry.local
  bundle import images.tar.zst -d registry.local \\
      --require-approval reviewer.pub --receipt receipt.json

Manual: bundle help transfer, bundle help registries.")]
    Import(ImportArgs),
    /// Check every byte of a bundle, offline; with --manifests also that no image is missing.
    #[command(after_help = "Examples:
  bundle verify shop.tar.zst
  bundle verify shop.tar.zst --verify-key site.pub --policy policy.yaml
  bundle verify shop.tar.zst --receipt receipt.json
  helm template shop ./shop | bundle verify shop.tar.zst --manifests - -d registry.local")]
    Verify(VerifyArgs),
    /// Show what is in a bundle, or what a registry holds of a catalog.
    #[command(after_help = "Examples:
  bundle inspect shop.tar.zst
  bundle inspect -d registry.local --catalog shop.yaml -o inventory.json")]
    Inspect(InspectArgs),
    /// Serve a bundle, or a directory, as an OCI registry.
    ///
    /// A bundle is served read-only, straight from the file. A directory is a small read-write registry for trials, tests and
    /// small sites; it does not replace a production registry.
    #[command(after_help = "Examples:
  bundle serve images.tar.zst
  bundle serve --dir ./registry --address 127.0.0.1:5000")]
    Serve(ServeArgs),
    /// Compare two bundles: images, digests, bytes, how they run.
    #[command(after_help = "Examples:
  bundle diff shop-2.4.tar.zst shop-2.5.tar.zst
  bundle diff shop-2.4.tar.zst shop-2.5.tar.zst --format markdown >>ticket.md")]
    Diff(DiffArgs),
    /// Write a page for the reviewer at the gap.
    ///
    /// For every image: what it is, how it runs, what it holds, and what changed.
    #[command(after_help = "Examples:
  bundle review shop-2.5.tar.zst -o review.html --against shop-2.4.tar.zst
  bundle review shop-2.5.tar.zst -o images.csv")]
    Review(ReviewArgs),
    /// Split, merge, subset or complete bundles, offline.
    ///
    /// No registry is contacted, and the same content gives the same bytes. Two bundles can also be made into a delta.
    #[command(after_help = "Examples:
  bundle repack shop-2.4.tar.zst --volume-size fat32 -o /media/stick/shop.tar.zst
  bundle repack shop-2.4.tar.zst --only '*/kafka*' --platform linux/amd64 -o kafka.tar.zst
  bundle repack shop.tar.zst tools.tar.zst -o ship.tar.zst
  bundle repack shop-2.5.delta-0f3c9a12.tar.zst --fill-from shop-2.4.tar.zst \\
      -o shop-2.5.tar.zst
  bundle repack --rebuild images.tar.zst")]
    Repack(RepackArgs),
    /// Write the content of a bundle as an OCI layout: a folder, a plain tar or a stream.
    ///
    /// For tools that read neither zstd nor bundles. Every digest is checked on the way, and `bundle import` takes the
    /// result back.
    #[command(after_help = "Examples:
  bundle unpack shop.tar.zst -o shop
  bundle unpack shop.tar.zst -o shop.tar --only '*/server*'
  bundle unpack shop.tar.zst -o - | ctr -n k8s.io images import -")]
    Unpack(UnpackArgs),
    /// Sign a bundle, a statement or a receipt.
    ///
    /// The signature is written to sidecar files; the signed file does not change. FILE.sig is for openssl and older cosign,
    /// FILE.sigstore.json for newer cosign, and `--verify-key` accepts either. A reviewer signs with `--role approver` into
    /// FILE.approvals, for `--require-approval`.
    #[command(after_help = "Examples:
  bundle sign shop.tar.zst --key site.key
  bundle import shop.tar.zst -d registry.local --verify-key site.pub
  bundle sign shop.tar.zst --role approver --key reviewer.key --by 'Grace Hopper'
  bundle import shop.tar.zst -d registry.local --require-approval reviewer.pub
  bundle sign receipt.json --key inside.key")]
    Sign(SignArgs),
    /// Create a pair of keys for signing and verifying.
    #[command(after_help = "Examples:
  bundle keygen -o site                  writes site.key and site.pub
  bundle export --sign-key site.key
  bundle import -d registry.local --verify-key site.pub")]
    Keygen(KeygenArgs),
    /// Print the Helm values that point the chart at a registry.
    #[command(after_help = "Examples:
  bundle values shop.tar.zst -d registry.local/mirror >values.yaml
  bundle values shop.tar.zst -d registry.local --per-image --pin
  bundle values shop.tar.zst -d registry.local --pull-secret secret.yaml >values.yaml")]
    Values(ValuesArgs),
    /// Print mirror configuration, so that charts need no change.
    ///
    /// With it, nodes pull the images from the registry under the names that charts use.
    #[command(after_help = "Examples:
  bundle mirrors shop.tar.zst -d registry.local/mirror --for containerd -o /etc/containerd
  bundle mirrors shop.tar.zst -d registry.local --for k3s >registries.yaml
  bundle mirrors shop.tar.zst -d registry.local --for openshift | oc apply -f -")]
    Mirrors(MirrorsArgs),
    /// Check and store the login for a registry.
    ///
    /// The password is read from the terminal, or from stdin with --password-stdin.
    #[command(after_help = "Examples:
  bundle login quay.io
  bundle login registry.local --username deploy --password-stdin <password")]
    Login(LoginArgs),
    /// Remove a stored login.
    Logout(LogoutArgs),
    /// List, check, lock and generate catalogs.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print completions for a shell.
    Completions {
        /// Shell to complete for.
        shell: clap_complete::Shell,
    },
    /// Print a man page, write all of them, or write the manual as HTML.
    #[command(after_help = "Examples:
  bundle man --dir man
  bundle man --html bundle-manual.html")]
    Man {
        /// Write man pages of all commands and of the manual into this directory.
        #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
        dir: Option<PathBuf>,
        /// Write the manual as one HTML file that needs no network; `-` is stdout.
        #[arg(long, value_name = "FILE", conflicts_with = "dir", help_heading = OUTPUT)]
        html: Option<PathBuf>,
        /// Replace an existing file of other content.
        #[arg(long, requires = "html", help_heading = OUTPUT)]
        force: bool,
    },
    /// Show the help of a command, or a page of the manual.
    #[command(
        after_help = "Examples:\n  bundle help                    all commands, and the pages of the manual\n  \
        bundle help export             all flags of a command\n  \
        bundle help troubleshooting    a page of the manual; on a terminal through $PAGER or less"
    )]
    Help {
        /// Command, such as `export` or `catalog lock`, or topic, such as `trust`.
        #[arg(value_name = "COMMAND|TOPIC")]
        words: Vec<String>,
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
