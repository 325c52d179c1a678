//! `bundle sign`: signatures in files beside a bundle, which itself never changes; or beside a statement or receipt.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{custody, input, keys, outputs, trust};
use crate::cli::{ResultFormat, SignArgs};
use crate::failure::ExitCode;
use crate::image::Digest;
use crate::session::Session;
use crate::signing::{PrivateKey, SigstoreBundle, is_statement};
use crate::transfer::beside;

pub(super) fn run(session: &Session, args: &SignArgs) -> anyhow::Result<ExitCode> {
    let signed = match statement(&args.bundle)? {
        Some(text) => {
            let key = keys::private(&args.key, &args.passphrase)?;
            let signature = SigstoreBundle::sign_statement(&text, &key).to_file();
            Signed { id: None, files: vec![(beside(&args.bundle, trust::SIGSTORE), signature)], key }
        }
        None => bundle(args)?,
    };
    for (path, text) in &signed.files {
        outputs::spare(path, text.as_bytes(), args.force, "")?;
    }
    for (path, text) in &signed.files {
        outputs::write(path, text)?;
    }
    signed.print(session.format);
    Ok(ExitCode::Done)
}

/// What was signed, and the files to be written.
struct Signed {
    /// The bundle's; none of a statement.
    id: Option<Digest>,
    files: Vec<(PathBuf, String)>,
    key: PrivateKey,
}

fn bundle(args: &SignArgs) -> anyhow::Result<Signed> {
    let reader = input::open_bundle(&args.bundle)?;
    let key = keys::private(&args.key, &args.passphrase)?;
    let content = reader.manifest().to_bytes()?;
    let base = trust::base(&args.bundle)?;
    let files = vec![
        (beside(&base, trust::SIGNATURE), key.sign(&content).to_file()),
        (beside(&base, trust::SIGSTORE), SigstoreBundle::sign(&content, &key).to_file()),
    ];
    Ok(Signed { id: Some(reader.id()), files, key })
}

/// The text of a statement or receipt, if `path` is one.
fn statement(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let mut first = [0];
    let is_json =
        std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"{";
    if !is_json {
        return Ok(None);
    }
    Ok(custody::content(path)?.filter(|text| is_statement(text)))
}

impl Signed {
    fn print(&self, format: ResultFormat) {
        let names: Vec<String> = self.files.iter().map(|(path, _)| path.display().to_string()).collect();
        let key = self.key.public().id();
        match format {
            ResultFormat::Json => super::print_json(&json!({ "id": self.id, "key": key, "files": names })),
            ResultFormat::Human => {
                let id = self.id.map_or_else(String::new, |id| format!("id {id}\n"));
                super::print(&format!("{id}signed with key {}:\n  {}\n", key.short(), names.join("\n  ")));
            }
        }
    }
}
