//! The bases of a compact bundle: blobs whose content its own blobs refer to. Each is read in an older bundle that was
//! named, or where the destination has it.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::required::BaseSearch;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::manifest::RequiredBlob;
use crate::archive::{ArchiveError, BaseSource, BlobRow, ImageStore, InputError, StoredBases};
use crate::image::{Digest, Repository};
use crate::inputs::remote_bases::download;
use crate::plan::ImportPlan;
use crate::registry::RegistryClient;
use crate::report::count;

/// Reads bases in older bundles, then at the destination.
#[derive(Debug)]
struct Found {
    stored: StoredBases,
    client: RegistryClient,
    places: HashMap<Digest, Repository>,
    runtime: Handle,
}

/// Finds the bases that the blobs of `plan` need, and lets `image_store` read them. Those that are nowhere are reported
/// together.
///
/// If `goes_on`, the import skips images that fail, so a damaged blob is no error here. What the blobs of a pipe need is not
/// known before they arrive: a base that is nowhere is an error once one of them needs it.
pub(super) async fn find(
    search: &BaseSearch<'_>,
    image_store: &dyn ImageStore,
    stored: StoredBases,
    plan: &ImportPlan,
    goes_on: bool,
) -> Result<usize, Failure> {
    let Some(references) = image_store.references().filter(|listed| !listed.references.is_empty()) else {
        return Ok(0);
    };
    let mut users = HashSet::new();
    // A pipe is read to its end, even if nothing is missing.
    let is_in_order = |blob: &BlobRow| image_store.bases_of(&blob.digest).is_ok_and(|bases| bases.is_none());
    let is_certain = !image_store.bundle().blobs.first().is_some_and(is_in_order);
    for upload in plan.uploads.iter().filter(|upload| upload.carried) {
        match image_store.bases_of(&upload.digest) {
            Ok(bases) => users.extend(bases.into_iter().flatten()),
            // It is damaged, so its image fails and others do not.
            Err(_) if goes_on => {}
            Err(error) => return Err(Failure::of(&error)),
        }
    }
    let mut needed: Vec<&RequiredBlob> = Vec::new();
    for (number, blob) in references.references.iter().enumerate() {
        let is_used = u32::try_from(number).is_ok_and(|number| users.contains(&number));
        if (is_used || !is_certain) && !stored.has(&blob.digest) {
            needed.push(blob);
        }
    }
    let places = search.find_rows(&needed).await?;
    let lacking: Vec<_> = needed.iter().filter(|blob| !places.contains_key(&blob.digest)).collect();
    if !is_certain && !lacking.is_empty() {
        let (lack, destination) = (count(lacking.len(), "blob"), search.destination);
        search.session.reporter.warn(&format!(
            "{destination} lacks {lack} from which blobs of this bundle may be made; where one is needed, the import fails: then \
             name the older bundle with --base FILE"
        ));
    }
    if is_certain && let Some(first) = lacking.first() {
        let (lack, destination) = (count(lacking.len(), "blob"), search.destination);
        let message = format!(
            "{destination} lacks {lack} from which blobs of this bundle are made, such as {}",
            first.digest
        );
        let base = references.base.map_or_else(String::new, |id| format!(": the bundle with the id {id}"));
        return Err(Failure::new(ExitCode::Failed, message)
            .hint(format!("import its base first{base}"))
            .hint("or name the file of that bundle with --base FILE"));
    }
    let found = needed.len() - lacking.len();
    let client = search.client.clone();
    image_store.read_bases_from(Arc::new(Found { stored, client, places, runtime: Handle::current() }));
    Ok(found)
}

impl BaseSource for Found {
    fn place(&self, blob: &RequiredBlob) -> String {
        match self.places.get(&blob.digest) {
            Some(place) if !self.stored.has(&blob.digest) => place.to_string(),
            _ => self.stored.place(blob),
        }
    }

    fn open(&self, blob: &RequiredBlob) -> Result<Box<dyn Read + Send>, ArchiveError> {
        if self.stored.has(&blob.digest) {
            return self.stored.open(blob);
        }
        let place =
            self.places.get(&blob.digest).ok_or(ArchiveError::Input(InputError::NoBase(blob.digest)))?;
        Ok(Box::new(download(&self.client, place, blob, &self.runtime)))
    }
}
