//! What the cluster needs afterwards: `bundle values`, `bundle mirrors`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::printable;
use super::{NetworkArgs, TrustArgs};
use crate::image::HostName;

/// How a chart is pointed at the destination.
#[derive(Clone, Copy, Debug, Args)]
pub struct ValuesStyleArgs {
    /// Set the registry, repository and tag of every row of the catalog, rather than the one registry override.
    #[arg(long)]
    pub per_image: bool,
    /// Set digests where the chart can take them: in a value of its own, else behind the tag.
    #[arg(long)]
    pub pin: bool,
}

/// How names were mapped to the destination; what the bundle was exported with counts too.
#[derive(Clone, Copy, Debug, Args)]
pub struct MappingArgs {
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long)]
    pub keep_host: bool,
    /// Give images that came without a tag none at the destination either.
    #[arg(long)]
    pub no_synthetic_tags: bool,
}

#[derive(Debug, Args)]
pub struct ValuesArgs {
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The registry the images went to, with its path.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: String,
    #[command(flatten)]
    pub style: ValuesStyleArgs,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Only images whose name matches; `*` and `?` as in a shell.
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
    /// Write a Kubernetes Secret with the login for the registry to this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    pub pull_secret: Option<PathBuf>,
    /// The name of that Secret.
    #[arg(long, value_name = "NAME", default_value = "bundle-registry", requires = "pull_secret")]
    pub secret_name: String,
    /// The namespace of that Secret.
    #[arg(long, value_name = "NAME", requires = "pull_secret")]
    pub namespace: Option<String>,
    /// Replace an existing file of other content.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Debug, Args)]
pub struct MirrorsArgs {
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The registry the images went to, with its path.
    #[arg(short, long, value_name = "REGISTRY[/PREFIX]")]
    pub destination: String,
    /// Who is to pull from it.
    #[arg(long = "for", value_enum, value_name = "RUNTIME")]
    pub runtime: MirrorRuntime,
    /// Write the files into this folder. Default: stdout.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// kustomize: set digests too.
    #[arg(long)]
    pub pin: bool,
    /// Speak plain HTTP to this registry (repeatable). Loopback registries need no flag.
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<HostName>,
    /// Do not verify the certificate of this registry (repeatable).
    #[arg(long, value_name = "HOST")]
    pub tls_no_verify: Vec<HostName>,
    /// Where every node has the registry's certificate authority (PEM).
    #[arg(long, value_name = "PATH", value_parser = printable)]
    pub node_ca_file: Option<String>,
    /// Replace existing files of other content.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MirrorRuntime {
    /// certs.d/HOST/hosts.toml, for each source host.
    Containerd,
    /// registries.yaml.
    K3s,
    /// registries.yaml.
    Rke2,
    /// registries.conf.
    Crio,
    /// registries.conf, also for skopeo and buildah.
    Podman,
    /// `ImageDigestMirrorSet` and `ImageTagMirrorSet`.
    Openshift,
    /// A component that renames images in manifests.
    Kustomize,
}
