//! Images that an export loses: named in the report, and left out of what is planned again.

use std::collections::{BTreeSet, HashMap};

use super::resolve::manifest_cache::ManifestCache;
use super::write::blob_error::{BlobError, LostBlob};
use crate::app::failure::{ExitCode, Explain};
use crate::archive::{ImageFault, Users};
use crate::image::Reference;
use crate::plan::{ExportPlan, Resolution};
use crate::session::run_report::RunReport;

const GONE: &str = "an earlier run resolved this image, and it is gone since then: --fresh resolves it again";

/// Names every image that a lost blob costs. What was resolved by an `earlier` run may be gone since then, which no
/// repetition brings back.
pub(crate) fn report_lost(
    plan: &ExportPlan,
    spool: &ManifestCache,
    lost: &[LostBlob],
    earlier: bool,
    report: &mut RunReport,
) -> BTreeSet<usize> {
    let mut hit = BTreeSet::new();
    let users = Users::of(&plan.bundle, spool);
    let named = report.images.iter().enumerate().rev().map(|(at, row)| (row.name.clone(), at));
    let rows: HashMap<Reference, usize> = named.collect();
    for LostBlob { index, error } in lost {
        let digest = plan.bundle.blobs[*index].digest;
        let source = plan.source(*index).clone();
        let code = error.exit_code();
        for image in users.of_blob(&digest) {
            let row = rows.get(&plan.bundle.images[image].name);
            if let Some(row) = row.filter(|_| hit.insert(image)) {
                let why = format_args!("blob {digest}: {error}");
                let hints = if earlier && is_gone(error) { vec![GONE.to_owned()] } else { Vec::new() };
                report.images[*row].failed(code, &source, &why, hints);
            }
        }
    }
    hit
}

/// Whether the registry has no such blob.
fn is_gone(error: &BlobError) -> bool {
    matches!(error, BlobError::Content(error) if error.is_not_found())
}

/// The way on, after `lost`.
pub(crate) fn way_on(lost: &[LostBlob], earlier: bool) -> &'static str {
    if earlier && lost.iter().all(|lost| is_gone(&lost.error)) {
        GONE
    } else {
        "what is done is kept; run the same command again to go on"
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
