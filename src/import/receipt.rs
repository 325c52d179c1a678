//! `import --receipt`: records what arrived, for the connected side and for the next delta.

use crate::app::failure::{ExitCode, Failure};
use crate::archive::{ImageRow, ImageStore};
use crate::cli::ImportArgs;
use crate::destination::Destination;
use crate::inputs::keys;
use crate::provenance::{ArrivedImage, Receipt};
use crate::report::Reporter;
use crate::session::run_report::{ImageReport, RunReport};
use crate::session::sidecar;
use crate::signing::PrivateKey;

/// The key that signs the receipt. A file that must not be replaced is found here, before anything is sent.
pub(crate) fn signer(args: &ImportArgs) -> anyhow::Result<Option<PrivateKey>> {
    let Some(path) = &args.receipt else {
        if let Some(key) = &args.sign.sign_key {
            let message =
                format!("the key {} is for signing a receipt, but no receipt was requested", key.display());
            return Err(Failure::usage(message).hint("name the receipt with --receipt FILE").into());
        }
        return keys::signer(&args.sign);
    };
    if args.dry_run {
        return Ok(None);
    }
    let there = sidecar::content(path)?;
    if !args.force && there.is_some_and(|json| Receipt::parse(&json).is_err()) {
        return Err(Failure::new(
            ExitCode::Failed,
            format!("{} exists and is not a receipt", path.display()),
        )
        .hint("replace it with --force, or name another file with --receipt FILE")
        .into());
    }
    keys::signer(&args.sign)
}

/// Writes which images are at the destination now, even if others did not arrive.
pub(crate) fn write(
    args: &ImportArgs,
    image_store: &dyn ImageStore,
    destination: &Destination,
    report: &RunReport,
    signer: Option<&PrivateKey>,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let Some(path) = &args.receipt else {
        return Ok(());
    };
    let bundle = image_store.bundle();
    let row = |(row, image): (&ImageReport, &ImageRow)| ArrivedImage {
        name: image.name.clone(),
        target: row.target.clone(),
        digest: image.digest,
        replaced: row.replaced,
        state: row.state,
    };
    let receipt = Receipt::of(
        bundle,
        image_store.id(),
        image_store,
        destination.to_string(),
        report.images.iter().zip(&bundle.images).map(row).collect(),
        sidecar::circumstances(args.by.as_deref()),
    )?;
    sidecar::write_signed(path, &receipt.to_file()?, signer)?;
    reporter.say(&format!("receipt: {}", path.display()));
    Ok(())
}
