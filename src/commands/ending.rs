//! How a command ends: its report is written, its error shown, and its exit code follows from both.

use std::io::{self, Write};

use crate::app::failure::ExitCode;
use crate::error_text::{all_hints, code_of, render};
use crate::report::Reporter;
use crate::session::output_files;
use crate::session::run_report::RunReport;

/// Writes the report of a run that ended with `result`, if one was asked for, and gives the result back. A report that
/// cannot be written is an error of a run that went well, and a warning of another.
pub(super) fn close(
    report: &RunReport,
    result: anyhow::Result<ExitCode>,
    reporter: &Reporter,
) -> anyhow::Result<ExitCode> {
    let code = result.as_ref().map_or_else(code_of, |code| *code);
    match (write(report, code, result.as_ref().err()), result) {
        (Err(error), Ok(_)) => Err(error),
        (Err(error), result) => {
            reporter.warn(&error.to_string());
            result
        }
        (Ok(()), result) => result,
    }
}

fn write(report: &RunReport, code: ExitCode, error: Option<&anyhow::Error>) -> anyhow::Result<()> {
    let Some(path) = &report.path else { return Ok(()) };
    let mut value = report.value();
    value["exitCode"] = (code as u8).into();
    value["error"] = error.map(|error| crate::report::printable(&render(error))).into();
    let text = crate::report::concealed(&serde_json::to_string_pretty(&value)?);
    output_files::write(path, &(text + "\n"))
}

/// Shows the error that ends a command, and gives its exit code.
pub(super) fn show_error(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let (code, text) = (code_of(error), crate::report::printable(&render(error)));
    if as_json {
        let hints = all_hints(error);
        crate::report::write_json(&serde_json::json!({
            "event": "error", "text": text, "hints": hints, "exitCode": code as u8,
        }));
    } else {
        let _ = write!(io::stderr().lock(), "{text}");
    }
    code
}
