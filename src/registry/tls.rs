//! TLS: which roots count, client certificates, and hosts whose certificate is not looked at.
//!
//! Roots: the system's (or `SSL_CERT_FILE`/`SSL_CERT_DIR`), `--ca-file`, and `certs.d/<host[:port]>/*.crt` as
//! container tools read it. They are added, never replaced. Read once, and only when a host needs TLS: a machine
//! without any CA store is fine until then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, InconsistentKeys,
    RootCertStore, SignatureScheme,
};

use super::environment::Environment;
use crate::app::small_file;

/// Certificate files are kilobytes; a bundle of all public roots is 200.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// Where trust comes from; shared by all hosts.
pub(super) struct TlsSettings {
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) client_cert: Option<(PathBuf, PathBuf)>,
    cert_dirs: Vec<PathBuf>,
    system: OnceLock<Vec<CertificateDer<'static>>>,
}

impl TlsSettings {
    pub(super) fn new(
        ca_files: Vec<PathBuf>,
        client_cert: Option<(PathBuf, PathBuf)>,
        environment: &Environment,
    ) -> Self {
        let mut cert_dirs =
            vec![PathBuf::from("/etc/containers/certs.d"), PathBuf::from("/etc/docker/certs.d")];
        if let Some(home) = environment.config_home() {
            cert_dirs.insert(0, home.join("containers/certs.d"));
        }
        Self { ca_files, client_cert, cert_dirs, system: OnceLock::new() }
    }

    /// The configuration for one `authority` (host, or host and port). `is_registry`: only a registry the user
    /// named gets the client certificate of the command line, never a host it redirects to.
    pub(super) fn config(
        &self,
        authority: &str,
        verify: bool,
        is_registry: bool,
        http2: bool,
    ) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let mut given = Vec::new();
        for file in &self.ca_files {
            given.extend(certificates(file)?);
        }
        let mut identity = self.client_cert.clone().filter(|_| is_registry);
        for dir in &self.cert_dirs {
            // `host` and `host:443` are one.
            let other = authority.strip_suffix(":443").map_or(format!("{authority}:443"), str::to_owned);
            for name in [authority, &other] {
                let found = CertsDir::read(&dir.join(name))?;
                for file in &found.authorities {
                    given.extend(certificates(file)?);
                }
                identity = identity.or(found.identity);
            }
        }
        let trust = if verify { self.trust(given, &provider)? } else { Trust::Anybody };
        let verifier = Verifier { algorithms: provider.signature_verification_algorithms, trust };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(&certificate)?;
                let private = PrivateKeyDer::from_pem_slice(&read_bounded(&key)?)
                    .map_err(|_| format!("{} holds no usable private key (PEM)", key.display()))?;
                let refuse = |error| format!("{} and {}: {error}", certificate.display(), key.display());
                let private = provider.key_provider.load_private_key(private).map_err(refuse)?;
                let own = CertifiedKey::new(chain, private);
                // What else is wrong with it, the server may see differently.
                if let Err(error @ TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
                    own.keys_match()
                {
                    return Err(refuse(error));
                }
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(config)
    }

    fn trust(
        &self,
        given: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Trust, String> {
        // Errors of single files in the system store are not ours to report: what could be read counts.
        let system = self.system.get_or_init(|| rustls_native_certs::load_native_certs().certs);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(system.iter().cloned());
        roots.add_parsable_certificates(given.iter().cloned());
        if roots.is_empty() {
            return Ok(Trust::Nobody);
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| format!("TLS roots cannot be used: {error}"))?;
        Ok(Trust::Roots { inner, given })
    }
}

/// What lies in `certs.d/<host>`: `*.crt` are authorities, `<n>.cert` with `<n>.key` is our own certificate.
#[derive(Default)]
struct CertsDir {
    authorities: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

impl CertsDir {
    fn read(dir: &Path) -> Result<Self, String> {
        // A directory that is not there or not ours to read is no part of the configuration.
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Ok(Self::default());
        };
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let mut found = Self::default();
        for file in &files {
            match file.extension().and_then(|e| e.to_str()) {
                Some("crt") => found.authorities.push(file.clone()),
                Some("cert") => {
                    let key = file.with_extension("key");
                    if !files.contains(&key) {
                        return Err(format!("{} has no {} beside it", file.display(), key.display()));
                    }
                    found.identity.get_or_insert((file.clone(), key));
                }
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    let cert = file.with_extension("cert");
                    return Err(format!("{} has no {} beside it", file.display(), cert.display()));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_bounded(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{} holds no certificate in PEM form", file.display())),
    }
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, String> {
    small_file::named(file, MAX_FILE).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Judges the certificate of a server; signatures are always checked.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
}

/// Which certificates are acceptable.
#[derive(Debug)]
enum Trust {
    /// Those of the roots, and one thing more: a self-signed server certificate that was itself given as an
    /// authority is accepted for its own names and time, which `webpki` refuses where it carries the CA flag.
    Roots { inner: Arc<WebPkiServerVerifier>, given: Vec<CertificateDer<'static>> },
    /// None: this machine has no root at all.
    Nobody,
    /// Any: the user exempted the host by name.
    Anybody,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let (inner, given) = match &self.trust {
            Trust::Roots { inner, given } => (inner, given),
            Trust::Nobody => return Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
        };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // `Other` is what webpki's "CA used as end entity" comes out as; time is checked before that.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_)))
                if given.iter().any(|given| given.as_ref() == end_entity.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The cause of a refused certificate, in words.
pub(super) fn explain(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired (or this machine's clock is wrong)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (or this machine's clock is wrong)".to_owned()
        }
        CertificateError::NotValidForName => "it is for another host name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented =
                presented.iter().take(5).map(|p| super::redact::clean(p, 100)).collect::<Vec<_>>();
            let presented = if presented.is_empty() {
                "none; a common name does not count".to_owned()
            } else {
                presented.join(", ")
            };
            format!("it is for another host name than {} (its names: {presented})", expected.to_str())
        }
        CertificateError::Other(why) => format!(
            "it cannot stand for a server ({}); a self-signed one must itself be given as an authority",
            super::redact::clean(&why.to_string(), 100)
        ),
        CertificateError::UnknownIssuer => "its issuer is not among the trusted authorities".to_owned(),
        other => super::redact::clean(&other.to_string(), 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_client_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.cert", "b.key"] {
            let host = dir.path().join(name);
            std::fs::create_dir(&host).unwrap();
            std::fs::write(host.join(name), "").unwrap();
            let error = CertsDir::read(&host).err().unwrap();
            assert!(error.contains(name) && error.contains("beside"), "{error}");
        }
        assert!(CertsDir::read(&dir.path().join("none")).unwrap().identity.is_none());
    }

    /// As `openssl x509 -req` makes them unless told otherwise.
    #[test]
    fn a_client_certificate_of_version_1_is_for_the_server_to_judge() {
        const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBGDCBvwIUF2pA0GOG1WoKo28ong4Rd1WbqpUwCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMCAXDTI2MTEyNTE4NTQwMVoYDzIxMjYxMTAxMTg1NDAxWjAOMQww
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARSKUeDVHmtn1xt
ev+42tvWzsGHd7GaIU6fw02bk1M3WVhP+lYkcJpjO75bM7VM2LyCM8Nsmm/Dg4T/
FeFCl/WyMAoGCCqGSM49BAMCA0gAMEUCIQDiU95Tjfh8y9+pbthHOBms8ND2kPJU
PYfN/0Xhjqh/ZwIgWeYZO7DEPFCsAi88exH6SfmMI3ucD4mdt2wuNUgcgSQ=
-----END CERTIFICATE-----
";
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("client.pem"), dir.path().join("client.key"));
        std::fs::write(&certificate, VERSION_1).unwrap();
        std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let identity = Some((certificate, key.clone()));
        let settings = TlsSettings::new(Vec::new(), identity, &Environment::default());
        settings.config("r.io", true, true, false).unwrap();
        // One that can be read must fit its key.
        let other = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let certificate = dir.path().join("other.pem");
        std::fs::write(&certificate, other.cert.pem()).unwrap();
        let settings = TlsSettings::new(Vec::new(), Some((certificate, key)), &Environment::default());
        let error = settings.config("r.io", true, true, false).unwrap_err();
        assert!(error.contains("other.pem and"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = TlsSettings::new(vec![file.path().to_owned()], None, &Environment::default());
        let error = settings.config("r.io", true, true, false).unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
    }
}
