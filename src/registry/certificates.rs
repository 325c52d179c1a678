//! Certificates and keys in files, as the user names them or container tools keep them in `certs.d`: PEM.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::warnings::Warnings;
use crate::app::text::typed;
use crate::app::unusable::Unusable;
use crate::app::{foreign_text, own_file};

/// Certificate files are kilobytes; a bundle of all public roots is 200.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The authorities in `file`. Unusable ones are ignored with a warning, because a collection of roots may have
/// odd ones; a file without any that can be used is an error.
pub(super) fn authorities(
    file: &Path,
    warnings: &Warnings,
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = text(file)?;
    let (mut usable, mut number, mut passed_over) = (Vec::new(), 0, Vec::new());
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        number += 1;
        match certificate {
            Ok(one) if RootCertStore::empty().add(one.clone()).is_ok() => usable.push(one),
            _ => passed_over.push(number.to_string()),
        }
    }
    if usable.is_empty() {
        return Err(no_certificate(file, &text, number > 0));
    }
    if !passed_over.is_empty() {
        let (which, file) = (passed_over.join(", "), file.display());
        warnings.add(format!(
            "{file}: of its {number} certificates these cannot be used as authorities: {which}"
        ));
    }
    Ok(usable)
}

/// The certificate in `file` with those that lead to its authority.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = text(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        certificates => Err(no_certificate(file, &text, certificates.is_err())),
    }
}

/// The private key in `file`.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Unusable> {
    let text = text(file)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        if text.contains("ENCRYPTED") {
            let decrypted = typed(&own_file::beside(file, ".plain"));
            return Unusable::new(format!("{}: its private key is encrypted", file.display())).hint(format!(
                "write it without a pass phrase: openssl pkey -in {} -out {decrypted}",
                typed(file)
            ));
        }
        Unusable::new(format!("{}: it has no private key{}", file.display(), instead(&text)))
    })
}

fn text(file: &Path) -> Result<Zeroizing<String>, Unusable> {
    foreign_text::named_pem(file, MAX_FILE).map_err(|error| error.about(file.display()))
}

fn no_certificate(file: &Path, text: &str, damaged: bool) -> Unusable {
    let (shown, pem) = (file.display(), typed(&own_file::beside(file, ".pem")));
    if damaged {
        return Unusable::new(format!("{shown}: its certificate is damaged"));
    }
    let refused = Unusable::new(format!("{shown}: it has no certificate{}", instead(text)));
    match labels(text).first() {
        Some(&"PKCS7") => {
            refused.hint(format!("convert it: openssl pkcs7 -print_certs -in {} -out {pem}", typed(file)))
        }
        Some(&"TRUSTED CERTIFICATE") => {
            refused.hint(format!("convert it: openssl x509 -in {} -out {pem}", typed(file)))
        }
        _ => refused,
    }
}

/// Describes what the file contains instead.
fn instead(text: &str) -> String {
    match labels(text).as_slice() {
        [] => ", as there is no PEM block in it".to_owned(),
        labels => format!(", but {}", labels.join(", ")),
    }
}

/// The labels of the PEM blocks in `text`, each once. Invalid labels are left out.
fn labels(text: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    for line in text.lines() {
        let label = line.trim().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let is_name = |label: &&str| {
            label.len() < 40 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        };
        if let Some(label) = label.filter(is_name)
            && !labels.contains(&label)
        {
            labels.push(label);
        }
    }
    labels
}

/// What lies in `certs.d/<host>`: `*.crt` are authorities, `<n>.cert` with `<n>.key` is our own certificate.
#[derive(Default)]
pub(super) struct CertsDir {
    pub(super) authorities: Vec<PathBuf>,
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

impl CertsDir {
    /// A folder that exists but cannot be read is ignored with a warning.
    pub(super) fn read(dir: &Path, warnings: &Warnings) -> Result<Self, Unusable> {
        let files: Result<Vec<_>, _> = std::fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let mut files = match files {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                warnings.add(format!("the certificates in {} are not used: {error}", dir.display()));
                return Ok(Self::default());
            }
        };
        files.sort();
        let mut found = Self::default();
        for file in &files {
            match file.extension().and_then(|e| e.to_str()) {
                Some("crt") => found.authorities.push(file.clone()),
                Some("cert") => {
                    let key = file.with_extension("key");
                    if !files.contains(&key) {
                        return Err(half(file, &key));
                    }
                    found.identity.get_or_insert((file.clone(), key));
                }
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    return Err(half(file, &file.with_extension("cert")));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn half(there: &Path, missing: &Path) -> Unusable {
    Unusable::new(format!("{} has no {} beside it", there.display(), missing.display()))
        .hint("a client certificate is two files, NAME.cert and NAME.key; an authority is NAME.crt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorities_in(content: &[u8]) -> (Result<usize, Unusable>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca");
        std::fs::write(&file, content).unwrap();
        let warnings = Warnings::default();
        let read = authorities(&file, &warnings).map(|found| found.len());
        let name = format!("{}/", folder.path().display());
        let short = |text: String| text.replace(&name, "");
        let read = read.map_err(|error| Unusable { why: short(error.why), hint: error.hint.map(short) });
        (read, warnings.take().into_iter().map(short).collect())
    }

    fn pem(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    #[test]
    fn half_a_client_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let warnings = Warnings::default();
        for name in ["a.cert", "b.key"] {
            let host = dir.path().join(name);
            std::fs::create_dir(&host).unwrap();
            std::fs::write(host.join(name), "").unwrap();
            let error = CertsDir::read(&host, &warnings).err().unwrap();
            assert!(error.why.contains(name) && error.why.contains("beside"), "{error}");
        }
        assert!(CertsDir::read(&dir.path().join("none"), &warnings).unwrap().identity.is_none());
        assert!(warnings.take().is_empty());
        // What is there and is no folder that can be read is not taken for absent.
        assert!(CertsDir::read(&dir.path().join("a.cert/a.cert"), &warnings).unwrap().identity.is_none());
        assert!(warnings.take()[0].contains("a.cert/a.cert are not used"));
    }

    #[test]
    fn a_file_without_certificates_says_what_it_has() {
        let own = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert;
        let der = "convert it: openssl x509 -inform der -in ca -out ca.pem";
        let utf16: Vec<u8> = own.pem().encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (content, why, hint) in [
            (b"".to_vec(), "it has no certificate, as there is no PEM block in it", None),
            (own.der().to_vec(), "it is a certificate in DER form, not PEM", Some(der)),
            (utf16, "it is UTF-16LE, not UTF-8", Some("convert it: iconv -f UTF-16LE -t UTF-8 ca >ca.utf8")),
            (b"\x1f\x8b".to_vec(), "it is compressed with gzip", Some("convert it: gzip -dc ca >ca.txt")),
            (pem("PRIVATE KEY").into(), "it has no certificate, but PRIVATE KEY", None),
            (
                pem("PKCS7").into(),
                "it has no certificate, but PKCS7",
                Some("convert it: openssl pkcs7 -print_certs -in ca -out ca.pem"),
            ),
            (pem("CERTIFICATE").into(), "its certificate is damaged", None),
        ] {
            let (read, _) = authorities_in(&content);
            let expected = Unusable { why: format!("ca: {why}"), hint: hint.map(str::to_owned) };
            assert_eq!(read, Err(expected));
        }
    }

    #[test]
    fn marks_before_certificates_count_for_nothing_and_odd_ones_among_others_are_told() {
        let own = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        let marked = format!("\u{feff}{own}\u{feff}{own}");
        assert_eq!(authorities_in(marked.as_bytes()), (Ok(2), Vec::new()));
        let odd = format!("{own}{}", pem("CERTIFICATE"));
        let told = "ca: of its 2 certificates these cannot be used as authorities: 2".to_owned();
        assert_eq!(authorities_in(odd.as_bytes()), (Ok(1), vec![told]));
    }
}
