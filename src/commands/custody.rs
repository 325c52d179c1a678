//! Statements and receipts: who and when, the files beside a bundle, and what `verify` makes of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::export::Export;
use super::{export_target, outputs, trust};
use crate::app::own_file::beside;
use crate::app::small_file;
use crate::archive::{ArchiveError, Holdings};
use crate::cli::VerifyArgs;
use crate::custody::{ExportStatement, Receipt};
use crate::failure::{ExitCode, Failure};
use crate::image::Digest;
use crate::plan::{ExportPlan, Signer};
use crate::signing::{Circumstances, MAX_STATEMENT, PrivateKey, SigstoreBundle, Tool, Trust};

/// The statement beside a bundle.
pub(super) const STATEMENT: &str = ".statement.json";

/// Who runs this program, and when.
pub(super) fn circumstances(by: Option<&str>) -> Circumstances {
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

/// Everything that is said of a bundle in files beside it.
pub(super) const COMPANY: [&str; 5] =
    [trust::SIGNATURE, trust::SIGSTORE, STATEMENT, ".statement.json.sigstore.json", trust::APPROVALS];

/// The one bundle that another is made of.
pub(super) struct Origin {
    id: Digest,
    signature: Option<Vec<u8>>,
    /// What the files beside it are called after.
    base: PathBuf,
}

impl Origin {
    /// None of a layout of another tool, which nobody has signed.
    pub(super) fn of(path: &Path, holdings: &dyn Holdings) -> Result<Option<Self>, ArchiveError> {
        let Some(id) = holdings.id() else { return Ok(None) };
        let signature = holdings.signature().map(<[u8]>::to_vec);
        Ok(Some(Self { id, signature, base: trust::base(path)? }))
    }

    /// The signature that stands in it.
    pub(super) fn signature(&self) -> Option<Signer<'_>> {
        self.signature.as_deref().map(|signature| Signer::Kept { id: self.id, signature })
    }

    /// Brings along what is said of it, where `target` is the same bundle: the endings of the files. What has other
    /// content there stays, and is told.
    fn accompany(&self, export: &Export<'_>, target: &Path, id: &Digest) -> anyhow::Result<Vec<String>> {
        let mut brought = Vec::new();
        let own = export_target::beside_bundle(export.write);
        // A new statement is not what the old signature is of.
        let is_own = |suffix: &str| own.iter().any(|own| suffix.starts_with(own.as_str()));
        for suffix in COMPANY.into_iter().filter(|suffix| self.id == *id && !is_own(suffix)) {
            let (from, to) = (beside(&self.base, suffix), beside(target, suffix));
            let Some(bytes) = content(&from)? else { continue };
            let there = content(&to)?;
            if there.is_some_and(|there| there != bytes) && !export.write.force {
                export.session.reporter.warn(&format!(
                    "{} has other content than {} and stays; copy it yourself, or replace it with --force",
                    to.display(),
                    from.display()
                ));
                continue;
            }
            outputs::write_beside(&to, &bytes)?;
            brought.push(suffix.to_owned());
        }
        Ok(brought)
    }
}

/// What lies beside a bundle that an export has written: its signature and its statement. A statement that is there
/// already stays, unless the bundle is new. What was said of the same bundle elsewhere comes along; the endings of those
/// files.
pub(super) fn write_beside(
    export: &Export<'_>,
    target: &Path,
    plan: &ExportPlan,
    is_new: bool,
) -> anyhow::Result<Vec<String>> {
    let id = plan.bundle.id()?;
    let brought = export.origin.map(|origin| origin.accompany(export, target, &id));
    let brought = brought.transpose()?.unwrap_or_default();
    if let Some(key) = export.signer {
        let signed = SigstoreBundle::sign(&plan.bundle.to_bytes()?, key);
        outputs::write_beside(&beside(target, trust::SIGSTORE), signed.to_file())?;
    }
    let path = beside(target, STATEMENT);
    let is_there = || {
        let there = content(&path).ok().flatten();
        there.is_some_and(|json| ExportStatement::parse(&json).is_ok_and(|statement| statement.is_about(&id)))
    };
    if !export.write.statement || (!is_new && is_there()) {
        return Ok(brought);
    }
    let circumstances = circumstances(export.write.by.as_deref());
    let statement = ExportStatement::of(&plan.bundle, id, circumstances, export.materials.to_vec());
    let text = statement.to_file()?;
    unsign(&path)?;
    outputs::write_beside(&path, &text)?;
    sign(&path, &text, export.signer)?;
    Ok(brought)
}

/// Writes a statement that the user named, signed in a file beside it where somebody signs. A signature of what was there
/// before goes.
pub(super) fn write_signed(path: &Path, text: &str, signer: Option<&PrivateKey>) -> anyhow::Result<()> {
    unsign(path)?;
    outputs::write(path, text)?;
    sign(path, text, signer)
}

/// Removes the signature of the statement at `path`.
fn unsign(path: &Path) -> anyhow::Result<()> {
    let signature = beside(path, trust::SIGSTORE);
    match std::fs::remove_file(&signature) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ArchiveError::Io { path: signature, error }.into())
        }
        _ => Ok(()),
    }
}

fn sign(path: &Path, text: &str, signer: Option<&PrivateKey>) -> anyhow::Result<()> {
    let Some(key) = signer else { return Ok(()) };
    let signed = SigstoreBundle::sign_statement(text.as_bytes(), key);
    outputs::write_beside(&beside(path, trust::SIGSTORE), signed.to_file())
}

/// What statements and receipts say of a bundle.
#[derive(Default)]
pub(super) struct Custody {
    /// One line each.
    pub(super) text: String,
    pub(super) json: Vec<Value>,
    wrong: Vec<String>,
}

/// Checks the statement beside the bundle, if there is one, and the receipts that are named.
pub(super) fn check(args: &VerifyArgs, holdings: &dyn Holdings, trust: &Trust) -> anyhow::Result<Custody> {
    let mut custody = Custody::default();
    // Nothing is said of a layout of another tool, which has no id.
    let Some(id) = holdings.id() else { return Ok(custody) };
    let bundle = holdings.bundle();
    let statement = beside(&trust::base(&args.bundle)?, STATEMENT);
    if let Some(text) = content(&statement)? {
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
        let text = content(path)?.ok_or_else(none)?;
        anyhow::Ok((Receipt::parse(&text), text))
    };
    let receipts = args.receipt.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let readable = receipts.iter().filter_map(|(receipt, _)| receipt.as_ref().ok());
    let arrived = readable.flat_map(|receipt| receipt.arrivals(&id)).collect();
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
        let (signer, mut wrong) = (signer(path, text, trust)?, wrong);
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

    /// Everything that is wrong, as one error.
    pub(super) fn failure(&self) -> Option<Failure> {
        if self.wrong.is_empty() {
            return None;
        }
        let message = format!("what is said of the bundle does not hold:\n{}", self.wrong.join("\n"));
        Some(Failure::new(ExitCode::Content, message).hint(
            "get the right one from whoever wrote it; what is not signed yet: bundle sign FILE --key KEY",
        ))
    }
}

/// The demanded key that signed the statement at `path`; none where no key is demanded. Else what is wrong.
pub(super) fn signer(
    path: &Path,
    text: &[u8],
    trust: &Trust,
) -> anyhow::Result<Result<Option<String>, String>> {
    if !trust.demands_signature() {
        return Ok(Ok(None));
    }
    let signature = content(&beside(path, trust::SIGSTORE))?;
    Ok(trust.statement_signer(text, signature.as_deref()).map(|key| Some(key.to_string())))
}

/// What a file says cannot pass for a line of ours.
fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The content of a small file, if it is there.
pub(super) fn content(path: &Path) -> Result<Option<Vec<u8>>, ArchiveError> {
    small_file::beside(path, MAX_STATEMENT).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            ArchiveError::Json("a statement", format!("{}: {error}", path.display()))
        }
        _ => ArchiveError::io(path)(error),
    })
}
