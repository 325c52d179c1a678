//! The steps after the last byte of a bundle: signature, statement, parity volumes and the program, each in a file of
//! its own beside the bundle.

use std::path::{Path, PathBuf};

use super::with_self;
use super::write::checksum::add_parity;
use crate::app::own_file::beside;
use crate::archive::{ArchiveError, BundleManifest, ImageStore, VolumeInput};
use crate::cli::WriteArgs;
use crate::image::Digest;
use crate::plan::{ExportPlan, Signer};
use crate::provenance::{ExportStatement, Material};
use crate::report::Reporter;
use crate::session::{Session, output_files, sidecar};
use crate::signing::{PrivateKey, SigstoreBundle};

/// The one bundle that another is made from.
pub(crate) struct SourceBundle {
    id: Digest,
    /// Those embedded in it, and the ids of the bundles that they are for: itself, and its form as a layout.
    signatures: Vec<(Digest, Vec<u8>)>,
    /// The path from which the names of its sidecar files are made.
    base: PathBuf,
}

impl SourceBundle {
    /// None for a layout of another tool, which is not signed.
    pub(crate) fn of(path: &Path, image_store: &dyn ImageStore) -> Result<Option<Self>, ArchiveError> {
        let Some(id) = image_store.id() else { return Ok(None) };
        let mut signatures: Vec<_> =
            image_store.signature().map(|signature| (id, signature.to_vec())).into_iter().collect();
        if let Some(signature) = image_store.references().and_then(|head| head.layout_signature.as_ref()) {
            signatures.push((image_store.bundle().as_layout().id()?, signature.clone().into_bytes()));
        }
        Ok(Some(Self { id, signatures, base: sidecar::base(path)? }))
    }

    /// The signatures embedded in it.
    pub(crate) fn signature(&self) -> Signer<'_> {
        Signer::Kept(&self.signatures)
    }

    /// Whether it brings signatures, but none of the bundle with this id.
    pub(super) fn does_not_sign(&self, id: &Digest) -> bool {
        !self.signatures.is_empty() && self.signatures.iter().all(|(of, _)| of != id)
    }

    /// Copies the signatures and statements of this bundle to `target`, if that is the same bundle, and returns the
    /// suffixes of the copied files. A file there with other content stays, and is reported.
    pub(super) fn accompany(
        &self,
        write: &WriteArgs,
        reporter: &Reporter,
        target: &Path,
        id: &Digest,
    ) -> anyhow::Result<Vec<String>> {
        let mut brought = Vec::new();
        let own = sidecar::written_with(write);
        // The old signature does not cover a new statement.
        let is_own = |suffix: &str| own.iter().any(|own| suffix.starts_with(own.as_str()));
        for suffix in sidecar::SIDECARS.into_iter().filter(|suffix| self.id == *id && !is_own(suffix)) {
            let (from, to) = (beside(&self.base, suffix), beside(target, suffix));
            let Some(bytes) = sidecar::content(&from)? else { continue };
            let there = sidecar::content(&to)?;
            if there.is_some_and(|there| there != bytes) && !write.force {
                reporter.warn(&format!(
                    "{} differs from {} and is kept; copy the file yourself, or replace it with --force",
                    to.display(),
                    from.display()
                ));
                continue;
            }
            output_files::write_beside(&to, &bytes)?;
            brought.push(suffix.to_owned());
        }
        Ok(brought)
    }
}

/// Everything that the sidecar files are made from.
pub(crate) struct Finish<'a> {
    pub(crate) session: &'a Session,
    pub(crate) write: &'a WriteArgs,
    /// Signs the bundle and its statement.
    pub(crate) signer: Option<&'a PrivateKey>,
    pub(crate) origin: Option<&'a SourceBundle>,
    /// The content source of the bundle, for the statement.
    pub(crate) materials: &'a [Material],
}

impl Finish<'_> {
    /// Writes the sidecar files of the bundle `target`; returns the suffixes of files copied from the bundle it is made
    /// from. Existing files about the same bundle stay, unless the bundle `is_new`.
    pub(crate) async fn run(
        &self,
        target: &Path,
        plan: &ExportPlan,
        is_new: bool,
    ) -> anyhow::Result<Vec<String>> {
        let (bundle, id) = (&plan.bundle, plan.bundle.id()?);
        let (write, reporter) = (self.write, &self.session.reporter);
        let brought = self.origin.map(|origin| origin.accompany(write, reporter, target, &id));
        let brought = brought.transpose()?.unwrap_or_default();
        if let Some(key) = self.signer {
            let signed = SigstoreBundle::sign(&bundle.to_bytes()?, key);
            output_files::write_beside(&beside(target, sidecar::SIGSTORE), signed.to_file())?;
        }
        self.write_statement(target, bundle, id, is_new)?;
        self.add_parity(target, plan.head.layout.max_len()).await?;
        if write.with_self {
            let volumes = VolumeInput::open(target)?;
            with_self::write(target, volumes.map(|volumes| volumes.path(0)).as_deref())?;
        }
        Ok(brought)
    }

    /// An existing statement about the same bundle stays, unless the bundle `is_new`.
    fn write_statement(
        &self,
        target: &Path,
        bundle: &BundleManifest,
        id: Digest,
        is_new: bool,
    ) -> anyhow::Result<()> {
        let path = beside(target, sidecar::STATEMENT);
        let is_there = || {
            let there = sidecar::content(&path).ok().flatten();
            there.is_some_and(|json| {
                ExportStatement::parse(&json).is_ok_and(|statement| statement.is_about(&id))
            })
        };
        if !self.write.statement || (!is_new && is_there()) {
            return Ok(());
        }
        let circumstances = sidecar::circumstances(self.write.by.as_deref());
        let text = ExportStatement::of(bundle, id, circumstances, self.materials.to_vec()).to_file()?;
        sidecar::unsign(&path)?;
        output_files::write_beside(&path, &text)?;
        sidecar::sign(&path, &text, self.signer)
    }

    /// Adds the requested parity volumes that do not exist yet, over `size` bytes.
    async fn add_parity(&self, target: &Path, size: u64) -> anyhow::Result<()> {
        let Some(number) = self.write.parity else {
            return Ok(());
        };
        let (own, sidecar) = (target.to_owned(), !self.write.no_sidecar);
        self.session.reporter.begin("parity", size, 0);
        let kept = "run the same command again to add parity";
        let made = self
            .session
            .blocking(kept, move |moved, stop| add_parity(&own, usize::from(number), sidecar, moved, stop));
        let made = made.await;
        self.session.reporter.end();
        made?;
        Ok(())
    }
}
