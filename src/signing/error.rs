//! Why a key cannot be used, and why a bundle is not trusted.

/// Why a file cannot be used as a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there is no key in it: it has no PEM block")]
    NotPem,
    #[error("its PEM block {0:?} is damaged")]
    Malformed(String),
    #[error("it is a public key, and signing needs the private key")]
    Public,
    #[error("it is a private key, and checking signatures needs the public key")]
    Private,
    #[error("it holds {0:?}, which is not a supported key")]
    Kind(String),
    #[error("its key is not one for ECDSA on the curve P-256")]
    Algorithm,
    #[error("it is encrypted the way openssl did it before PKCS#8")]
    LegacyEncryption,
    #[error("it is encrypted in a way that is not supported")]
    Encryption,
    #[error("unlocking it would take more memory or time than any key needs")]
    Costly,
    #[error("the pass phrase is wrong")]
    WrongPassphrase,
    #[error("the system provides no random numbers")]
    NoRandom,
}

impl KeyError {
    /// The hint.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPem | Self::Kind(_) | Self::Algorithm => {
                Some("make a key pair with: bundle keygen -o NAME")
            }
            Self::Private => Some("its public half: openssl pkey -in KEY -pubout"),
            Self::LegacyEncryption | Self::Encryption | Self::Costly => {
                Some("write it again: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW-KEY")
            }
            Self::Malformed(_) | Self::Public | Self::WrongPassphrase | Self::NoRandom => None,
        }
    }
}

/// Why a bundle is not trusted. Keys have the names that the user gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("the bundle is not signed, and a signature by {keys} is required")]
    Unsigned { keys: String },
    /// `found` has one line per signature.
    #[error("the bundle has no valid signature by {keys}\n{}", .found.join("\n"))]
    NoneValid { keys: String, found: Vec<String> },
    #[error("{place} is not valid: it says it is by {key}, but {why}")]
    Bad { place: String, key: String, why: &'static str },
    /// `found` has one line for each approval that does not count.
    #[error("the bundle is not approved, and an approval by {keys} is required{}", lines(.found))]
    Unapproved { keys: String, found: Vec<String> },
    #[error("{place} cannot be read as a signature: {why}")]
    Unreadable { place: String, why: String },
    #[error("a signature or approval by {keys} is required, and a layout of another tool cannot have one")]
    Foreign { keys: String },
}

impl Untrusted {
    /// The hint.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned { .. } => {
                "have it signed where it was made: bundle sign BUNDLE --key KEY; a signature that is not beside the \
                 bundle is named with --signature FILE"
            }
            Self::Unapproved { .. } => {
                "have it reviewed and approved: bundle review BUNDLE, then bundle sign --role approver BUNDLE --key KEY; \
                 approvals that are not beside the bundle are named with --approvals FILE"
            }
            Self::NoneValid { .. } | Self::Bad { .. } => {
                "do not use this bundle before its maker has confirmed its id; then get the bundle and the signature again"
            }
            Self::Unreadable { .. } => "get the signature again; if the file is not a signature, rename it",
            Self::Foreign { .. } => "only bundles made by bundle export can be signed and approved",
        }
    }
}

fn lines(found: &[String]) -> String {
    found.iter().flat_map(|line| ["\n", line]).collect()
}
