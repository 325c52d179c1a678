//! `bundle sign`: writes signatures and approvals of a bundle, or the signature of a statement or receipt, to sidecar
//! files. The signed file never changes.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::{FolderLock, beside};
use crate::app::small_file;
use crate::archive::BundleReader;
use crate::cli::{ResultFormat, Role, SignArgs};
use crate::image::Digest;
use crate::inputs::{keys, open_bundle, trust};
use crate::provenance::{Arrived, ExportStatement, Exported, Receipt};
use crate::session::{Session, console, output_files, sidecar};
use crate::signing::{
    Approval, Approvals, Predicate as _, PrivateKey, SigstoreBundle, is_statement, predicate_type,
};

pub(super) fn run(session: &Session, args: &SignArgs) -> anyhow::Result<ExitCode> {
    if args.by.is_some() && args.role != Role::Approver {
        return Err(
            Failure::usage("`--by` needs `--role approver`: an exporter's signature has no name").into()
        );
    }
    match (statement(&args.bundle)?, args.role) {
        (None, Role::Exporter) => bundle(session, args),
        (None, Role::Approver) => approve(session, args),
        (Some(text), Role::Exporter) => {
            let what = said_by(&args.bundle, &text)?;
            let key = keys::private(&args.key, &args.passphrase)?;
            let signature = SigstoreBundle::sign_statement(&text, &key).to_file();
            let files = [(beside(&args.bundle, sidecar::SIGSTORE), signature)];
            write(&files, args.force)?;
            tell(session.format, &what, None, &key, &files.map(|(path, _)| path))?;
            Ok(ExitCode::Done)
        }
        (Some(_), Role::Approver) => {
            let message =
                format!("{} is not a bundle, and only bundles can be approved", args.bundle.display());
            Err(Failure::usage(message).into())
        }
    }
}

/// Describes the statement or receipt that is signed. Other in-toto statements are refused: approvals are made with
/// `--role approver`, and further types are unknown.
fn said_by(path: &Path, text: &[u8]) -> anyhow::Result<String> {
    let refuse =
        |why: String| Failure::new(ExitCode::Content, format!("{} is not signed: {why}", path.display()));
    let kind = predicate_type(text).unwrap_or_default();
    if kind == Exported::TYPE {
        let statement = ExportStatement::parse_exactly(text).map_err(refuse)?;
        statement.contradicts_itself().map_or(Ok(()), |why| Err(refuse(why.to_owned())))?;
        return Ok(format!("signed the statement about bundle {}", statement.predicate.bundle));
    }
    if kind == Arrived::TYPE {
        let receipt = Receipt::parse_exactly(text).map_err(refuse)?;
        receipt.contradicts_itself().map_or(Ok(()), |why| Err(refuse(why.to_owned())))?;
        return Ok(format!("signed the receipt of {}", receipt.predicate.destination));
    }
    let shown: String = kind.chars().take(100).collect();
    Err(refuse(format!("it is a statement of type {shown:?}, not one of an export or a receipt"))
        .hint("approve a bundle with: bundle sign BUNDLE --key KEY --role approver")
        .into())
}

/// The signatures, unless they would replace those of another key.
fn write(files: &[(PathBuf, String)], force: bool) -> anyhow::Result<()> {
    for (path, text) in files {
        output_files::refuse_overwrite(path, text.as_bytes(), force, "")?;
    }
    files.iter().try_for_each(|(path, text)| output_files::write_beside(path, text))
}

fn bundle(session: &Session, args: &SignArgs) -> anyhow::Result<ExitCode> {
    let reader = open_bundle::open_bundle(&args.bundle)?;
    let key = keys::private(&args.key, &args.passphrase)?;
    let content = reader.manifest().to_bytes()?;
    let base = sidecar::base(&args.bundle)?;
    let mut files = vec![
        (beside(&base, sidecar::SIGNATURE), key.sign(&content).to_file()),
        (beside(&base, sidecar::SIGSTORE), SigstoreBundle::sign(&content, &key).to_file()),
    ];
    files.extend(of_statement(session, &base, &reader, &key)?);
    write(&files, args.force)?;
    let paths: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
    tell(session.format, "signed", Some(reader.id()), &key, &paths)?;
    Ok(ExitCode::Done)
}

/// The signature of the statement beside a bundle. None if there is no statement, if it does not match the bundle, or if
/// another key has signed it, because that signature would be lost.
fn of_statement(
    session: &Session,
    base: &Path,
    reader: &BundleReader,
    key: &PrivateKey,
) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = beside(base, sidecar::STATEMENT);
    let Some(text) = sidecar::content(&path)? else { return Ok(None) };
    let signature = beside(&path, sidecar::SIGSTORE);
    let parsed = ExportStatement::parse_exactly(&text);
    let wrong = match &parsed {
        Ok(statement) => statement.contradicts(reader.manifest(), &reader.id()).map(str::to_owned),
        Err(why) => Some(why.clone()),
    };
    let by_another = || {
        let there = sidecar::content(&signature)?;
        let there = there.and_then(|there| SigstoreBundle::parse(&there).ok().flatten());
        let envelope = there.as_ref().and_then(SigstoreBundle::envelope);
        let envelope = envelope.filter(|envelope| envelope.statement() == Some(&text[..]));
        anyhow::Ok(envelope.is_some_and(|envelope| !envelope.is_signed_by(&key.public())))
    };
    if let Some(why) = wrong {
        session.reporter.warn(&format!("{} is not signed: {why}", path.display()));
        return Ok(None);
    }
    if by_another()? {
        session.reporter.say(&format!(
            "{} is signed by another key and was not changed; to replace that signature, sign this file alone with --force",
            path.display()
        ));
        return Ok(None);
    }
    // The bundle does not record its materials, so the signer must see that the statement claims them.
    for material in parsed.iter().flat_map(|statement| &statement.predicate.materials) {
        let (kind, name, digest) = (material.kind, &material.name, material.digest);
        session
            .reporter
            .say(&format!("the statement, which is signed too, says: made of {kind} {name:?}, {digest}"));
    }
    Ok(Some((signature, SigstoreBundle::sign_statement(&text, key).to_file())))
}

/// Adds an approval to the existing ones. An existing one by the same key is kept.
fn approve(session: &Session, args: &SignArgs) -> anyhow::Result<ExitCode> {
    let id = open_bundle::open_bundle(&args.bundle)?.id();
    let path = beside(&sidecar::base(&args.bundle)?, sidecar::APPROVALS);
    // Checked before the pass phrase is asked for.
    let key = keys::private(&args.key, &args.passphrase)?;
    let alone = FolderLock::beside(&path);
    let _alone = alone.map_err(|error| Failure::io(&path, &error))?;
    let there = match trust::approvals(&path) {
        Err(_) if args.force => None,
        there => there?,
    };
    let mut approvals = match there {
        Some(there) if there.are_about(&id) => there,
        None => Approvals::default(),
        Some(_) if args.force => Approvals::default(),
        Some(_) => {
            let message = format!("{} has approvals of another bundle", path.display());
            return Err(Failure::new(ExitCode::Failed, message).hint("replace them with --force").into());
        }
    };
    if !approvals.has(&key.public(), &id) {
        approvals.add(&Approval::of(id, sidecar::circumstances(args.by.as_deref())), &key)?;
        output_files::write_beside(&path, &approvals.to_file()?)?;
    }
    tell(session.format, "approved", Some(id), &key, &[path])?;
    Ok(ExitCode::Done)
}

/// The text of a statement or receipt, if `path` is one.
fn statement(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let mut first = [0];
    let is_json =
        small_file::regular(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"{";
    if !is_json {
        return Ok(None);
    }
    Ok(sidecar::content(path)?.filter(|text| is_statement(text)))
}

fn tell(
    format: ResultFormat,
    done: &str,
    id: Option<Digest>,
    key: &PrivateKey,
    files: &[PathBuf],
) -> Result<(), Failure> {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let key = key.public().id();
    match format {
        ResultFormat::Json => console::print_json(&json!({ "id": id, "key": key, "files": names })),
        ResultFormat::Human => {
            let id = id.map_or_else(String::new, |id| format!("id {id}\n"));
            let them = if names.len() == 1 { "it" } else { "them" };
            let text = format!("{id}{done} with key {}:\n  {}\n", key.short(), names.join("\n  "));
            console::print(&format!("{text}carry {them} beside the signed file\n"))
        }
    }
}
