//! Configuration for the cluster: `bundle values`, `bundle mirrors`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::heading::{NETWORK, OUTPUT, SELECTION};
use super::common::printable;
use super::{NetworkArgs, TrustArgs};
use crate::image::HostName;

/// How a chart is pointed at the destination.
#[derive(Clone, Copy, Debug, Args)]
pub struct ValuesStyleArgs {
    /// Values: set registry, repository and tag of every row.
    ///
    /// Without the flag, only the catalog's registry override is set.
    #[arg(long, help_heading = OUTPUT)]
    pub per_image: bool,
    /// Use digests where that is possible.
    ///
    /// In Helm values, a digest has a value of its own or follows the tag.
    #[arg(long, help_heading = OUTPUT)]
    pub pin: bool,
}

/// How names are mapped to the destination, in addition to the flags that the bundle was exported with.
#[derive(Clone, Copy, Debug, Args)]
pub struct MappingArgs {
    /// Keep source hosts in destination names: `<dest>/quay.io/a/b`.
    #[arg(long, help_heading = OUTPUT)]
    pub keep_host: bool,
    /// Do not create `digest-…` tags for untagged images.
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub no_synthetic_tags: bool,
}

#[derive(Debug, Args)]
pub struct ValuesArgs {
    /// Bundle: a file or its volumes.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Only images whose name matches; `*` and `?` as in a shell (repeatable).
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub only: Vec<String>,
    /// Registry that the images are in, with an optional path prefix.
    #[arg(short, long, value_name = "REGISTRY", help_heading = OUTPUT)]
    pub destination: String,
    #[command(flatten)]
    pub style: ValuesStyleArgs,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Write a Kubernetes Secret with the registry login (mode 0600).
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub pull_secret: Option<PathBuf>,
    /// Name of the Secret.
    #[arg(long, value_name = "NAME", default_value = "bundle-registry", requires = "pull_secret", help_heading = OUTPUT)]
    pub secret_name: String,
    /// Namespace of the Secret.
    #[arg(long, value_name = "NAME", requires = "pull_secret", help_heading = OUTPUT)]
    pub namespace: Option<String>,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Debug, Args)]
pub struct MirrorsArgs {
    /// Bundle: a file or its volumes.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Registry that the images are in, with an optional path prefix.
    #[arg(short, long, value_name = "REGISTRY", help_heading = OUTPUT)]
    pub destination: String,
    /// containerd, k3s, rke2, crio, podman, openshift or kustomize.
    ///
    /// What it writes: containerd certs.d/HOST/hosts.toml for each source host; k3s and rke2 registries.yaml; crio and podman
    /// (also for skopeo and buildah) registries.conf; openshift `ImageDigestMirrorSet` and `ImageTagMirrorSet`; kustomize a
    /// component that renames images in manifests.
    #[arg(long = "for", value_enum, value_name = "RUNTIME", hide_possible_values = true, help_heading = OUTPUT)]
    pub runtime: MirrorRuntime,
    /// Directory to write the files into. Default: stdout.
    #[arg(short, long, value_name = "DIR", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Use digests where that is possible.
    ///
    /// Only for kustomize.
    #[arg(long, help_heading = OUTPUT)]
    pub pin: bool,
    /// Replace an existing file of other content.
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Use plain HTTP for this registry (repeatable).
    ///
    /// Registries on loopback do not need this flag.
    #[arg(long, value_name = "REGISTRY", help_heading = NETWORK)]
    pub plain_http: Vec<HostName>,
    /// Do not verify the certificate of this registry (repeatable).
    #[arg(long, value_name = "REGISTRY", help_heading = NETWORK)]
    pub tls_no_verify: Vec<HostName>,
    /// Path of the registry's certificate authority on every node (PEM).
    #[arg(long, value_name = "PATH", value_parser = printable, help_heading = NETWORK)]
    pub node_ca_file: Option<String>,
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
