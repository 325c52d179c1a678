//! Turns an error into an exit code and the text on the screen: `error:`, `caused by:`, `hint:`.

use std::fmt::Write as _;

use crate::app::failure::{ExitCode, Explain, Failure};
use crate::app::stop;
use crate::archive::ArchiveError;
use crate::destination::PrepareError;
use crate::export::resolve::error::ResolveError;
use crate::export::write::blob_error::BlobError;
use crate::export::write::error::TransferError;
use crate::export::write::file_export::FileExportError;
use crate::import::error::UploadError;
use crate::plan::PlanError;
use crate::registry::RegistryError;

/// The list of all error types that have an exit code and hints.
fn explained<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a dyn Explain> {
    macro_rules! first_of {
        ($($kind:ty),+ $(,)?) => { $(if let Some(error) = error.downcast_ref::<$kind>() { return Some(error); })+ };
    }
    first_of!(
        Failure,
        RegistryError,
        ArchiveError,
        PlanError,
        TransferError,
        BlobError,
        FileExportError,
        std::io::Error,
        PrepareError,
        UploadError,
        ResolveError,
    );
    None
}

/// The exit code of a run that ends with `error`: that of the signal that ended it, if one did, or else the code that the
/// first typed error in the chain calls for.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    stop::requested().map_or_else(|| called_for(error), ExitCode::from)
}

fn called_for(error: &anyhow::Error) -> ExitCode {
    error.chain().find_map(|cause| explained(cause)?.calls_for()).unwrap_or(ExitCode::Failed)
}

/// The error as it is printed.
pub(crate) fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let line = cause.to_string();
        // Transparent wrappers repeat the text of their cause.
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
pub(crate) fn all_hints(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = error.chain().filter_map(explained).flat_map(Explain::hints).collect();
    hints.dedup();
    hints
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
