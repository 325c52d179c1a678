//! What already exists under the name of an export: the same bundle, another bundle, and the files about it.

use std::path::{Path, PathBuf};

use super::target;
use super::write::file_export::OldSidecars;
use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::{beside, folder_of};
use crate::archive::{BundleReader, ImageStore, LIST_SUFFIX, VolumeInput, volumes_of};
use crate::cli::WriteArgs;
use crate::image::Digest;
use crate::inputs::open_bundle::open_bundle;
use crate::plan::ExportPlan;
use crate::report::Reporter;
use crate::session::sidecar::{self, SIDECARS};

pub(crate) struct ExistingOutput<'a> {
    target: &'a Path,
    write: &'a WriteArgs,
    /// The existing bundle, if it can be read.
    id: Option<Digest>,
}

impl<'a> ExistingOutput<'a> {
    pub(crate) fn under(target: &'a Path, write: &'a WriteArgs) -> Self {
        Self { target, write, id: open_bundle(target).ok().map(|found| found.id()) }
    }

    /// Whether the file that has this name is this same bundle, with the volumes of the requested size.
    pub(crate) fn is_complete(&self, plan: &ExportPlan) -> anyhow::Result<bool> {
        let (target, write) = (self.target, self.write);
        self.check_other_form(&plan.bundle.id()?)?;
        let volumes = VolumeInput::open(target);
        let is_there = match &volumes {
            Ok(None) => target.exists() && write.volume_size.is_none(),
            // An incomplete or damaged set exists too, and must not be overwritten silently.
            Ok(Some(_)) | Err(_) => write.volume_size.is_some(),
        };
        if !is_there || write.force {
            return Ok(false);
        }
        let list = volumes.ok().flatten().and_then(|volumes| volumes.list().cloned());
        let right_cut = list.map(|list| list.volume_size) == target::cut_size(write);
        let found = open_bundle(target).ok();
        let found = found.filter(|found| plan.bundle.id().is_ok_and(|id| found.id() == id));
        let is_made_so = |found: &BundleReader| found.references() == Some(&plan.compact);
        if found.as_ref().is_some_and(|found| !is_made_so(found)) {
            let message =
                format!("{} exists, with the same images in another compact form", target.display());
            return Err(Failure::new(ExitCode::Failed, message)
                .hint("replace it with --force, or write elsewhere with -o FILE")
                .into());
        }
        let is_signed_so = found.as_ref().is_some_and(|found| found.signature() == plan.signature.as_deref());
        if is_signed_so && right_cut {
            return Ok(true);
        }
        if found.is_some() && !is_signed_so {
            let what =
                if plan.signature.is_some() { "without this signature" } else { "with a signature in it" };
            return Err(Failure::new(
                ExitCode::Failed,
                format!("{} is already complete, {what}", target.display()),
            )
            .hint("sign that file with bundle sign, replace it with --force, or write elsewhere with -o FILE")
            .into());
        }
        Err(Failure::new(ExitCode::Failed, format!("{} exists and has other content", target.display()))
            .hint("replace it with --force, or write elsewhere with -o FILE")
            .into())
    }

    /// A file and volumes of the same name share their sidecar files, so they must be the same bundle. The other form
    /// may be the source of this export, so it is never removed.
    fn check_other_form(&self, id: &Digest) -> anyhow::Result<()> {
        let target = self.target;
        let other = if self.write.volume_size.is_some() {
            target.is_file().then(|| {
                format!("{} is a file; its volumes would have the same sidecar files", target.display())
            })
        } else {
            let is_own = |base: &PathBuf| base.file_name() == target.file_name();
            let cut = volumes_of(folder_of(target))?.iter().any(is_own);
            let first = [LIST_SUFFIX, ".001"].map(|suffix| beside(target, suffix));
            let found = || first.iter().find_map(|path| open_bundle(path).ok());
            (cut && found().is_none_or(|found| found.id() != *id))
                .then(|| format!("the volumes of {} are another bundle", target.display()))
        };
        other.map_or(Ok(()), |why| {
            Err(Failure::new(ExitCode::Failed, why)
                .hint("write elsewhere with -o FILE, or move those files away first")
                .into())
        })
    }

    /// The signatures, statements and approvals of the existing bundle, which are removed with it when it may be
    /// replaced.
    pub(crate) fn stale(&self) -> OldSidecars {
        OldSidecars { of: self.id, files: if self.write.force { self.company() } else { Vec::new() } }
    }

    /// Warns about sidecar files that stay beside bundle `id` although it is not known which bundle they are about.
    pub(crate) fn warn_of_strangers(&self, id: &Digest, reporter: &Reporter) {
        if self.id == Some(*id) {
            return;
        }
        let own = sidecar::written_with(self.write).into_iter();
        let own: Vec<PathBuf> = own.map(|suffix| beside(self.target, &suffix)).collect();
        for path in self.company().iter().filter(|path| path.exists() && !own.contains(path)) {
            let path = path.display();
            reporter.warn(&format!(
                "{path} existed before and may belong to another bundle: check it, and remove it"
            ));
        }
    }

    fn company(&self) -> Vec<PathBuf> {
        SIDECARS.into_iter().map(|suffix| beside(self.target, suffix)).collect()
    }
}
