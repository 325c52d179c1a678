//! Configuration files for each node: containerd, K3s and RKE2, CRI-O, podman.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mirror_file::{MirrorError, MirrorFile};
use super::source_hosts::Mirrors;
use crate::app::text::one_line;

/// `hosts.toml` (containerd, docs/hosts.md). The destination stands in for the server too, so that nothing is asked
/// after it; that alone, without a host, containerd 1.6 passes over.
#[derive(Serialize)]
struct Hosts<'a> {
    server: String,
    #[serde(flatten)]
    settings: HostSettings<'a>,
    host: BTreeMap<String, HostSettings<'a>>,
}

#[derive(Clone, Serialize)]
struct HostSettings<'a> {
    capabilities: [&'static str; 2],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    override_path: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skip_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
}

/// `registries.conf` (containers-registries.conf(5)), one `[[registry]]`. A location, and no mirror: mirrors are tried
/// before the original, and here there is none.
#[derive(Serialize)]
struct RegistriesConf {
    registry: Vec<Registry>,
}

#[derive(Serialize)]
struct Registry {
    prefix: String,
    location: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure: bool,
}

/// `registries.yaml` of K3s and RKE2.
#[derive(Serialize)]
struct RegistriesYaml<'a> {
    mirrors: BTreeMap<&'a str, Mirror>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<&'a str, Config<'a>>,
}

#[derive(Serialize)]
struct Mirror {
    endpoint: [String; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rewrite: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Config<'a> {
    tls: Tls<'a>,
}

#[derive(Serialize)]
struct Tls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_skip_verify: bool,
}

pub(super) fn containerd(mirrors: &Mirrors<'_>) -> Result<Vec<MirrorFile>, MirrorError> {
    let file = |(host, below): &(crate::image::HostName, String)| {
        let origin = format!("{}://{}", mirrors.scheme(), mirrors.destination.host());
        let has_path = !below.is_empty();
        let server = if has_path { format!("{origin}/v2/{below}") } else { origin };
        let settings = HostSettings {
            capabilities: ["pull", "resolve"],
            override_path: has_path,
            skip_verify: mirrors.reach.tls_no_verify,
            ca: mirrors.reach.ca_file.as_deref(),
        };
        let host_of = BTreeMap::from([(server.clone(), settings.clone())]);
        let hosts = Hosts { server, settings, host: host_of };
        let toml = toml::to_string(&hosts).map_err(|error| MirrorError::Write(error.to_string()))?;
        let text = format!(
            "# Images named {host}/… are pulled from {} and from nowhere else.\n\
             # /etc/containerd/certs.d/{host}/hosts.toml, where config.toml says config_path = \"/etc/containerd/certs.d\".\n{toml}",
            mirrors.location(below)
        );
        Ok(MirrorFile { path: format!("certs.d/{host}/hosts.toml"), text })
    };
    mirrors.sources.iter().map(file).collect()
}

pub(super) fn rancher(mirrors: &Mirrors<'_>, product: &str) -> Result<Vec<MirrorFile>, MirrorError> {
    let endpoint = format!("{}://{}", mirrors.scheme(), mirrors.destination.host());
    let mirror = |below: &str| Mirror {
        endpoint: [endpoint.clone()],
        rewrite: if below.is_empty() { BTreeMap::new() } else { [("^(.*)$", format!("{below}/$1"))].into() },
    };
    let tls =
        Tls { ca_file: mirrors.reach.ca_file.as_deref(), insecure_skip_verify: mirrors.reach.tls_no_verify };
    let has_tls = tls.ca_file.is_some() || tls.insecure_skip_verify;
    let file = RegistriesYaml {
        mirrors: mirrors.sources.iter().map(|(host, below)| (host.as_str(), mirror(below))).collect(),
        configs: has_tls.then(|| (mirrors.destination.host().as_str(), Config { tls })).into_iter().collect(),
    };
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&file, options);
    let yaml = yaml.map_err(|error| MirrorError::Write(error.to_string()))?;
    let text = format!(
        "# /etc/rancher/{product}/registries.yaml on every node; {product} is restarted after it.\n\
         # With --disable-default-registry-endpoint, {product} does not try the source when the registry lacks an image.\n\
         # A login goes below configs.{}.auth (username, password).\n{yaml}",
        mirrors.destination.host()
    );
    Ok(vec![MirrorFile { path: "registries.yaml".to_owned(), text }])
}

pub(super) fn containers(mirrors: &Mirrors<'_>, who: &str) -> Result<Vec<MirrorFile>, MirrorError> {
    let registry = mirrors.sources.iter().map(|(host, below)| Registry {
        prefix: host.to_string(),
        location: mirrors.location(below),
        insecure: mirrors.reach.plain_http || mirrors.reach.tls_no_verify,
    });
    let conf = RegistriesConf { registry: registry.collect() };
    let toml = toml::to_string(&conf).map_err(|error| MirrorError::Write(error.to_string()))?;
    let authority = match &mirrors.reach.ca_file {
        Some(file) => format!(
            "# The registry's authority: {} as /etc/containers/certs.d/{}/ca.crt.\n",
            one_line(file),
            mirrors.destination.host()
        ),
        None => String::new(),
    };
    let text = format!("# /etc/containers/registries.conf.d/50-bundle.conf, for {who}.\n{authority}{toml}");
    Ok(vec![MirrorFile { path: "50-bundle.conf".to_owned(), text }])
}
