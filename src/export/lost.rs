//! Images that an export loses: they are named in the report and left out when the plan is made again.

use std::collections::{BTreeSet, HashMap};

use super::resolve::manifest_cache::ManifestCache;
use super::write::blob_error::{BlobError, LostBlob};
use crate::app::failure::{ExitCode, Explain};
use crate::archive::{ArchiveError, ImageFault, InputError, Users};
use crate::image::Reference;
use crate::inputs::content_source::{ContentError, HeldError};
use crate::plan::{ExportPlan, Resolution};
use crate::session::run_report::RunReport;

const GONE: &str =
    "an earlier run resolved this image, but it no longer exists: resolve it again with --fresh";

/// Names every image that a lost blob affects. If an `earlier` run resolved an image, it may have been deleted since,
/// and then repeating the run does not help.
pub(crate) fn report_lost(
    plan: &ExportPlan,
    cache: &ManifestCache,
    lost: &[LostBlob],
    earlier: bool,
    report: &mut RunReport,
) -> BTreeSet<usize> {
    let mut hit = BTreeSet::new();
    let users = Users::of(&plan.bundle, cache);
    let named = report.images.iter().enumerate().rev().map(|(at, row)| (row.name.clone(), at));
    let rows: HashMap<Reference, usize> = named.collect();
    for LostBlob { index, error } in lost {
        let digest = plan.bundle.blobs[*index].digest;
        let source = plan.source(*index).clone();
        let code = error.exit_code();
        for image in users.of_blob(&digest) {
            let row = rows.get(&plan.bundle.images[image].name);
            if let Some(row) = row.filter(|_| hit.insert(image)) {
                let why = error.to_string();
                let why = if why.contains(&digest.hex()) { why } else { format!("blob {digest}: {why}") };
                let hints = if earlier && is_gone(error) { vec![GONE.to_owned()] } else { Vec::new() };
                report.images[*row].failed(code, &source, &why, hints);
            }
        }
    }
    hit
}

/// Whether the registry answered that it does not have the blob.
fn is_gone(error: &BlobError) -> bool {
    matches!(error, BlobError::Content(error) if error.is_not_found())
}

/// What is wrong with content that was read from a file; none if it comes from a registry.
fn in_file(error: &BlobError) -> Option<&HeldError> {
    match error {
        BlobError::Content(ContentError::Held { why, .. }) => Some(why),
        _ => None,
    }
}

/// Whether a file that the blob was read from is damaged.
fn is_of_file(error: &BlobError) -> bool {
    match in_file(error) {
        None | Some(HeldError::Missing) => false,
        Some(HeldError::Source(error)) => error.get().calls_for() == Some(ExitCode::Content),
        Some(_) => true,
    }
}

/// Whether the blob is made from one in a file that was not named.
fn lacks_base(error: &BlobError) -> bool {
    let Some(HeldError::Source(error)) = in_file(error) else { return false };
    let error: &(dyn std::error::Error + 'static) = error.get();
    matches!(error.downcast_ref(), Some(ArchiveError::Input(InputError::NoBase(_))))
}

/// The hint for `lost` images.
pub(crate) fn way_on(lost: &[LostBlob], earlier: bool) -> &'static str {
    if earlier && lost.iter().all(|lost| is_gone(&lost.error)) {
        GONE
    } else if lost.iter().any(|lost| lacks_base(&lost.error)) {
        "name the bundle that it builds on with --fill-from BASE"
    } else if lost.iter().all(|lost| is_of_file(&lost.error)) {
        "get the damaged file again, or another copy of it; finished work is kept, and the same command then goes on"
    } else {
        "finished work is kept; run the same command again to resume"
    }
}

/// Records the images whose manifests contradict themselves or each other.
pub(crate) fn report_faults(
    resolution: &Resolution,
    faults: &[ImageFault],
    report: &mut RunReport,
) -> BTreeSet<usize> {
    let mut hit = BTreeSet::new();
    for fault in faults {
        let name = &resolution.images[fault.root].row.name;
        if let Some(row) = report.images.iter_mut().find(|row| row.name == *name) {
            row.failed(ExitCode::Content, &"", &fault.why, Vec::new());
        }
        hit.insert(fault.root);
    }
    hit
}

/// The resolution without the images at these positions.
pub(crate) fn without(resolution: Resolution, hit: &BTreeSet<usize>) -> Resolution {
    let images = resolution.images.into_iter().enumerate();
    Resolution { images: images.filter(|(at, _)| !hit.contains(at)).map(|(_, image)| image).collect() }
}
