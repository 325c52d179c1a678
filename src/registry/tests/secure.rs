use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A certificate with its key, in PEM and DER.
struct Certificate {
    chain: String,
    key: KeyPair,
    der: rustls::pki_types::CertificateDer<'static>,
}

fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let mut params = parameters(names);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    Certificate { chain: certificate.pem(), der: certificate.der().clone(), key }
}

fn parameters(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// An https server that gives every request the same answer.
async fn server(certificate: &Certificate, answer: &'static str) -> HostName {
    server_for(certificate, None, answer).await
}

/// The same; `clients` is the authority that its clients' certificates must come from.
async fn server_for(
    certificate: &Certificate,
    clients: Option<&Certificate>,
    answer: &'static str,
) -> HostName {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if let Some(clients) = clients {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(clients.der.clone()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![certificate.der.clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = vec![0; 8192];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    host
}

const ROOT: &str = "HTTP/1.1 200 OK\r\ndocker-distribution-api-version: registry/2.0\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

async fn ping(host: &HostName, ca: Option<&str>) -> Result<PingOutcome, RegistryError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ca.unwrap_or_default()).unwrap();
    let client = client(|options| options.ca_files.extend(ca.map(|_| file.path().to_owned())));
    client.ping(host).await
}

#[tokio::test]
async fn what_was_given_as_an_authority_is_trusted_and_nothing_else() {
    let ip = ["127.0.0.1"];
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = parameters(&[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let signed = parameters(&ip).signed_by(&key, &issuer).unwrap();
    let signed = Certificate { chain: authority_pem, der: signed.der().clone(), key };
    let with_ca_flag = self_signed(&ip, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    for certificate in [signed, self_signed(&ip, |_| {}), with_ca_flag] {
        let host = server(&certificate, ROOT).await;
        let outcome = ping(&host, Some(&certificate.chain)).await.unwrap();
        assert_eq!(outcome, PingOutcome::Registry { authenticated: false });
        // Loopback or not: a certificate that is not trusted never leads to plain HTTP.
        let error = ping(&host, None).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Certificate(_)), "{error}");
        assert!(error.hint().unwrap().contains("--ca-file"));
        let trusting = client(|options| options.tls_no_verify = vec![host.clone()]);
        assert!(trusting.ping(&host).await.is_ok());
    }
}

#[tokio::test]
async fn the_cause_of_a_refused_certificate_is_named() {
    let long_ago = rcgen::date_time_ymd(2020, 1, 1);
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (certificate, says) in [
        (self_signed(&["127.0.0.1"], |params| params.not_after = long_ago), "expired"),
        (
            self_signed(&["127.0.0.1"], |params| {
                params.not_after = long_ago;
                ca(params);
            }),
            "expired",
        ),
        (self_signed(&["reg.example"], |_| {}), "reg.example"),
        (self_signed(&["reg.example"], ca), "reg.example"),
        (self_signed(&[], ca), "common name"),
    ] {
        let host = server(&certificate, ROOT).await;
        let error = ping(&host, Some(&certificate.chain)).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unreachable);
        assert!(error.to_string().contains(says), "{error}");
        // Another authority is no way out of either.
        let hint = error.hint().unwrap();
        let expected = if says == "expired" { "clock" } else { "names" };
        assert!(hint.contains(expected) && !hint.contains("--ca-file"), "{hint}");
    }
    let tomorrow = self_signed(&["127.0.0.1"], |params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    let host = server(&tomorrow, ROOT).await;
    let error = ping(&host, Some(&tomorrow.chain)).await.unwrap_err();
    assert!(error.to_string().contains("valid from 2999-01-01"), "{error}");
    assert!(error.hint().unwrap().contains("clock"), "{:?}", error.hint());
}

#[tokio::test]
async fn redirects_never_lead_from_https_to_http() {
    let certificate = self_signed(&["127.0.0.1"], |_| {});
    let answer = "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/x?secret=1\r\ncontent-length: 0\r\n\r\n";
    let host = server(&certificate, answer).await;
    let client = client(|options| options.tls_no_verify = vec![host.clone()]);
    let repository = Repository::new(host, "a").unwrap();
    let error = client.blob(&(&repository).into(), &Digest::sha256(b"x"), 1, 0).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("from https to http://127.0.0.1:1/x") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn credentials_never_go_from_https_to_a_token_server_over_http() {
    let certificate = self_signed(&["127.0.0.1"], |_| {});
    let answer = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://127.0.0.1:1/token\"\r\n\
                  content-length: 0\r\n\r\n";
    let host = server(&certificate, answer).await;
    let client = client(|options| options.tls_no_verify = vec![host.clone()]);
    let repository = Repository::new(host, "a").unwrap();
    let error = client.blob(&(&repository).into(), &Digest::sha256(b"x"), 1, 0).await.unwrap_err();
    assert!(error.to_string().contains("asks for credentials over plain HTTP"), "{error}");
}

#[tokio::test]
async fn a_server_that_stops_reading_an_upload_is_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host: HostName = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let client = client(|options| {
        options.plain_http = vec![host.clone()];
        options.stall_timeout = Duration::from_millis(80);
        options.retries = 2;
    });
    let bytes: Bytes = format!("{{\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(3 << 20)).into();
    let manifest = crate::image::RawManifest::new(bytes, None, None).unwrap();
    let target = ManifestTarget::Tag("v1".parse().unwrap());
    let repository = Repository::new(host, "a").unwrap();
    let error = client.put_manifest(&repository, &target, &manifest).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Stalled(_)), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_registry() {
    let ours = self_signed(&["client"], |_| {});
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("client.cert"), dir.path().join("client.key"));
    std::fs::write(&cert, &ours.chain).unwrap();
    std::fs::write(&key, ours.key.serialize_pem()).unwrap();
    let host = server_for(&self_signed(&["127.0.0.1"], |_| {}), Some(&ours), ROOT).await;
    let with = |identity: Option<(PathBuf, PathBuf)>| {
        client(|options| {
            options.tls_no_verify = vec![host.clone()];
            options.client_cert = identity;
            options.retries = 1;
        })
    };
    assert!(with(None).ping(&host).await.is_err());
    assert!(with(Some((cert.clone(), key.clone()))).ping(&host).await.is_ok());
    // The same pair where container tools keep it.
    let config = dir.path().join("config");
    let certs = config.join("containers/certs.d").join(host.as_str());
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(cert, certs.join("client.cert")).unwrap();
    std::fs::copy(key, certs.join("client.key")).unwrap();
    let found = client(|options| {
        options.tls_no_verify = vec![host.clone()];
        options.environment = Environment::of(&[("XDG_CONFIG_HOME", config.to_str().unwrap())]);
    });
    assert!(found.ping(&host).await.is_ok());
}

#[tokio::test]
async fn a_proxy_is_used_with_its_credentials_and_shown_without() {
    let proxy = Fake::start(|_| reply(200, "{}")).await;
    let address = format!("http://u:geheim@{}", proxy.host);
    let host: HostName = "registry.test:5000".parse().unwrap();
    let client = client(|options| {
        options.plain_http = vec![host.clone()];
        options.environment = Environment::of(&[("HTTP_PROXY", &address)]);
    });
    client.ping(&host).await.unwrap();
    let seen = &proxy.seen("GET", "/v2/")[0];
    assert_eq!(seen.header("proxy-authorization"), Some("Basic dTpnZWhlaW0="));
    assert_eq!(seen.header("host"), Some("registry.test:5000"));
    assert!(!format!("{client:?}").contains("geheim"));
}
