//! What is required of a bundle before its content is trusted: keys from flags, signatures from sidecar files.

use std::path::Path;

use serde_json::{Value, json};

use super::bundle_name::is_address;
use super::keys;
use crate::app::failure::Failure;
use crate::app::own_file::beside;
use crate::app::small_file;
use crate::archive::{ArchiveError, ImageStore};
use crate::cli::{ApprovalArgs, NetworkArgs, TrustArgs};
use crate::report::Reporter;
use crate::session::sidecar;
use crate::signing::{Approvals, Circumstances, Evidence, MAX_EVIDENCE, NamedKey, Trust, Untrusted, Vouched};

/// The keys of a site, used by every command.
const VERIFY_KEY: &str = "AIRGAP_BUNDLE_VERIFY_KEY";

/// The trust required of the bundle at `path`, or without `path`, of one from a pipe or a network address. Without a
/// key no signature is read.
pub(crate) fn of(args: &TrustArgs, path: Option<&Path>) -> anyhow::Result<Trust> {
    let mut trust = Trust::default();
    for file in &args.verify_key {
        trust.keys.extend(keys::public(file)?);
    }
    if !trust.demands_signature() {
        if let Some(file) = args.signature.first() {
            let message = format!("`--signature {}` needs `--verify-key`", file.display());
            return Err(Failure::usage(message).hint("name the public key with --verify-key FILE").into());
        }
        return Ok(trust);
    }
    for file in &args.signature {
        let found = evidence(file)?;
        let none = || Failure::usage(format!("--signature: {} does not exist", file.display()));
        trust.beside.push(found.ok_or_else(none)?);
    }
    for file in path.map(sidecar::signatures).transpose()?.into_iter().flatten() {
        trust.beside.extend(evidence(&file)?);
    }
    Ok(trust)
}

/// Refuses keys and signatures for a command that reads no bundle. A key in the environment is allowed, since it is the
/// site's setting for all commands. `hint` says where such a flag belongs.
pub(crate) fn refuse_unused(args: &TrustArgs, hint: &str) -> anyhow::Result<()> {
    let by_flag = args.verify_key.first().filter(|_| std::env::var_os(VERIFY_KEY).is_none());
    let Some(file) = by_flag.or_else(|| args.signature.first()) else { return Ok(()) };
    let message = format!("{} is for verifying a bundle, but no bundle is read", file.display());
    Err(Failure::usage(message).hint(hint).into())
}

/// Like [`of`], with approvals.
pub(crate) fn with_approval(
    args: &TrustArgs,
    approval: &ApprovalArgs,
    path: Option<&Path>,
) -> anyhow::Result<Trust> {
    let mut trust = of(args, path)?;
    for file in &approval.require_approval {
        trust.approvers.extend(keys::public(file)?);
    }
    if trust.approvers.is_empty() {
        if let Some(file) = approval.approvals.first() {
            let message = format!("`--approvals {}` needs `--require-approval`", file.display());
            return Err(Failure::usage(message)
                .hint("name the reviewer's public key with --require-approval FILE")
                .into());
        }
        return Ok(trust);
    }
    for file in &approval.approvals {
        let none = || Failure::usage(format!("--approvals: {} does not exist", file.display()));
        trust.approvals.push(approvals(file)?.ok_or_else(none)?);
    }
    if let Some(base) = path.map(sidecar::base).transpose()?.filter(|base| base.file_name().is_some()) {
        trust.approvals.extend(approvals(&beside(&base, sidecar::APPROVALS))?);
    }
    Ok(trust)
}

/// The trust for a bundle in a file or at a network address.
pub(crate) fn anywhere(
    args: &TrustArgs,
    approval: &ApprovalArgs,
    path: &Path,
    network: &NetworkArgs,
) -> anyhow::Result<Trust> {
    if !is_address(path) {
        return with_approval(args, approval, Some(path));
    }
    at_address(with_approval(args, approval, None)?, path, network)
}

/// `trust` with the sidecar files of a bundle at a network address, as far as they are needed. An address with a query
/// is pre-signed for one object only, so it has no sidecar files.
pub(crate) fn at_address(mut trust: Trust, address: &Path, network: &NetworkArgs) -> anyhow::Result<Trust> {
    let address = address.to_string_lossy();
    let signatures =
        [sidecar::SIGNATURE, sidecar::SIGSTORE].into_iter().filter(|_| trust.demands_signature());
    let approvals = [sidecar::APPROVALS].into_iter().filter(|_| !trust.approvers.is_empty());
    let wanted: Vec<&str> = signatures.chain(approvals).filter(|_| !address.contains(['?', '#'])).collect();
    for suffix in wanted {
        let Some(found) = super::clients::remote_beside(&format!("{address}{suffix}"), network)? else {
            continue;
        };
        let place = found.name();
        if found.len() > MAX_EVIDENCE {
            return Err(too_large(place).into());
        }
        let bytes = found.read_vec(0, usize::try_from(found.len())?)?;
        if suffix == sidecar::APPROVALS {
            trust.approvals.push(approvals_of(place, &bytes)?);
        } else {
            trust.beside.push(Evidence::read(place, &bytes).map_err(ArchiveError::from)?);
        }
    }
    Ok(trust)
}

/// The approvals in a file, if the file is there.
pub(crate) fn approvals(file: &Path) -> anyhow::Result<Option<Approvals>> {
    let Some(bytes) = content(file)? else { return Ok(None) };
    Ok(Some(approvals_of(file.display().to_string(), &bytes)?))
}

fn approvals_of(place: String, bytes: &[u8]) -> Result<Approvals, ArchiveError> {
    Approvals::read(place.clone(), bytes).map_err(|why| Untrusted::Unreadable { place, why }.into())
}

/// The signature in a file, if the file is there.
fn evidence(file: &Path) -> anyhow::Result<Option<Evidence>> {
    let Some(bytes) = content(file)? else { return Ok(None) };
    Ok(Some(Evidence::read(file.display().to_string(), &bytes).map_err(ArchiveError::from)?))
}

/// What is in a file of signatures or approvals, if the file is there.
fn content(file: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    small_file::beside(file, MAX_EVIDENCE).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => too_large(file.display().to_string()).into(),
        _ => ArchiveError::io(file)(error).into(),
    })
}

fn too_large(place: String) -> ArchiveError {
    Untrusted::Unreadable { place, why: format!("it is larger than {} MiB", MAX_EVIDENCE >> 20) }.into()
}

/// Who signed and approved an accepted bundle.
pub(crate) fn vouched(trust: &Trust, image_store: &dyn ImageStore) -> Result<Vouched, ArchiveError> {
    if !trust.demands() {
        return Ok(Vouched::default());
    }
    let id = image_store.id().map_or_else(|| image_store.bundle().id(), Ok)?;
    Ok(trust.check_id(id, image_store.signature())?)
}

/// The signers, for reports.
pub(crate) fn signed_by(vouched: &Vouched) -> Vec<Value> {
    let row = |(key, places): &(NamedKey, Vec<String>)| json!({ "name": key.name, "key": key.key.id(), "places": places });
    vouched.signers.iter().map(row).collect()
}

/// The approvers, for reports.
pub(crate) fn approved_by(vouched: &Vouched) -> Vec<Value> {
    let row = |(key, made, place): &(NamedKey, Circumstances, String)| json!({ "name": key.name, "key": key.key.id(), "by": made.by, "at": made.at, "place": place });
    vouched.approvers.iter().map(row).collect()
}

/// Notes about signatures, one per line: who signed, or that the signature was not checked.
pub(crate) fn lines(vouched: &Vouched, path: &Path, image_store: &dyn ImageStore) -> String {
    let mut lines = vouched.lines();
    lines.extend(vouched.notes.iter().map(|note| format!("besides: {note}")));
    if vouched.signers.is_empty() && is_signed(path, image_store) {
        lines.push("signed, but not checked: name the public key with --verify-key FILE".to_owned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Whether the bundle has any signature, by any key.
fn is_signed(path: &Path, image_store: &dyn ImageStore) -> bool {
    let beside = sidecar::signatures(path).unwrap_or_default();
    image_store.signature().is_some() || beside.iter().any(|file| file.exists())
}

/// Prints who signed, and which signatures do not count.
pub(crate) fn tell(vouched: &Vouched, reporter: &Reporter) {
    for line in vouched.lines() {
        reporter.say(&line);
    }
    for note in &vouched.notes {
        reporter.warn(note);
    }
}
