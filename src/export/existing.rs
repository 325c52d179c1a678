//! What is there already under the name of an export: the bundle itself, another one, and what was said of that.

use std::path::{Path, PathBuf};

use super::target;
use super::write::file_export::OldSidecars;
use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::{beside, folder_of};
use crate::archive::{LIST_SUFFIX, VolumeInput, volumes_of};
use crate::cli::WriteArgs;
use crate::image::Digest;
use crate::inputs::open_bundle::open_bundle;
use crate::plan::ExportPlan;
use crate::report::Reporter;
use crate::session::sidecar::{self, SIDECARS};

pub(crate) struct ExistingOutput<'a> {
    target: &'a Path,
    write: &'a WriteArgs,
    /// The bundle that is there, if one can be read.
    id: Option<Digest>,
}

impl<'a> ExistingOutput<'a> {
    pub(crate) fn under(target: &'a Path, write: &'a WriteArgs) -> Self {
        Self { target, write, id: open_bundle(target).ok().map(|found| found.id()) }
    }

    /// Whether what is there under this name is this very bundle, cut as it should be.
    pub(crate) fn is_complete(&self, plan: &ExportPlan) -> anyhow::Result<bool> {
        let (target, write) = (self.target, self.write);
        self.check_other_form(&plan.bundle.id()?)?;
        let volumes = VolumeInput::open(target);
        let is_there = match &volumes {
            Ok(None) => target.exists() && write.volume_size.is_none(),
            // A set that is not complete, or damaged, is there too.
            Ok(Some(_)) | Err(_) => write.volume_size.is_some(),
        };
        if !is_there || write.force {
            return Ok(false);
        }
        let list = volumes.ok().flatten().and_then(|volumes| volumes.list().cloned());
        let right_cut = list.map(|list| list.volume_size) == target::cut_size(write);
        let found = open_bundle(target).ok();
        let found = found.filter(|found| plan.bundle.id().is_ok_and(|id| found.id() == id));
        let is_signed_so = found.as_ref().is_some_and(|found| found.signature() == plan.signature.as_deref());
        if is_signed_so && right_cut {
            return Ok(true);
        }
        if found.is_some() && !is_signed_so {
            let what =
                if plan.signature.is_some() { "without this signature" } else { "with a signature in it" };
            return Err(Failure::new(ExitCode::Failed, format!("{} is complete, {what}", target.display()))
                .hint("sign it as it is with bundle sign, replace it with --force, or write elsewhere with -o FILE")
                .into());
        }
        Err(Failure::new(ExitCode::Failed, format!("{} exists and has other content", target.display()))
            .hint("replace it with --force, or write elsewhere with -o FILE")
            .into())
    }

    /// A file and volumes of one name share what lies beside them, and so are one bundle. What is there in the other form
    /// may be what this one is made of: it is never removed.
    fn check_other_form(&self, id: &Digest) -> anyhow::Result<()> {
        let target = self.target;
        let other = if self.write.volume_size.is_some() {
            target
                .is_file()
                .then(|| format!("{} is a file, which its volumes would lie beside", target.display()))
        } else {
            let is_own = |base: &PathBuf| base.file_name() == target.file_name();
            let cut = volumes_of(folder_of(target))?.iter().any(is_own);
            let first = [LIST_SUFFIX, ".001"].map(|suffix| beside(target, suffix));
            let found = || first.iter().find_map(|path| open_bundle(path).ok());
            (cut && found().is_none_or(|found| found.id() != *id))
                .then(|| format!("what lies in volumes at {} is another bundle", target.display()))
        };
        other.map_or(Ok(()), |why| {
            Err(Failure::new(ExitCode::Failed, why)
                .hint("write elsewhere with -o FILE, or move those files away first")
                .into())
        })
    }

    /// What was said of it, in signatures, statements and approvals: that goes with it where it may be replaced.
    pub(crate) fn stale(&self) -> OldSidecars {
        OldSidecars { of: self.id, files: if self.write.force { self.company() } else { Vec::new() } }
    }

    /// Says what stays beside bundle `id` that nobody knows to be about it.
    pub(crate) fn warn_of_strangers(&self, id: &Digest, reporter: &Reporter) {
        if self.id == Some(*id) {
            return;
        }
        let own = sidecar::written_with(self.write).into_iter();
        let own: Vec<PathBuf> = own.map(|suffix| beside(self.target, &suffix)).collect();
        for path in self.company().iter().filter(|path| path.exists() && !own.contains(path)) {
            let path = path.display();
            reporter
                .warn(&format!("{path} was there before and may be of another bundle: look, and remove it"));
        }
    }

    fn company(&self) -> Vec<PathBuf> {
        SIDECARS.into_iter().map(|suffix| beside(self.target, suffix)).collect()
    }
}
