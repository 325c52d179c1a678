//! `import --receipt`: what arrived, for those outside, and for the next delta.

use super::import::Run;
use super::run_report::RunReport;
use super::{keys, sidecar};
use crate::app::failure::{ExitCode, Failure};
use crate::custody::{ArrivedImage, Receipt};
use crate::signing::PrivateKey;

impl Run<'_> {
    /// The key that will sign the receipt. What must not be replaced by one is found before anything is sent.
    pub(super) fn receipt_signer(&self) -> anyhow::Result<Option<PrivateKey>> {
        let Some(path) = &self.args.receipt else {
            if let Some(key) = &self.args.sign.sign_key {
                let message = format!("{} is to sign a receipt, and none is asked for", key.display());
                return Err(Failure::usage(message).hint("say where it goes with --receipt FILE").into());
            }
            return keys::signer(&self.args.sign);
        };
        if self.args.dry_run {
            return Ok(None);
        }
        let there = sidecar::content(path)?;
        if !self.args.force && there.is_some_and(|json| Receipt::parse(&json).is_err()) {
            return Err(Failure::new(
                ExitCode::Failed,
                format!("{} exists and is no receipt", path.display()),
            )
            .hint("replace it with --force, or choose another name")
            .into());
        }
        keys::signer(&self.args.sign)
    }

    /// Writes down what is there now, whatever did not arrive.
    pub(super) fn write_receipt(
        &self,
        report: &RunReport,
        signer: Option<&PrivateKey>,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.args.receipt else {
            return Ok(());
        };
        let bundle = self.holdings.bundle();
        let row = |(row, image): (&super::run_report::ImageReport, &crate::archive::ImageRow)| ArrivedImage {
            name: image.name.clone(),
            target: row.target.clone(),
            digest: image.digest,
            replaced: row.replaced,
            state: row.state,
        };
        let receipt = Receipt::of(
            bundle,
            self.holdings.id(),
            self.holdings.as_ref(),
            self.destination.to_string(),
            report.images.iter().zip(&bundle.images).map(row).collect(),
            sidecar::circumstances(self.args.by.as_deref()),
        )?;
        sidecar::write_signed(path, &receipt.to_file()?, signer)?;
        self.session.reporter.say(&format!("receipt: {}", path.display()));
        Ok(())
    }
}
