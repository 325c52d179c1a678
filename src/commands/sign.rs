//! `bundle sign`: signatures in files beside a bundle, which itself never changes.

use serde_json::json;

use super::{input, keys, outputs, trust};
use crate::cli::{ResultFormat, SignArgs};
use crate::failure::ExitCode;
use crate::session::Session;
use crate::signing::SigstoreBundle;
use crate::transfer::beside;

pub(super) fn run(session: &Session, args: &SignArgs) -> anyhow::Result<ExitCode> {
    let reader = input::open_bundle(&args.bundle)?;
    let key = keys::private(&args.key, &args.passphrase)?;
    let content = reader.manifest().to_bytes()?;
    let base = trust::base(&args.bundle)?;
    let files = [
        (beside(&base, trust::SIGNATURE), key.sign(&content).to_file()),
        (beside(&base, trust::SIGSTORE), SigstoreBundle::sign(&content, &key).to_file()),
    ];
    for (path, text) in &files {
        outputs::spare(path, text.as_bytes(), args.force, "")?;
    }
    for (path, text) in &files {
        outputs::write(path, text)?;
    }
    let names = files.map(|(path, _)| path.display().to_string());
    match session.format {
        ResultFormat::Json => super::print_json(&json!({
            "id": reader.id(), "key": key.public().id(), "files": names,
        })),
        ResultFormat::Human => super::print(&format!(
            "id {}\nsigned with key {}:\n  {}\n",
            reader.id(),
            key.public().id().short(),
            names.join("\n  ")
        )),
    }
    Ok(ExitCode::Done)
}
