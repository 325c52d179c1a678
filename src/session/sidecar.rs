//! The sidecar files of a bundle or a statement: their names, who signed them, and how they are written.
//!
//! The suffixes of everything that is said about a bundle are in one list ([`SIDECARS`]). Checksums, lists of volumes and
//! parity belong to the file itself; `export/write/checksum.rs` and the archive own those. A sidecar file is written
//! completely or not at all, and a link with its name is not followed.

use std::path::{Path, PathBuf};

use super::output_files;
use crate::app::own_file::{self, beside};
use crate::app::small_file;
use crate::archive::{ArchiveError, FormatError, volume_base};
use crate::cli::WriteArgs;
use crate::signing::{Circumstances, MAX_STATEMENT, PrivateKey, SigstoreBundle, Tool, Trust};

/// The suffix of a bare signature of a bundle.
pub(crate) const SIGNATURE: &str = ".sig";
/// The suffix of the sigstore bundle of a bundle.
pub(crate) const SIGSTORE: &str = ".sigstore.json";

/// The suffix of the approvals of a bundle.
pub(crate) const APPROVALS: &str = ".approvals";

/// The suffix of the statement about a bundle.
pub(crate) const STATEMENT: &str = ".statement.json";

/// The suffixes of all signatures, statements and approvals about a bundle.
pub(crate) const SIDECARS: [&str; 5] =
    [SIGNATURE, SIGSTORE, STATEMENT, ".statement.json.sigstore.json", APPROVALS];

/// The suffixes of the files that are written with a bundle.
pub(crate) fn written_with(write: &WriteArgs) -> Vec<String> {
    let is_signed = write.sign.sign_key.is_some();
    let mut suffixes = Vec::new();
    if !write.no_sidecar {
        suffixes.push(".sha256".to_owned());
    }
    if is_signed {
        suffixes.push(SIGSTORE.to_owned());
    }
    if write.statement {
        suffixes.push(STATEMENT.to_owned());
    }
    if write.statement && is_signed {
        suffixes.push(format!("{STATEMENT}{SIGSTORE}"));
    }
    suffixes
}

/// The paths of signatures of the bundle at `path`. For volumes they are made from the name that the volumes share.
pub(crate) fn signatures(path: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let base = base(path)?;
    // A folder such as `..` has no name, and so no sidecar files.
    let has_name = base.file_name().is_some();
    Ok([SIGNATURE, SIGSTORE].into_iter().filter(|_| has_name).map(|suffix| beside(&base, suffix)).collect())
}

/// The path from which the names of a bundle's sidecar files are made.
pub(crate) fn base(path: &Path) -> Result<PathBuf, ArchiveError> {
    let base = volume_base(path)?.unwrap_or_else(|| path.to_owned());
    // Without a trailing slash.
    Ok(base.components().collect())
}

/// The user who runs this program, and the time.
pub(crate) fn circumstances(by: Option<&str>) -> Circumstances {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let someone = || {
        let user = variable("USER").or_else(|| variable("LOGNAME"));
        let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
    };
    Circumstances {
        by: by.map_or_else(someone, str::to_owned),
        at: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        tool: Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
    }
}

/// Writes a statement that the user named and, with a key, its signature in a sidecar file. A signature of the previous
/// content is removed.
pub(crate) fn write_signed(path: &Path, text: &str, signer: Option<&PrivateKey>) -> anyhow::Result<()> {
    unsign(path)?;
    output_files::write(path, text)?;
    sign(path, text, signer)
}

/// Removes the signature of the statement at `path`.
pub(crate) fn unsign(path: &Path) -> anyhow::Result<()> {
    let signature = beside(path, SIGSTORE);
    own_file::remove(&signature).map_err(|error| ArchiveError::Io { path: signature, error }.into())
}

pub(crate) fn sign(path: &Path, text: &str, signer: Option<&PrivateKey>) -> anyhow::Result<()> {
    let Some(key) = signer else { return Ok(()) };
    let signed = SigstoreBundle::sign_statement(text.as_bytes(), key);
    output_files::write_beside(&beside(path, SIGSTORE), signed.to_file())
}

/// The required key that signed the statement at `path`; none if no key is required; otherwise the reason for refusal.
pub(crate) fn signer_of(
    path: &Path,
    text: &[u8],
    trust: &Trust,
) -> anyhow::Result<Result<Option<String>, String>> {
    if !trust.demands_signature() {
        return Ok(Ok(None));
    }
    let signature = content(&beside(path, SIGSTORE))?;
    Ok(trust.statement_signer(text, signature.as_deref()).map(|key| Some(key.to_string())))
}

/// The content of a small file, if it is there.
pub(crate) fn content(path: &Path) -> Result<Option<Vec<u8>>, ArchiveError> {
    small_file::beside(path, MAX_STATEMENT).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            ArchiveError::Format(FormatError::Json("a statement", format!("{}: {error}", path.display())))
        }
        _ => ArchiveError::io(path)(error),
    })
}
