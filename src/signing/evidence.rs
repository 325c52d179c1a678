//! Signatures as they are found: in the bundle, or in files beside it.

use super::{Signature, SigstoreBundle, Untrusted};

/// Longest file read as signatures, in bytes.
pub const MAX_EVIDENCE: u64 = 16 << 20;

/// The signatures found in one place.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// For messages: the file, or the member of the bundle.
    pub place: String,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A signature and nothing else.
    Plain(Signature),
    Sigstore(Box<SigstoreBundle>),
    /// A signature of another tool, which is not checked here.
    OtherTool(&'static str),
}

impl Evidence {
    /// Reads a signature in any of the known forms.
    pub fn read(place: String, bytes: &[u8]) -> Result<Self, Untrusted> {
        let form = match form(bytes) {
            Ok(form) => form,
            Err(why) => return Err(Untrusted::Unreadable { place, why }),
        };
        Ok(Self { place, form })
    }
}

fn form(bytes: &[u8]) -> Result<Form, String> {
    let begins = |text: &str| bytes.starts_with(text.as_bytes());
    // RFC 9580, section 4.2: a signature packet, in the older format or the newer.
    let is_openpgp = matches!(bytes.first(), Some(0x88..=0x8b | 0xc2)) || begins("-----BEGIN PGP SIGNATURE");
    if is_openpgp {
        return Ok(Form::OtherTool("an OpenPGP signature"));
    }
    if begins("-----BEGIN SSH SIGNATURE") {
        return Ok(Form::OtherTool("an SSH signature"));
    }
    if begins("untrusted comment:") {
        return Ok(Form::OtherTool("a minisign or signify signature"));
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        let bundle = SigstoreBundle::parse(bytes)?;
        return bundle
            .map(|bundle| Form::Sigstore(Box::new(bundle)))
            .ok_or("it is JSON of another kind".to_owned());
    }
    let plain = Signature::from_file(bytes);
    plain
        .map(Form::Plain)
        .ok_or("it is neither an ECDSA P-256 signature in base64 nor a sigstore bundle".to_owned())
}
