//! The one rule for text from elsewhere: it must be UTF-8, and a byte order mark at its start is ignored. Text in
//! another encoding, compressed text, and DER instead of PEM are refused with the command that converts them.

use std::path::Path;

use zeroize::Zeroizing;

use super::small_file;
use super::text::typed;
use super::unusable::Unusable;

const MARK: &str = "\u{feff}";
/// The first bytes of a gzip file (RFC 1952, 2.3.1).
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a zstd frame (RFC 8878, 3.1.1).
pub const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why bytes are not the expected text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotText {
    /// The encoding's name for iconv.
    #[error("it is {0}, not UTF-8")]
    Encoding(&'static str),
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The program that unpacks it.
    #[error("it is compressed with {0}")]
    Compressed(&'static str),
    #[error("it is {}, not PEM", .0.name())]
    Binary(Der),
}

/// The content of a DER file, as far as its outermost elements show it (ITU-T X.690).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Der {
    Certificate,
    /// PKCS#12, often called .p12 or .pfx.
    Store,
    /// PKCS#7, often called .p7b.
    Chain,
    PublicKey,
    PrivateKey,
    Other,
}

/// The text in `bytes`, without a byte order mark at its start.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, NotText> {
    if let Some(encoding) = encoding(bytes) {
        return Err(NotText::Encoding(encoding));
    }
    if bytes.starts_with(&GZIP) {
        return Err(NotText::Compressed("gzip"));
    }
    if bytes.starts_with(&ZSTD) {
        return Err(NotText::Compressed("zstd"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotText::NotUtf8)?;
    Ok(without_mark(text))
}

/// Like [`text`], for a file that holds PEM.
pub(crate) fn pem(bytes: &[u8]) -> Result<&str, NotText> {
    Der::of(bytes).map_or_else(|| text(bytes), |der| Err(NotText::Binary(der)))
}

/// `text` without a byte order mark at its start.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Like [`without_mark`], for bytes that may end within a character.
pub(crate) fn without_mark_bytes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

/// The text in the file that the user named; the reason does not repeat its name.
pub(crate) fn named(path: &Path, cap: u64) -> Result<String, Unusable> {
    let bytes = small_file::named(path, cap)?;
    text(&bytes).map(str::to_owned).map_err(|error| error.of(path))
}

/// The PEM in the file that the user named. Joined files may have a byte order mark before each part.
pub(crate) fn named_pem(path: &Path, cap: u64) -> Result<Zeroizing<String>, Unusable> {
    let bytes = Zeroizing::new(small_file::named(path, cap)?);
    let text = pem(&bytes).map_err(|error| error.of(path))?;
    Ok(Zeroizing::new(text.replace(MARK, "")))
}

impl NotText {
    /// The error with the command that converts the file at `path`.
    pub(crate) fn of(self, path: &Path) -> Unusable {
        let refused = Unusable::new(self.to_string());
        match self.command(path) {
            Some(command) => refused.hint(format!("convert it: {command}")),
            None => refused,
        }
    }

    /// The error with the command that converts stdin.
    pub(crate) fn of_stdin(self) -> Unusable {
        let refused = Unusable::new(self.to_string());
        match self {
            Self::Encoding(encoding) => {
                refused.hint(format!("convert it: … | iconv -f {encoding} -t UTF-8 | bundle …"))
            }
            Self::Compressed(program) => refused.hint(format!("unpack it: … | {program} -dc | bundle …")),
            Self::NotUtf8 | Self::Binary(_) => refused,
        }
    }

    fn command(self, path: &Path) -> Option<String> {
        let beside = |ending: &str| typed(&super::own_file::beside(path, ending));
        let file = typed(path);
        let der = |program: &str| Some(format!("openssl {program} -in {file} -out {}", beside(".pem")));
        match self {
            Self::Encoding(encoding) => {
                Some(format!("iconv -f {encoding} -t UTF-8 {file} >{}", beside(".utf8")))
            }
            Self::Compressed(program) => {
                let unpacked = match path.extension().and_then(|ending| ending.to_str()) {
                    Some("gz" | "zst") => typed(&path.with_extension("")),
                    _ => beside(".txt"),
                };
                Some(format!("{program} -dc {file} >{unpacked}"))
            }
            Self::Binary(Der::Certificate) => der("x509 -inform der"),
            Self::Binary(Der::Store) => der("pkcs12 -nodes"),
            Self::Binary(Der::Chain) => der("pkcs7 -inform der -print_certs"),
            Self::Binary(Der::PublicKey) => der("pkey -pubin -inform der"),
            Self::Binary(Der::PrivateKey) => der("pkey -inform der"),
            Self::NotUtf8 | Self::Binary(Der::Other) => None,
        }
    }
}

/// The encoding of text that is not UTF-8. It is detected from the byte order mark, or from a zero byte beside the
/// first character, which is ASCII in every file that is read here.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [first, 0, second, ..] if *first != 0 && *second != 0 => Some("UTF-16LE"),
        [0, first, 0, ..] if *first != 0 => Some("UTF-16BE"),
        _ => None,
    }
}

impl Der {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const OBJECT_ID: u8 = 0x06;
    const SEQUENCE: u8 = 0x30;

    /// What `bytes` are, if they are one DER sequence from first byte to last.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (Self::SEQUENCE, content, []) = element(bytes)? else { return None };
        let Some((first, inside, rest)) = element(content) else { return Some(Self::Other) };
        Some(match (first, element(inside), element(rest)) {
            // A version number: 3 for PKCS#12, 0 or 1 for private keys.
            (Self::INTEGER, ..) => {
                if inside == [3] {
                    Self::Store
                } else {
                    Self::PrivateKey
                }
            }
            (Self::OBJECT_ID, ..) => Self::Chain,
            // An algorithm and the key. An encrypted private key has another type here.
            (Self::SEQUENCE, Some((Self::OBJECT_ID, ..)), Some((Self::BIT_STRING, ..))) => Self::PublicKey,
            (Self::SEQUENCE, Some((Self::OBJECT_ID, ..)), _) => Self::PrivateKey,
            (Self::SEQUENCE, Some(_), Some((Self::SEQUENCE, ..))) => Self::Certificate,
            _ => Self::Other,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "a certificate in DER form",
            Self::Store => "a PKCS#12 store",
            Self::Chain => "a PKCS#7 chain in DER form",
            Self::PublicKey => "a public key in DER form",
            Self::PrivateKey => "a private key in DER form",
            Self::Other => "binary (DER)",
        }
    }
}

/// The first element of `bytes`: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(5))?;
        if length.is_empty() || length.len() > 4 {
            return None;
        }
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn a_mark_at_the_start_counts_for_nothing_and_other_encodings_are_named() {
        assert_eq!(text("\u{feff}a\u{feff}".as_bytes()), Ok("a\u{feff}"));
        assert_eq!(text(b""), Ok(""));
        assert_eq!(text(b"a"), Ok("a"));
        for (bytes, encoding) in [
            (utf16("\u{feff}auth", u16::to_le_bytes), "UTF-16"),
            (utf16("\u{feff}auth", u16::to_be_bytes), "UTF-16"),
            (utf16("auth", u16::to_le_bytes), "UTF-16LE"),
            (utf16("auth", u16::to_be_bytes), "UTF-16BE"),
            ("\u{feff}a".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(), "UTF-32"),
        ] {
            let error = text(&bytes).unwrap_err();
            assert_eq!(error, NotText::Encoding(encoding));
            let refused = error.of(Path::new("my list.txt"));
            assert_eq!(refused.why, format!("it is {encoding}, not UTF-8"));
            let command =
                format!("convert it: iconv -f {encoding} -t UTF-8 'my list.txt' >'my list.txt.utf8'");
            assert_eq!(refused.hint, Some(command));
        }
        assert_eq!(text(b"\xfcber"), Err(NotText::NotUtf8));
    }

    #[test]
    fn what_is_compressed_is_named_with_the_command_that_unpacks_it() {
        let shown = |bytes: &[u8], path: &str| {
            let refused = text(bytes).unwrap_err().of(Path::new(path));
            (refused.why, refused.hint.unwrap())
        };
        let unpacked = "convert it: gzip -dc ca.pem.gz >ca.pem";
        assert_eq!(
            shown(b"\x1f\x8b\x08", "ca.pem.gz"),
            ("it is compressed with gzip".into(), unpacked.into())
        );
        let unpacked = "convert it: zstd -dc ca >ca.txt";
        assert_eq!(
            shown(b"\x28\xb5\x2f\xfd\0", "ca"),
            ("it is compressed with zstd".into(), unpacked.into())
        );
    }

    #[test]
    fn der_is_named_with_the_command_that_makes_pem_of_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        // The beginnings of what openssl writes, with the lengths corrected.
        let store = [0x30, 0x05, 0x02, 0x01, 0x03, 0x30, 0x00];
        let chain = [0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
        for (der, kind, command) in [
            (certificate.der().to_vec(), Der::Certificate, "openssl x509 -inform der -in x -out x.pem"),
            (store.to_vec(), Der::Store, "openssl pkcs12 -nodes -in x -out x.pem"),
            (chain.to_vec(), Der::Chain, "openssl pkcs7 -inform der -print_certs -in x -out x.pem"),
            (
                key.subject_public_key_info(),
                Der::PublicKey,
                "openssl pkey -pubin -inform der -in x -out x.pem",
            ),
            (key.serialize_der(), Der::PrivateKey, "openssl pkey -inform der -in x -out x.pem"),
        ] {
            let error = pem(&der).unwrap_err();
            assert_eq!(error, NotText::Binary(kind));
            assert_eq!(error.of(Path::new("x")).hint, Some(format!("convert it: {command}")));
            // What is cut off is not taken for it.
            assert_ne!(pem(&der[..der.len() - 1]).err(), Some(NotText::Binary(kind)));
        }
        assert_eq!(pem(certificate.pem().as_bytes()).unwrap(), certificate.pem());
        for odd in ["0", "00", "0\u{5}\u{2}\u{1}", "01"] {
            assert!(pem(odd.as_bytes()).is_ok(), "{odd:?}");
        }
    }
}
