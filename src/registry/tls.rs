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
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, InconsistentKeys,
    RootCertStore, SignatureScheme,
};

use super::certificates::{self, CertsDir};
use super::environment::Environment;
use super::error_kind::{BadCertificate, CertificateCause};
use super::redact::clean;
use super::warnings::Warnings;
use crate::app::unusable::Unusable;

/// Variables that name the system's roots.
const SYSTEM_ROOTS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where trust comes from; shared by all hosts.
pub(super) struct TlsSettings {
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) client_cert: Option<(PathBuf, PathBuf)>,
    cert_dirs: Vec<PathBuf>,
    /// Those of [`SYSTEM_ROOTS`] that are set: what is wrong with the roots is then worth a warning.
    named_roots: Vec<&'static str>,
    warnings: Warnings,
    system: OnceLock<Vec<CertificateDer<'static>>>,
}

impl TlsSettings {
    pub(super) fn new(
        ca_files: Vec<PathBuf>,
        client_cert: Option<(PathBuf, PathBuf)>,
        environment: &Environment,
        warnings: Warnings,
    ) -> Self {
        let mut cert_dirs =
            vec![PathBuf::from("/etc/containers/certs.d"), PathBuf::from("/etc/docker/certs.d")];
        if let Some(home) = environment.config_home() {
            cert_dirs.insert(0, home.join("containers/certs.d"));
        }
        let named_roots = SYSTEM_ROOTS.into_iter().filter(|name| environment.raw(name).is_some()).collect();
        Self { ca_files, client_cert, cert_dirs, named_roots, warnings, system: OnceLock::new() }
    }

    /// Whether the files that the user named can be used.
    pub(super) fn check(&self) -> Result<(), Unusable> {
        for file in &self.ca_files {
            certificates::authorities(file, &self.warnings)?;
        }
        if let Some((certificate, key)) = &self.client_cert {
            identity(certificate, key, &rustls::crypto::ring::default_provider())?;
        }
        Ok(())
    }

    /// The configuration for one `authority` (host, or host and port). `is_registry`: only a registry the user
    /// named gets the client certificate of the command line, never a host it redirects to.
    pub(super) fn config(
        &self,
        authority: &str,
        verify: bool,
        is_registry: bool,
        http2: bool,
    ) -> Result<ClientConfig, Unusable> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::new(format!("TLS cannot be set up: {error}")))?;
        let mut given = Vec::new();
        for file in &self.ca_files {
            given.extend(certificates::authorities(file, &self.warnings)?);
        }
        let mut own = self.client_cert.clone().filter(|_| is_registry);
        for dir in &self.cert_dirs {
            // `host` and `host:443` are one.
            let other = authority.strip_suffix(":443").map_or(format!("{authority}:443"), str::to_owned);
            for name in [authority, &other] {
                let found = CertsDir::read(&dir.join(name), &self.warnings)?;
                for file in &found.authorities {
                    given.extend(certificates::authorities(file, &self.warnings)?);
                }
                own = own.or(found.identity);
            }
        }
        let trust = if verify { self.trust(given, &provider)? } else { Trust::Anybody };
        let verifier = Verifier { algorithms: provider.signature_verification_algorithms, trust };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let own = identity(&certificate, &key, &provider)?;
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
    ) -> Result<Trust, Unusable> {
        let system = self.system.get_or_init(|| {
            let loaded = rustls_native_certs::load_native_certs();
            // Errors of single files in the system's own store are not ours to report: what could be read counts.
            for error in loaded.errors.iter().filter(|_| !self.named_roots.is_empty()) {
                self.warnings.add(format!(
                    "{}: {}",
                    self.named_roots.join(", "),
                    clean(&error.to_string(), 300)
                ));
            }
            loaded.certs
        });
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(system.iter().cloned());
        roots.add_parsable_certificates(given.iter().cloned());
        if roots.is_empty() {
            return Ok(Trust::Nobody);
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Unusable::new(format!("TLS roots cannot be used: {error}")))?;
        Ok(Trust::Roots { inner, given })
    }
}

/// Our own certificate with its key.
fn identity(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let (chain, private) = (certificates::chain(certificate)?, certificates::private_key(key)?);
    let refuse =
        |error: TlsError| Unusable::new(format!("{} and {}: {error}", certificate.display(), key.display()));
    let private = provider.key_provider.load_private_key(private).map_err(refuse)?;
    let own = CertifiedKey::new(chain, private);
    match own.keys_match() {
        Err(error @ TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(refuse(error)),
        // What else is wrong with it, the server may see differently.
        _ => Ok(own),
    }
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

/// The cause of a refused certificate.
pub(super) fn explain(error: &CertificateError) -> BadCertificate {
    let (why, cause) = match error {
        CertificateError::Expired => ("it has expired".to_owned(), CertificateCause::Time),
        CertificateError::ExpiredContext { time, not_after } => (
            format!("it expired on {}, and this machine's clock says {}", date(*not_after), date(*time)),
            CertificateCause::Time,
        ),
        CertificateError::NotValidYet => ("it is not valid yet".to_owned(), CertificateCause::Time),
        CertificateError::NotValidYetContext { time, not_before } => (
            format!(
                "it is valid from {} on, and this machine's clock says {}",
                date(*not_before),
                date(*time)
            ),
            CertificateCause::Time,
        ),
        CertificateError::NotValidForName => {
            ("it is for another host name".to_owned(), CertificateCause::Name)
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.iter().take(5).map(|p| clean(p, 100)).collect::<Vec<_>>();
            let presented = if presented.is_empty() {
                "none; a common name does not count".to_owned()
            } else {
                presented.join(", ")
            };
            let why =
                format!("it is for another host name than {} (its names: {presented})", expected.to_str());
            (why, CertificateCause::Name)
        }
        CertificateError::Other(why) => {
            let why = format!(
                "it is not valid for a server ({}); give a self-signed certificate itself as an authority",
                clean(&why.to_string(), 100)
            );
            (why, CertificateCause::Issuer)
        }
        CertificateError::UnknownIssuer => {
            ("its issuer is not among the trusted authorities".to_owned(), CertificateCause::Issuer)
        }
        other => (clean(&other.to_string(), 200), CertificateCause::Other),
    };
    BadCertificate { why, cause }
}

/// A time as people write it, in UTC.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "a date out of range".to_owned(), |time| time.strftime("%F %R UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ca_files: Vec<PathBuf>, identity: Option<(PathBuf, PathBuf)>) -> TlsSettings {
        TlsSettings::new(ca_files, identity, &Environment::default(), Warnings::default())
    }

    /// As `openssl x509 -req` makes them by default.
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
        let own = settings(Vec::new(), identity);
        own.config("r.io", true, true, false).unwrap();
        // One that can be read must fit its key.
        let other = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let certificate = dir.path().join("other.pem");
        std::fs::write(&certificate, other.cert.pem()).unwrap();
        let settings = settings(Vec::new(), Some((certificate, key)));
        let error = settings.config("r.io", true, true, false).unwrap_err();
        assert!(error.why.contains("other.pem and"), "{error}");
        assert_eq!(settings.check(), Err(error));
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = settings(vec![file.path().to_owned()], None);
        let error = settings.config("r.io", true, true, false).unwrap_err();
        assert!(error.why.contains("no certificate"), "{error}");
        assert_eq!(settings.check(), Err(error));
    }
}
