//! The hint for a failure. It follows from the cause, never from the exit code, which several causes share.

use super::error_kind::{BadCertificate, CertificateCause, ErrorKind, ProxyFault, StatusAnswer};
use super::proxy::ProxyName;
use crate::image::{Algorithm, HostName};

/// The hint for a failure of `kind` at `host`.
pub(super) fn of(host: &HostName, kind: &ErrorKind) -> Option<String> {
    Some(match kind {
        ErrorKind::Status(answer) => {
            return of_answer(answer, answer.elsewhere.as_ref().unwrap_or(host));
        }
        ErrorKind::Credentials(unusable) | ErrorKind::Configuration(unusable) => {
            return unusable.hint.clone();
        }
        ErrorKind::PlainLogin(_) => {
            format!("if the network up to {host} is trusted, allow it: --plain-http {host}")
        }
        ErrorKind::RateLimited { .. } => {
            "log in (authenticated users have a higher limit) or run the same command again later: \
             finished work is kept"
                .to_owned()
        }
        ErrorKind::Connect(_) => {
            format!("check the name, the port and the proxy settings (HTTPS_PROXY, NO_PROXY) for {host}")
        }
        ErrorKind::Proxy { proxy, fault } => of_proxy(proxy, fault, host),
        ErrorKind::NotTls => format!("if {host} uses plain HTTP: --plain-http {host}"),
        ErrorKind::Certificate(bad) => of_certificate(bad, host),
        ErrorKind::NotARegistry(_) => {
            format!("check the address of {host}: a proxy, a login page or another service may be answering")
        }
        ErrorKind::Stalled(_) => "on a slow network, raise --timeout".to_owned(),
        _ => return None,
    })
}

fn of_proxy(proxy: &ProxyName, fault: &ProxyFault, host: &HostName) -> String {
    let (variable, bare) = (proxy.variable, host.bare_host());
    match fault {
        ProxyFault::Login { given } => {
            let verb = if *given { "correct" } else { "set" };
            let (scheme, address) = proxy.address.split_once("://").unwrap_or(("http", &proxy.address));
            format!(
                "{verb} them: {variable}={scheme}://USER:PASSWORD@{address}; special characters are percent-encoded, \
                 such as \\ as %5C and @ as %40"
            )
        }
        ProxyFault::Unreachable(_) => {
            format!("correct {variable}, or reach {host} without a proxy: NO_PROXY={bare}")
        }
        ProxyFault::NoTunnel => {
            format!("have the proxy allow {host}, or reach it without the proxy: NO_PROXY={bare}")
        }
    }
}

fn of_certificate(bad: &BadCertificate, host: &HostName) -> String {
    let accept = format!("accept any: --tls-no-verify {host}");
    match bad.cause {
        CertificateCause::Time => format!(
            "correct this machine's clock if it is wrong (see date -u); else have the certificate of {host} renewed, or {accept}"
        ),
        CertificateCause::Name => format!(
            "use one of the names in the certificate, have it issued for {}, or {accept}",
            host.bare_host()
        ),
        CertificateCause::Issuer | CertificateCause::Other => {
            format!("give the certificate authority with --ca-file FILE, or {accept}")
        }
    }
}

fn of_answer(answer: &StatusAnswer, host: &HostName) -> Option<String> {
    if answer.blocked {
        return Some(format!(
            "a firewall or proxy in front of {host} blocks this content: ask its operator for an exception"
        ));
    }
    if let Some(hint) = of_missing_feature(answer, host) {
        return Some(hint);
    }
    if let Some(hint) = of_code(answer, host) {
        return Some(hint);
    }
    Some(match answer.status {
        401 | 403 if answer.is_anonymous => format!(
            "{host} is not one of the registries that images come from, so no login is sent to it; leave such \
             layers where they are with --foreign-layers keep-urls"
        ),
        401 | 403 if answer.credentials_from.is_none() && answer.passed_over.is_some() => {
            let unusable = answer.passed_over.as_ref()?;
            let way = unusable.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("no login was sent to {host}: {unusable}{way}")
        }
        401 if answer.credentials_from.is_none() => {
            format!("no credentials for {host}: bundle login {host}")
        }
        // The registry accepted the start of the upload, so the account has the right to push.
        403 if answer.about.within_upload && answer.text.is_empty() && answer.code.is_none() => format!(
            "{host} let the upload begin and refuses its end without a reason: a quota or a limit on sizes is \
             likelier than a missing right; ask who runs it"
        ),
        401 | 403 => format!("check that the account may do this, or log in again: bundle login {host}"),
        405 => format!("{host} may be in read-only mode"),
        407 => "a proxy requires a login: set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT".to_owned(),
        413 => format!("{host}, or a proxy in front of it, limits the size of requests: raise that limit"),
        415 => format!("{host} does not accept this media type: its settings can allow it"),
        507 => format!("free space on {host}, then run the same command again"),
        _ => return None,
    })
}

/// The hint for a build without the feature `ecr`, which can neither log in to Amazon ECR nor create repositories.
fn of_missing_feature(answer: &StatusAnswer, host: &HostName) -> Option<String> {
    let name = host.bare_host();
    let is_ecr = name.contains(".dkr.ecr") && (name.contains(".amazonaws.com") || name.ends_with(".on.aws"));
    if cfg!(feature = "ecr") || !is_ecr {
        return None;
    }
    let way = match answer.status {
        401 if answer.credentials_from.is_none() => "log in",
        404 => "create the repository",
        _ => return None,
    };
    Some(format!(
        "this build of bundle lacks the feature `ecr`, which would {way} with your AWS credentials: \
         rebuild it with cargo build --release"
    ))
}

/// The hint for the registry's own error code.
fn of_code(answer: &StatusAnswer, host: &HostName) -> Option<String> {
    let code = answer.code.as_deref()?;
    if let Some(algorithm) = answer.about.algorithm.filter(|algorithm| *algorithm != Algorithm::Sha256)
        && matches!(code, "DIGEST_INVALID" | "UNSUPPORTED")
    {
        return Some(format!(
            "{host} may know digests by sha256 only, and not by {}: leave this image out with --keep-going, or use a \
             registry that knows them",
            algorithm.name()
        ));
    }
    match code {
        // The content was verified while it was read, so it was altered after that.
        "DIGEST_INVALID" | "SIZE_INVALID" => {
            Some(format!("the data is altered on its way to {host}: check proxies and the network"))
        }
        "NAME_INVALID" => Some(format!(
            "{host} does not allow this repository name: correct it, or choose another prefix: -d {host}/PREFIX"
        )),
        "NAME_UNKNOWN" if answer.status == 404 => {
            Some("create the repository or project first, or correct its name".to_owned())
        }
        _ => None,
    }
}
