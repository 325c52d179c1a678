//! Signatures over bundles: keys, the forms signatures are written in, and what it takes to trust a bundle.
//!
//! ECDSA on the curve P-256 with SHA-256, made deterministic by RFC 6979; keys in PEM as openssl and cosign write them.
//! What is signed are the exact bytes of `bundle.json`, which settle every other byte of a bundle; or statements about it,
//! of which a reviewer's approval is one. Pure: no network, no
//! files. Secret keys and pass phrases cannot be printed and are wiped when dropped.

mod approval;
mod cosign;
mod derivation_limits;
mod dsse;
mod error;
mod evidence;
mod pem;
mod private_key;
mod public_key;
mod signature;
mod sigstore;
mod statement;
mod trust;

#[cfg(test)]
mod tests;

pub use approval::{Approval, Approvals, Approved};
pub use dsse::Envelope;
pub use error::{KeyError, Untrusted};
pub use evidence::{Evidence, MAX_EVIDENCE};
pub use pem::MAX_KEY_FILE;
pub use private_key::{KeyFile, LockedKey, PrivateKey};
pub use public_key::{NamedKey, PublicKey};
pub use signature::Signature;
pub use sigstore::SigstoreBundle;
pub use statement::{
    BUNDLE_SUBJECT, Circumstances, MAX_STATEMENT, Predicate, Statement, Subject, Tool, is_statement,
    predicate_type,
};
pub use trust::{Trust, Vouched};
