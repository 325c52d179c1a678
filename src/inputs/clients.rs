//! Makes a registry client from network flags and environment; defines the order of credentials.

use std::collections::BTreeSet;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::content_source::ContentSource;
use super::held::Held;
use crate::app::failure::Failure;
use crate::app::{foreign_text, small_file};
use crate::archive::Input;
use crate::cli::NetworkArgs;
use crate::destination::Destination;
use crate::image::HostName;
use crate::plan::Request;
use crate::registry::{ClientOptions, Environment, GivenCredentials, RegistryClient};
use crate::report::Reporter;
use crate::secret::Secret;

/// Maximum length of a password on stdin, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// A client for the sources of an export. `--username` is for `registry`, or for the catalog's one registry.
pub(crate) fn for_export(
    network: &NetworkArgs,
    registry: Option<&HostName>,
    request: &Request,
    held: &Held,
    reporter: &Reporter,
) -> anyhow::Result<ContentSource> {
    check_auth_file(network)?;
    let asked = request.images.iter().filter(|image| !image.pin.is_some_and(|pin| held.contains(&pin)));
    let hosts: BTreeSet<HostName> =
        asked.flat_map(|image| &image.sources).map(|source| source.host().clone()).collect();
    let hosts: Vec<HostName> = hosts.into_iter().collect();
    let mut given = Vec::new();
    if let Some(username) = &network.username {
        let host = match (registry, hosts.as_slice()) {
            (Some(host), _) | (None, [host]) => host,
            (None, hosts) => {
                let list: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                return Err(Failure::usage(format!(
                    "--username is for one registry, and this catalog names {}: {}",
                    hosts.len(),
                    list.join(", ")
                ))
                .hint("name it with --registry HOST, or store logins with bundle login")
                .into());
            }
        };
        given.push(from_flags(network, username, host.clone())?);
    }
    let quay: HostName = "quay.io".parse()?;
    if hosts.contains(&quay) {
        let pair = ["STS_REGISTRY_USERNAME", "STS_REGISTRY_PASSWORD"];
        given.extend(from_environment(pair, quay, &Environment::of_process(), reporter)?);
    }
    let sources = request.images.iter().flat_map(|image| &image.sources);
    let login_hosts: BTreeSet<HostName> = sources.map(|source| source.host().clone()).collect();
    let login_hosts = login_hosts.into_iter().collect();
    let client = client(ClientOptions { login_hosts, ..options(network, given) });
    check(&client, &hosts, reporter)?;
    Ok(ContentSource::new(client, held.clone()))
}

/// Reports all unusable settings as one error, before any request is sent.
pub(crate) fn check(client: &RegistryClient, hosts: &[HostName], reporter: &Reporter) -> Result<(), Failure> {
    let checked = client.check_settings(hosts).map_err(Failure::unusable);
    tell_warnings(client, reporter);
    checked
}

/// A client that can also use logins from cloud providers.
fn client(options: ClientOptions) -> RegistryClient {
    #[cfg(feature = "ecr")]
    let options = {
        let aws = crate::destination::ecr::EcrLogin::new(RegistryClient::new(options.clone()));
        ClientOptions { last_resort: Some(std::sync::Arc::new(aws)), ..options }
    };
    RegistryClient::new(options)
}

/// A client for a destination.
pub(crate) fn for_destination(
    network: &NetworkArgs,
    destination: &Destination,
    reporter: &Reporter,
) -> anyhow::Result<RegistryClient> {
    check_auth_file(network)?;
    let host = destination.host().clone();
    let mut given = Vec::new();
    if let Some(username) = &network.username {
        given.push(from_flags(network, username, host.clone())?);
    }
    let pair = ["DST_REGISTRY_USERNAME", "DST_REGISTRY_PASSWORD"];
    given.extend(from_environment(pair, host.clone(), &Environment::of_process(), reporter)?);
    let mut options = options(network, given);
    if destination.plain_http {
        options.plain_http.push(host.clone());
    } else if destination.tls {
        options.tls_only.push(host.clone());
    }
    let client = client(options);
    check(&client, &[host], reporter)?;
    Ok(client)
}

/// Prints the warnings that registries sent, each once.
pub(crate) fn tell_warnings(client: &RegistryClient, reporter: &Reporter) {
    for warning in client.take_warnings() {
        reporter.warn(&warning);
    }
}

/// A named credentials file must exist, even if no login turns out to be needed.
fn check_auth_file(network: &NetworkArgs) -> anyhow::Result<()> {
    match &network.auth_file {
        Some(file) if !file.is_file() => {
            let message = format!("the credentials file {} does not exist", file.display());
            Err(Failure::usage(message).hint("create one with bundle login --auth-file FILE").into())
        }
        _ => Ok(()),
    }
}

pub(crate) fn options(network: &NetworkArgs, given: Vec<GivenCredentials>) -> ClientOptions {
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

/// With `--verbose`, prints how each registry was used and how many requests it could take at a time.
pub(crate) fn tell_of_hosts(client: &RegistryClient, reporter: &Reporter) {
    for host in client.stats().hosts {
        let blobs = host.blob_heads + host.blob_gets + host.blob_pushes;
        let manifests = host.manifest_heads + host.manifest_gets + host.manifest_puts;
        reporter.detail(&format!(
            "{}: {manifests} requests for manifests, {blobs} for blobs, {} others; \
             {} at a time at the end of the run, and never fewer than {}",
            host.host, host.other, host.concurrency, host.fewest
        ));
    }
}

fn from_flags(network: &NetworkArgs, username: &str, host: HostName) -> anyhow::Result<GivenCredentials> {
    check_username(username)?;
    let password = password(network)?;
    Ok(GivenCredentials { host, username: username.to_owned(), password, origin: "--username" })
}

/// Refuses a user name that no login can have: HTTP separates it from the password with a colon.
pub(crate) fn check_username(username: &str) -> Result<(), Failure> {
    if username.is_empty() || username.contains(':') {
        return Err(Failure::usage("a user name must not be empty or contain a colon"));
    }
    Ok(())
}

/// The password from stdin, or from a prompt on a terminal.
pub(crate) fn password(network: &NetworkArgs) -> anyhow::Result<Secret> {
    if network.password_stdin {
        let refuse = |why: String| Failure::usage(format!("the password on stdin: {why}"));
        let bytes = small_file::stdin(MAX_PASSWORD).map(Zeroizing::new);
        let bytes = bytes.map_err(|error| refuse(error.to_string()))?;
        let text = foreign_text::text(&bytes)
            .map_err(|error| Failure::unusable(error.of_stdin().about("the password on stdin")))?;
        let password = Secret::new(without_line_break(text));
        return if password.is_empty() { Err(refuse("it is empty".to_owned()).into()) } else { Ok(password) };
    }
    let asked = rpassword::prompt_password("Password: ").map(Secret::new);
    let hint = "pass it on stdin with --password-stdin";
    let password = asked.map_err(|error| Failure::usage(format!("no password: {error}")).hint(hint))?;
    if password.is_empty() {
        return Err(Failure::usage("the password is empty").hint(hint).into());
    }
    Ok(password)
}

/// `text` without the line break that a file or here-document has at its end.
fn without_line_break(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// The pair of environment variables of the tool that this program replaces; both must be set.
fn from_environment(
    pair: [&'static str; 2],
    host: HostName,
    environment: &Environment,
    reporter: &Reporter,
) -> anyhow::Result<Option<GivenCredentials>> {
    let value = |name| -> anyhow::Result<Option<Secret>> {
        let value = environment.exact(name).map_err(Failure::unusable)?.unwrap_or_default();
        let value = without_line_break(foreign_text::without_mark(value));
        Ok((!value.is_empty()).then(|| Secret::new(value)))
    };
    let [username, password] = pair;
    let (user, secret) = (value(username)?, value(password)?);
    match (user, secret) {
        (Some(user), Some(password)) => {
            check_username(user.expose()).map_err(|error| Failure::usage(format!("{username}: {error}")))?;
            let username_text = user.expose().to_owned();
            Ok(Some(GivenCredentials { host, username: username_text, password, origin: username }))
        }
        (None, None) => Ok(None),
        (there, _) => {
            let (set, lacking) = if there.is_some() { (username, password) } else { (password, username) };
            reporter.warn(&format!("{set} is set but {lacking} is empty or not set, so neither is used"));
            Ok(None)
        }
    }
}

/// The content at a network address.
#[cfg(feature = "object-storage")]
pub(crate) fn remote(address: &str, network: &NetworkArgs) -> anyhow::Result<Arc<dyn Input>> {
    let client = for_files(network)?;
    let opened =
        tokio::task::block_in_place(|| crate::remote::RemoteInput::open(address, &client, network.retries));
    Ok(Arc::new(opened?))
}

/// The content at the address, if there is any.
#[cfg(feature = "object-storage")]
pub(crate) fn remote_beside(address: &str, network: &NetworkArgs) -> anyhow::Result<Option<Arc<dyn Input>>> {
    let client = for_files(network)?;
    let opened =
        tokio::task::block_in_place(|| crate::remote::RemoteInput::beside(address, &client, network.retries));
    Ok(opened?.map(|input| Arc::new(input) as Arc<dyn Input>))
}

/// A separate client: credentials for registries must not be sent to web servers.
#[cfg(feature = "object-storage")]
fn for_files(network: &NetworkArgs) -> Result<RegistryClient, Failure> {
    let client = RegistryClient::new(options(network, Vec::new()));
    client.check_settings(&[]).map_err(Failure::unusable)?;
    Ok(client)
}

#[cfg(not(feature = "object-storage"))]
pub(crate) fn remote(address: &str, _: &NetworkArgs) -> anyhow::Result<Arc<dyn Input>> {
    Err(Failure::usage(format!(
        "{address} cannot be read: this build of bundle lacks the feature `object-storage`"
    ))
    .hint("download the file first (curl -O, aws s3 cp), or rebuild bundle with cargo build --release")
    .into())
}

#[cfg(not(feature = "object-storage"))]
pub(crate) fn remote_beside(address: &str, network: &NetworkArgs) -> anyhow::Result<Option<Arc<dyn Input>>> {
    remote(address, network).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(user: &str, password: &str) -> anyhow::Result<Option<(String, String)>> {
        let environment = Environment::of(&[("A_USER", user), ("A_PASSWORD", password)]);
        let pair = ["A_USER", "A_PASSWORD"];
        let given = from_environment(pair, "r.io".parse()?, &environment, &Reporter::silent())?;
        Ok(given.map(|given| (given.username, given.password.expose().to_owned())))
    }

    #[test]
    fn variables_count_as_a_pair_and_lose_the_line_break_at_their_end() {
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(given("u", "p").unwrap(), both("u", "p"));
        assert_eq!(given("u\n", "\u{feff} p \r\n").unwrap(), both("u", " p "));
        for (user, password) in [("u", ""), ("", "p"), ("u", "\n"), ("", "")] {
            assert_eq!(given(user, password).unwrap(), None, "{user:?} {password:?}");
        }
        let error = given("u:x", "geheim").unwrap_err().to_string();
        assert_eq!(error, "A_USER: a user name must not be empty or contain a colon");
    }
}
