//! From network flags and environment to a registry client; and the order of credentials.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::small_file;
use crate::archive::Input;
use crate::cli::NetworkArgs;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::image::{HostName, Reference};
use crate::plan::Request;
use crate::registry::{ClientOptions, GivenCredentials, Held, RegistryClient};
use crate::report::Reporter;
use crate::secret::Secret;

/// Longest password taken from stdin.
const MAX_PASSWORD: u64 = 64 << 10;

/// A client for the sources of an export. `--username` is for `registry`, or for the catalog's one registry.
pub(super) fn for_export(
    network: &NetworkArgs,
    registry: Option<&HostName>,
    request: &Request,
    held: &Held,
) -> anyhow::Result<RegistryClient> {
    check_auth_file(network)?;
    let mut given = Vec::new();
    if let Some(username) = &network.username {
        let asked = request.images.iter().filter(|image| !image.pin.is_some_and(|pin| held.contains(&pin)));
        let mut hosts: Vec<&HostName> = asked.flat_map(|image| &image.sources).map(Reference::host).collect();
        hosts.sort();
        hosts.dedup();
        let host = match (registry, hosts.as_slice()) {
            (Some(host), _) => host,
            (None, [host]) => host,
            (None, hosts) => {
                let list: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                return Err(Failure::usage(format!(
                    "--username is for one registry, and this catalog names {}: {}",
                    hosts.len(),
                    list.join(", ")
                ))
                .hint("say which with --registry HOST, or store logins with bundle login")
                .into());
            }
        };
        given.push(from_flags(network, username, host.clone())?);
    }
    let quay: HostName = "quay.io".parse()?;
    given.extend(from_environment("STS_REGISTRY_USERNAME", "STS_REGISTRY_PASSWORD", quay));
    let sources = request.images.iter().flat_map(|image| &image.sources);
    let login_hosts: BTreeSet<HostName> = sources.map(|source| source.host().clone()).collect();
    let login_hosts = login_hosts.into_iter().collect();
    Ok(client(ClientOptions { held: held.clone(), login_hosts, ..options(network, given) }))
}

/// A client that also has logins made by clouds.
fn client(options: ClientOptions) -> RegistryClient {
    #[cfg(feature = "ecr")]
    let options = {
        let aws = crate::destination::ecr::EcrLogin::new(RegistryClient::new(options.clone()));
        ClientOptions { last_resort: Some(std::sync::Arc::new(aws)), ..options }
    };
    RegistryClient::new(options)
}

/// A client for a destination.
pub(super) fn for_destination(
    network: &NetworkArgs,
    destination: &Destination,
) -> anyhow::Result<RegistryClient> {
    check_auth_file(network)?;
    let host = destination.host().clone();
    let mut given = Vec::new();
    if let Some(username) = &network.username {
        given.push(from_flags(network, username, host.clone())?);
    }
    given.extend(from_environment("DST_REGISTRY_USERNAME", "DST_REGISTRY_PASSWORD", host.clone()));
    let mut options = options(network, given);
    if destination.plain_http {
        options.plain_http.push(host);
    } else if destination.tls {
        options.tls_only.push(host);
    }
    Ok(client(options))
}

/// What registries had to say beside their answers, each once.
pub(super) fn tell_warnings(client: &RegistryClient, reporter: &Reporter) {
    for warning in client.take_warnings() {
        reporter.warn(&warning);
    }
}

/// A file that was named must be there, even where no login turns out to be needed.
fn check_auth_file(network: &NetworkArgs) -> anyhow::Result<()> {
    match &network.auth_file {
        Some(file) if !file.is_file() => {
            let message = format!("there is no credentials file {}", file.display());
            Err(Failure::usage(message).hint("bundle login --auth-file FILE makes one").into())
        }
        _ => Ok(()),
    }
}

pub(super) fn options(network: &NetworkArgs, given: Vec<GivenCredentials>) -> ClientOptions {
    ClientOptions {
        jobs: usize::from(network.jobs),
        retries: network.retries,
        stall_timeout: network.timeout,
        ca_files: network.ca_file.clone(),
        client_cert: network.client_cert.clone().zip(network.client_key.clone()),
        plain_http: network.plain_http.clone(),
        tls_no_verify: network.tls_no_verify.clone(),
        auth_file: network.auth_file.clone(),
        given,
        limit_rate: network.limit_rate,
        http2: network.http2,
        ..ClientOptions::default()
    }
}

/// Says, to those who want details, how each registry was used and how much it could take.
pub(super) fn tell_of_hosts(client: &RegistryClient, reporter: &Reporter) {
    for host in client.stats().hosts {
        let blobs = host.blob_heads + host.blob_gets + host.blob_pushes;
        let manifests = host.manifest_heads + host.manifest_gets + host.manifest_puts;
        reporter.detail(&format!(
            "{}: {manifests} requests for manifests, {blobs} for blobs, {} others; {} at once in the end, {} at the least",
            host.host, host.other, host.concurrency, host.fewest
        ));
    }
}

fn from_flags(network: &NetworkArgs, username: &str, host: HostName) -> anyhow::Result<GivenCredentials> {
    let password = password(network)?;
    Ok(GivenCredentials { host, username: username.to_owned(), password, origin: "--username" })
}

/// The password from stdin, or asked for on a terminal.
pub(super) fn password(network: &NetworkArgs) -> anyhow::Result<Secret> {
    if network.password_stdin {
        let refuse = |why: String| Failure::usage(format!("the password on stdin: {why}"));
        let text = small_file::stdin(MAX_PASSWORD).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let asked = rpassword::prompt_password("Password: ");
    Ok(Secret::new(asked.map_err(|error| {
        Failure::usage(format!("no password: {error}")).hint("give it on stdin with --password-stdin")
    })?))
}

/// The pair of variables of the tool that this one replaces; both must be set.
fn from_environment(
    username: &'static str,
    password: &'static str,
    host: HostName,
) -> Option<GivenCredentials> {
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (user, secret) = (value(username)?, value(password)?);
    Some(GivenCredentials { host, username: user, password: Secret::new(secret), origin: username })
}

/// What lies at an address on the network.
#[cfg(feature = "object-storage")]
pub(super) fn remote(address: &str, network: &NetworkArgs) -> anyhow::Result<Arc<dyn Input>> {
    let client = for_files(network);
    let opened =
        tokio::task::block_in_place(|| crate::storage::RemoteInput::open(address, &client, network.retries));
    Ok(Arc::new(opened?))
}

/// What lies there, if there is something.
#[cfg(feature = "object-storage")]
pub(super) fn remote_beside(address: &str, network: &NetworkArgs) -> anyhow::Result<Option<Arc<dyn Input>>> {
    let client = for_files(network);
    let opened = tokio::task::block_in_place(|| {
        crate::storage::RemoteInput::beside(address, &client, network.retries)
    });
    Ok(opened?.map(|input| Arc::new(input) as Arc<dyn Input>))
}

/// A client of its own: what was given for registries is not for web servers.
#[cfg(feature = "object-storage")]
fn for_files(network: &NetworkArgs) -> RegistryClient {
    RegistryClient::new(options(network, Vec::new()))
}

#[cfg(not(feature = "object-storage"))]
pub(super) fn remote(address: &str, _: &NetworkArgs) -> anyhow::Result<Arc<dyn Input>> {
    Err(Failure::usage(format!("this build of bundle reads files only, not {address}"))
        .hint("download it first: curl -O, aws s3 cp")
        .into())
}

#[cfg(not(feature = "object-storage"))]
pub(super) fn remote_beside(address: &str, network: &NetworkArgs) -> anyhow::Result<Option<Arc<dyn Input>>> {
    remote(address, network).map(Some)
}
