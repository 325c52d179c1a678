//! From an error to an exit code and to the words on the screen: `error:`, `caused by:`, `hint:`, in one place.
//!
//! Codes and hints come from types in the chain of an error, never from its text.

use std::fmt::Write as _;
use std::path::Path;

use crate::app::own_file::is_no_space;
use crate::app::unusable::Unusable;
use crate::archive::{ArchiveError, StorageAnswer};
use crate::destination::PrepareError;
use crate::registry::{ErrorClass, RegistryError};
use crate::transfer::{ArrivalError, BlobError, FileExportError, ResolveError, TransferError, WrongContent};

/// The program's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Content = 3,
    Denied = 4,
    Unreachable = 5,
    NoSpace = 6,
    Partly = 7,
    /// What was compared differs, and the exit code was asked to say so.
    Differs = 8,
    Interrupted = 130,
    Terminated = 143,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows its exit code, and what the user can do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: ExitCode,
    pub message: String,
    pub hints: Vec<String>,
    #[source]
    pub cause: Option<anyhow::Error>,
}

impl Failure {
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), cause: None }
    }

    /// A file that cannot be read or written.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        let code = if is_no_space(error) { ExitCode::NoSpace } else { ExitCode::Failed };
        Self::new(code, format!("{}: {error}", path.display()))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A file or setting that cannot be used, found before anything was sent.
    pub fn unusable(what: Unusable) -> Self {
        Self { hints: what.hint.into_iter().collect(), ..Self::usage(what.why) }
    }

    /// With what led to it; its own hints count too.
    #[must_use]
    pub fn because(mut self, cause: anyhow::Error) -> Self {
        self.cause = Some(cause);
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// The exit code that the first typed error in the chain calls for.
pub fn code_of(error: &anyhow::Error) -> ExitCode {
    error.chain().find_map(code_of_one).unwrap_or(ExitCode::Failed)
}

fn code_of_one(error: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.code);
    }
    if let Some(error) = error.downcast_ref::<RegistryError>() {
        return Some(registry_code(error));
    }
    if let Some(error) = error.downcast_ref::<ArchiveError>() {
        return Some(archive_code(error));
    }
    if let Some(error) = error.downcast_ref::<TransferError>() {
        return Some(transfer_code(error));
    }
    if let Some(error) = error.downcast_ref::<BlobError>() {
        return Some(blob_code(error));
    }
    if let Some(error) = error.downcast_ref::<FileExportError>() {
        return match error {
            FileExportError::Blob(error) => Some(blob_code(error)),
            FileExportError::Transfer(error) => Some(transfer_code(error)),
            FileExportError::Plan(_) => Some(ExitCode::Failed),
            FileExportError::Interrupted => Some(ExitCode::Interrupted),
        };
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return is_no_space(error).then_some(ExitCode::NoSpace);
    }
    if let Some(error) = error.downcast_ref::<PrepareError>() {
        return Some(class_code(error.class));
    }
    if let Some(error) = error.downcast_ref::<ArrivalError>() {
        return Some(match error.innermost() {
            ArrivalError::Registry(error) => registry_code(error),
            ArrivalError::LostInPipe(_)
            | ArrivalError::PassedBy(_)
            | ArrivalError::Archive(ArchiveError::PassedBy(_)) => ExitCode::Partly,
            ArrivalError::Archive(error) => archive_code(error),
            ArrivalError::Content(_) => ExitCode::Content,
            ArrivalError::Cancelled => ExitCode::Interrupted,
            ArrivalError::TagKept { .. }
            | ArrivalError::ManifestRefused { .. }
            | ArrivalError::Unproven { .. }
            | ArrivalError::Blob { .. } => ExitCode::Failed,
        });
    }
    Some(match error.downcast_ref::<ResolveError>()? {
        ResolveError::Registry(error) => registry_code(error),
        ResolveError::Transfer(error) => transfer_code(error),
        ResolveError::Manifest { .. }
        | ResolveError::TooDeep
        | ResolveError::TooMany
        | ResolveError::ListedAsBlob { .. }
        | ResolveError::OtherDigest { .. }
        | ResolveError::Blob { .. } => ExitCode::Content,
        ResolveError::NoPlatform { .. } | ResolveError::Pinned => ExitCode::Failed,
        ResolveError::Cancelled => ExitCode::Interrupted,
    })
}

/// The code of a registry's error, or of what was to be sent to it.
pub fn registry_code(error: &RegistryError) -> ExitCode {
    let source = error.source_error();
    match source.and_then(|source| source.downcast_ref::<ArchiveError>()) {
        Some(error) => archive_code(error),
        None if source.and_then(|source| source.downcast_ref::<WrongContent>()).is_some() => {
            ExitCode::Content
        }
        None => class_code(error.class()),
    }
}

fn class_code(class: ErrorClass) -> ExitCode {
    match class {
        ErrorClass::Denied => ExitCode::Denied,
        ErrorClass::Unreachable | ErrorClass::RateLimited => ExitCode::Unreachable,
        ErrorClass::NoSpace => ExitCode::NoSpace,
        ErrorClass::Content => ExitCode::Content,
        _ => ExitCode::Failed,
    }
}

fn transfer_code(error: &TransferError) -> ExitCode {
    match error {
        TransferError::Archive(error) => archive_code(error),
        TransferError::Io { error, .. } if is_no_space(error) => ExitCode::NoSpace,
        _ => ExitCode::Failed,
    }
}

/// The code of a blob that could not be fetched.
pub fn blob_code(error: &BlobError) -> ExitCode {
    match error {
        BlobError::Registry(error) => registry_code(error),
        BlobError::Transfer(error) => transfer_code(error),
        BlobError::Digest { .. } => ExitCode::Content,
        BlobError::Cancelled => ExitCode::Interrupted,
    }
}

fn archive_code(error: &ArchiveError) -> ExitCode {
    if matches!(error, ArchiveError::Stopped) {
        ExitCode::Interrupted
    } else if error.is_usage() {
        ExitCode::Usage
    } else if let ArchiveError::Storage { answer, .. } = error {
        if *answer == StorageAnswer::Denied { ExitCode::Denied } else { ExitCode::Unreachable }
    } else if error.is_no_space() {
        ExitCode::NoSpace
    } else if error.is_content() {
        ExitCode::Content
    } else {
        ExitCode::Failed
    }
}

/// The error as it stands on the screen.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let line = cause.to_string();
        // Wrappers that only pass a cause on repeat its words.
        if said.iter().any(|earlier| earlier.ends_with(&line)) {
            continue;
        }
        let label = if said.is_empty() { "error" } else { "caused by" };
        let _ = writeln!(text, "{label}: {}", line.replace('\n', "\n    "));
        said.push(line);
    }
    for hint in all_hints(error) {
        let _ = writeln!(text, "hint: {}", hint.replace('\n', "\n    "));
    }
    text
}

/// Every hint in the chain, each once.
pub fn all_hints(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = error.chain().flat_map(hints_of).collect();
    hints.dedup();
    hints
}

fn hints_of(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.hints.clone();
    }
    if let Some(error) = registry_error(error) {
        return error.hint().into_iter().collect();
    }
    if let Some(error) = error.downcast_ref::<PrepareError>() {
        return error.hint.iter().cloned().collect();
    }
    match error.downcast_ref().map(ArrivalError::innermost) {
        Some(ArrivalError::TagKept { is_artifact, .. }) => {
            let mut hints = vec!["leave tags with other content as they are: --on-conflict skip".to_owned()];
            if *is_artifact {
                hints.push("or leave signatures and the like out: --with none".to_owned());
            }
            return hints;
        }
        Some(ArrivalError::ManifestRefused { hint, error, .. }) => {
            return hint.map(str::to_owned).or_else(|| error.hint()).into_iter().collect();
        }
        Some(ArrivalError::LostInPipe(_)) => {
            return vec!["send the same stream again, what arrived is not sent twice; with --spool DIR nothing that the registry loses is lost".to_owned()];
        }
        Some(ArrivalError::PassedBy(_) | ArrivalError::Archive(ArchiveError::PassedBy(_))) => {
            return vec![
                "the registry says of blobs that they are there when they are not, or mounts none: import from a file, \
                 which can be read again"
                    .to_owned(),
            ];
        }
        _ => {}
    }
    if let Some(error) = error.downcast_ref::<ArchiveError>() {
        return error.hint().into_iter().collect();
    }
    if let Some(TransferError::Locked(_)) = error.downcast_ref::<TransferError>() {
        return vec!["wait for the other run, or choose another output with -o".to_owned()];
    }
    Vec::new()
}

/// The registry's error inside `error`, also where a wrapper passes it on as its own.
pub fn registry_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a RegistryError> {
    if let Some(BlobError::Registry(error)) = error.downcast_ref::<BlobError>() {
        return Some(error);
    }
    if let Some(ResolveError::Registry(error)) = error.downcast_ref::<ResolveError>() {
        return Some(error);
    }
    if let Some(error) = error.downcast_ref::<ArrivalError>()
        && let ArrivalError::Registry(error) = error.innermost()
    {
        return Some(error);
    }
    error.downcast_ref::<RegistryError>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_hints_and_code_before_its_cause() {
        let cause = Failure::new(ExitCode::Content, "the file is cut").hint("copy it again").into();
        let error = Failure::usage("no lock").hint("write one").because(cause).into();
        assert_eq!(code_of(&error), ExitCode::Usage);
        let text = "error: no lock\ncaused by: the file is cut\nhint: write one\nhint: copy it again\n";
        assert_eq!(render(&error), text);
    }
}
