//! How `verify` checks statements and receipts: who made a bundle, what arrived, and whether both match the bundle.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::beside;
use crate::archive::ImageStore;
use crate::cli::VerifyArgs;
use crate::provenance::{ExportStatement, Receipt};
use crate::session::sidecar;
use crate::signing::{Circumstances, Trust};

/// What statements and receipts say about a bundle.
#[derive(Default)]
pub(crate) struct Custody {
    /// One line each.
    pub(crate) text: String,
    pub(crate) json: Vec<Value>,
    wrong: Vec<String>,
}

/// Checks the statement beside the bundle, if there is one, and the receipts that are named.
pub(crate) fn check(
    args: &VerifyArgs,
    image_store: &dyn ImageStore,
    trust: &Trust,
) -> anyhow::Result<Custody> {
    let mut custody = Custody::default();
    // A layout of another tool has no id, so no statement can be about it.
    let Some(id) = image_store.id() else { return Ok(custody) };
    let bundle = image_store.bundle();
    let statement = beside(&sidecar::base(&args.bundle)?, sidecar::STATEMENT);
    if let Some(text) = sidecar::content(&statement)? {
        let parsed = ExportStatement::parse(&text);
        let made = parsed.as_ref().ok().map(|statement| &statement.predicate.circumstances);
        let wrong = match &parsed {
            Ok(statement) => statement.contradicts(bundle, &id).into_iter().map(str::to_owned).collect(),
            Err(why) => vec![why.clone()],
        };
        custody.add(&statement, "exported", &text, made, wrong, trust)?;
    }
    let read = |path: &PathBuf| {
        let none = || Failure::usage(format!("there is no receipt {}", path.display()));
        let text = sidecar::content(path)?.ok_or_else(none)?;
        anyhow::Ok((Receipt::parse(&text), text))
    };
    let receipts = args.receipt.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let readable = receipts.iter().filter_map(|(receipt, _)| receipt.as_ref().ok());
    let arrived = readable.flat_map(|receipt| receipt.image_uploads(&id)).collect();
    for (path, (receipt, text)) in args.receipt.iter().zip(&receipts) {
        let made = receipt.as_ref().ok().map(|receipt| &receipt.predicate.circumstances);
        let (what, wrong) = match receipt {
            Ok(receipt) => (
                format!("arrived at {}", receipt.predicate.destination),
                receipt.lacks(bundle, &id, &arrived),
            ),
            Err(why) => (String::new(), vec![why.clone()]),
        };
        custody.add(path, &what, text, made, wrong, trust)?;
    }
    Ok(custody)
}

impl Custody {
    fn add(
        &mut self,
        path: &Path,
        what: &str,
        text: &[u8],
        made: Option<&Circumstances>,
        wrong: Vec<String>,
        trust: &Trust,
    ) -> anyhow::Result<()> {
        let file = path.display();
        let (signer, mut wrong) = (sidecar::signer_of(path, text, trust)?, wrong);
        let signed = match &signer {
            Ok(Some(key)) => format!(", signed by {key}"),
            Ok(None) => ", signature not checked".to_owned(),
            Err(why) => {
                wrong.push(why.clone());
                String::new()
            }
        };
        let made = made.filter(|_| wrong.is_empty());
        if let Some(made) = made {
            let _ = writeln!(self.text, "{} {made}{signed}: {file}", in_one_line(what));
        }
        self.json.push(json!({
            "file": file.to_string(), "by": made.map(|made| &made.by), "at": made.map(|made| &made.at),
            "signedBy": signer.ok().flatten(), "problems": wrong,
        }));
        self.wrong.extend(wrong.into_iter().map(|why| in_one_line(&format!("{file}: {why}"))));
        Ok(())
    }

    /// All problems, as one error.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.wrong.is_empty() {
            return None;
        }
        let message =
            format!("the statement or a receipt does not match the bundle:\n{}", self.wrong.join("\n"));
        Some(Failure::new(ExitCode::Content, message).hint(
            "get the right one from whoever wrote it; what is not signed yet: bundle sign FILE --key KEY",
        ))
    }
}

/// The text of a file, made safe: it cannot imitate a line of this program.
fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
