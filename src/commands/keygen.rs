//! `bundle keygen`: a pair of keys in two files.

use std::path::Path;

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::beside;
use crate::cli::KeygenArgs;
use crate::inputs::keys;
use crate::session::{console, output_files};
use crate::signing::PrivateKey;

pub(super) fn run(args: &KeygenArgs) -> anyhow::Result<ExitCode> {
    let (private, public) = (beside(&args.output, ".key"), beside(&args.output, ".pub"));
    for file in [&private, &public] {
        refuse_to_replace(file)?;
    }
    let passphrase = if args.no_passphrase { None } else { Some(keys::new_passphrase(&args.passphrase)?) };
    let key = PrivateKey::generate()?;
    output_files::write_private(&private, &key.to_pem(passphrase.as_ref())?, false)?;
    output_files::write(&public, key.public().to_pem())?;
    console::print(&format!(
        "{}  private key: keep it and its pass phrase secret\n{}  public key {}: bring it inside by another way than the bundles\n",
        private.display(),
        public.display(),
        key.public().id().short()
    ))?;
    Ok(ExitCode::Done)
}

/// There is no --force: a key that was overwritten cannot be restored.
fn refuse_to_replace(file: &Path) -> anyhow::Result<()> {
    if file.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Failed, format!("{} exists, and keys are never replaced", file.display()))
        .hint("choose another name with -o NAME")
        .into())
}
