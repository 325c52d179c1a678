//! The forms in which a bundle or a layout is verified, and what each of them can prove.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::parity;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::{
    ArchiveError, BRING_VOLUMES, BundleReader, ForeignLayout, FormatError, ImageStore, LayoutOptions,
    Problem, VolumeInput, VolumesError,
};
use crate::cli::VerifyArgs;
use crate::inputs::bundle_name::is_address;
use crate::inputs::open_bundle;
use crate::session::Session;
use crate::signing::{Trust, Untrusted};

/// The variables that set a site's keys, in place of a flag.
const SITE: [(&str, &str); 2] =
    [("--verify-key", "AIRGAP_BUNDLE_VERIFY_KEY"), ("--require-approval", "AIRGAP_BUNDLE_REQUIRE_APPROVAL")];

/// The bundle or layout to verify.
#[derive(Clone)]
pub(super) enum Form {
    /// A bundle as it was exported, in one file or in volumes.
    Exported(BundleReader),
    /// A bundle that was unpacked or packed again, or a layout of another tool.
    Layout(Arc<ForeignLayout>),
}

impl Form {
    /// Opens the bundle or layout that `args` name, as far as it can be read.
    pub(super) async fn open(session: &Session, args: &VerifyArgs, trust: &Trust) -> anyhow::Result<Self> {
        let options =
            LayoutOptions { name: args.name.clone(), platform: args.platform.clone(), nameless: true };
        let path = args.bundle.as_path();
        if path == Path::new("-") {
            let failure = Failure::usage("`bundle verify` cannot read from stdin");
            return Err(failure
                .hint("write it to a file first; `bundle import -` compares every digest while it sends")
                .into());
        }
        let reader = match open_bundle::open_trusted(path, trust) {
            _ if is_address(path) => open_bundle::open_address(path, trust, &args.network)?,
            Err(ArchiveError::Format(FormatError::NotABundle(why))) => {
                let layout = open_bundle::open_layout(path, why, &options, trust);
                let layout = layout.map_err(|error| refuse_keys(args, error))?;
                if layout.id().is_none() {
                    refuse_flags(args)?;
                }
                return Ok(Self::Layout(Arc::new(layout)));
            }
            // A file without its end can still be checked blob by blob.
            Err(error @ ArchiveError::Format(FormatError::Damaged(_) | FormatError::SeekTable(_))) => {
                let rest = open_bundle::open_damaged(path)
                    .and_then(|(input, _)| BundleReader::salvage(&input, trust));
                rest.map_err(|other| if matches!(other, ArchiveError::Untrusted(_)) { other } else { error })?
            }
            Err(error @ ArchiveError::Volumes(VolumesError::Incomplete { .. })) => {
                let failure = Failure::new(ExitCode::Content, error.to_string());
                return Err(match parity::hope(session, path).await {
                    Some(hope) => failure.hint(BRING_VOLUMES).hint(hope),
                    None => error.hint().into_iter().fold(failure, Failure::hint),
                }
                .into());
            }
            other => other?,
        };
        options.refuse_for_bundle()?;
        Ok(Self::Exported(reader))
    }

    pub(super) fn image_store(&self) -> &dyn ImageStore {
        match self {
            Self::Exported(reader) => reader,
            Self::Layout(layout) => layout.as_ref(),
        }
    }

    /// In bytes; none of a layout, which may be a folder.
    pub(super) fn file_len(&self) -> Option<u64> {
        match self {
            Self::Exported(reader) => Some(reader.file_len()),
            Self::Layout(_) => None,
        }
    }

    pub(super) fn volumes(&self) -> Option<&VolumeInput> {
        match self {
            Self::Exported(reader) => reader.in_volumes(),
            Self::Layout(_) => None,
        }
    }

    pub(super) fn verify(
        &self,
        cancelled: &AtomicBool,
        moved: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Problem>, ArchiveError> {
        match self {
            Self::Exported(reader) => reader.verify(cancelled, moved),
            Self::Layout(layout) => layout.verify(cancelled, moved),
        }
    }

    /// The hint for damage.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Exported(reader) if reader.in_volumes().is_some_and(|set| set.list().is_some()) => {
                "copy the listed volumes again, all into one folder; the others are intact"
            }
            Self::Exported(reader) if reader.in_volumes().is_some() => {
                "copy all volumes again into one folder, with their list (.volumes.json), which shows which are damaged"
            }
            Self::Exported(_) => {
                "copy the file again, or export it again, and compare it with its .sha256 on both sides; \
                 bundle import --salvage takes what is intact"
            }
            Self::Layout(layout) if layout.id().is_some() => {
                "copy it again, or unpack or pack the bundle again from the file that was exported"
            }
            Self::Layout(_) => "copy it again, or save it again with the tool that made it",
        }
    }

    /// The form and what was checked, as text. Empty for a bundle as exported, which is checked in full.
    pub(super) fn text(&self) -> String {
        let Self::Layout(layout) = self else { return String::new() };
        let container = layout.container();
        let (what, checked, mut lacking) = if layout.id().is_some() {
            (
                "a bundle that was unpacked or packed again",
                "every blob against its digest, and all other members against bundle.json",
                vec!["checksums of frames"],
            )
        } else {
            (
                "an OCI layout of another tool",
                "every manifest and blob against its digest",
                vec!["signatures and approvals of the whole"],
            )
        };
        if layout.is_sequential() {
            lacking.push("random access");
        }
        let lacking = lacking.join(", ");
        format!("form: {what} ({container})\n  checked: {checked}\n  not available in this form: {lacking}\n")
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let (kind, container) = match self {
            Self::Exported(_) => ("bundle", "tar.zst"),
            Self::Layout(layout) if layout.id().is_some() => ("repackedBundle", layout.container()),
            Self::Layout(layout) => ("layout", layout.container()),
        };
        let (is_exported, is_bundle) = (matches!(self, Self::Exported(_)), self.image_store().id().is_some());
        json!({
            "kind": kind,
            "container": container,
            "blobDigests": true,
            "otherMembers": is_bundle,
            "frameChecksums": is_exported,
            "signable": is_bundle,
            "randomAccess": !self.image_store().is_sequential(),
        })
    }
}

/// The error for a flag that requires a signature, which a layout of another tool cannot have.
fn refuse_keys(args: &VerifyArgs, error: ArchiveError) -> anyhow::Error {
    let is_foreign = matches!(error, ArchiveError::Untrusted(Untrusted::Foreign { .. }));
    match refuse_flags(args) {
        Err(refusal) if is_foreign => refusal,
        _ => error.into(),
    }
}

/// Refuses flags that need a bundle. A key from the environment is a rule of the site, so it is not refused as a usage error.
fn refuse_flags(args: &VerifyArgs) -> anyhow::Result<()> {
    let given =
        |flag: &str| SITE.iter().all(|(own, variable)| *own != flag || std::env::var_os(variable).is_none());
    let flags = [
        ("--verify-key", args.trust.verify_key.is_empty()),
        ("--signature", args.trust.signature.is_empty()),
        ("--require-approval", args.approval.require_approval.is_empty()),
        ("--approvals", args.approval.approvals.is_empty()),
        ("--receipt", args.receipt.is_empty()),
    ];
    match flags.into_iter().find(|(flag, is_empty)| !is_empty && given(flag)) {
        Some((flag, _)) => Err(refusal(flag, &args.bundle).into()),
        None => Ok(()),
    }
}

fn refusal(flag: &str, path: &Path) -> Failure {
    let message = format!("`{flag}` needs a bundle, and {} is a layout of another tool", path.display());
    Failure::usage(message)
        .hint("make a bundle of it first: bundle repack LAYOUT -o FILE.tar.zst --sign-key KEY")
}
