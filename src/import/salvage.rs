//! `import --salvage`: imports what is intact, and writes a small request file for the rest.

use std::collections::HashMap;
use std::path::PathBuf;

use super::run::Sent;
use crate::app::text::typed;
use crate::archive::ImageStore;
use crate::archive::manifest::RequiredBlob;
use crate::image::{Digest, Repository};
use crate::plan::{ImportPlan, SalvageRequest};
use crate::report::{Reporter, count};
use crate::session::output_files;

/// Writes the request for the content that must be exported again, and prints its name.
pub(crate) fn ask_again(
    image_store: &dyn ImageStore,
    stem: &str,
    plan: &ImportPlan,
    sent: &Sent,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let Some(id) = image_store.id().filter(|_| !sent.damaged.is_empty()) else {
        return Ok(());
    };
    let is_damaged = |at: &u32| sent.damaged.binary_search(&(*at as usize)).is_ok();
    let hit = plan.image_uploads.iter().filter(|image_upload| image_upload.blobs.iter().any(is_damaged));
    let mut images: Vec<usize> = hit.map(|image_upload| image_upload.target.image).collect();
    images.sort_unstable();
    images.dedup();
    let bundle = image_store.bundle();
    let names: HashMap<&Repository, &Repository> = plan
        .image_uploads
        .iter()
        .map(|image_upload| &image_upload.target)
        .map(|target| (&target.repository, bundle.images[target.image].name.repository()))
        .collect();
    let of_them = plan
        .image_uploads
        .iter()
        .filter(|image_upload| images.binary_search(&image_upload.target.image).is_ok());
    let arrived = of_them.flat_map(|image_upload| &image_upload.blobs).filter(|at| !is_damaged(at));
    let arrived = arrived.map(|at| &plan.uploads[*at as usize]);
    let present = arrived.map(|upload| RequiredBlob {
        digest: upload.digest,
        repositories: names.get(&upload.home).map(|name| (*name).clone()).into_iter().collect(),
        size: upload.size,
    });
    let present = present.collect();
    let missing: Vec<Digest> = sent.damaged.iter().map(|at| plan.uploads[*at].digest).collect();
    let lost = missing.len();
    let request = SalvageRequest::new(bundle, id, &images, missing, present, image_store)?;
    let text = request.to_text()?;
    let name = format!("{}.request-{}.json", stem, Digest::sha256(text.as_bytes()).short());
    let path = PathBuf::from(name);
    output_files::write(&path, &text)?;
    reporter.say(&format!(
        "{} of {} cannot be read; the request for them is in {}\n  outside:  bundle export --request {}",
        count(lost, "blob"),
        count(images.len(), "image"),
        path.display(),
        typed(&path)
    ));
    Ok(())
}
