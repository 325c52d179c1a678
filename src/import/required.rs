//! The base of a delta: every blob that the delta does not carry must be at the destination before anything is sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::StreamExt;

use crate::app::failure::{ExitCode, Failure};
use crate::archive::BundleManifest;
use crate::archive::manifest::{RequiredBlob, Requires};
use crate::destination::{Destination, Mapping};
use crate::image::{Digest, Repository};
use crate::plan::{ImportPlan, Upload};
use crate::registry::{ErrorClass, RegistryClient, RegistryError};
use crate::report::count;
use crate::session::{NOTHING_SENT, Session};

/// Searches a destination for the blobs of a base.
pub(crate) struct BaseSearch<'a> {
    pub(crate) session: &'a Session,
    pub(crate) client: &'a RegistryClient,
    pub(crate) destination: &'a Destination,
    pub(crate) bundle: &'a BundleManifest,
    pub(crate) mapping: Mapping,
    pub(crate) jobs: usize,
}

impl BaseSearch<'_> {
    /// Finds, for each blob that `plan` needs and the bundle does not carry, a repository at the destination, by
    /// position in the plan's uploads. All missing blobs are reported together, with the base that has them.
    pub(crate) async fn find_all(
        &self,
        plan: &ImportPlan,
        requires: &Requires,
    ) -> Result<Vec<(usize, Repository)>, Failure> {
        let rows: HashMap<Digest, &RequiredBlob> = requires.blobs.iter().map(|b| (b.digest, b)).collect();
        let required: Vec<usize> = (0..plan.uploads.len()).filter(|at| !plan.uploads[*at].carried).collect();
        let reporter = &self.session.reporter;
        reporter.begin_count("looking for the blobs of the base", required.len() as u64);
        let uploads = &plan.uploads;
        let asked = futures_util::stream::iter(required)
            .map(|at| {
                let row = rows.get(&uploads[at].digest).copied();
                async move {
                    let found = self.find(&uploads[at], row).await;
                    reporter.step();
                    (at, found)
                }
            })
            .buffer_unordered(self.jobs)
            .collect::<Vec<_>>();
        let mut asked = self.session.stoppable(NOTHING_SENT, asked).await?;
        reporter.end();
        asked.sort_by_key(|(at, _)| *at);
        let (mut held, mut lacking) = (Vec::new(), Vec::new());
        for (at, found) in asked {
            match found.map_err(|error| Failure::of(&error))? {
                Some(repository) => held.push((at, repository)),
                None => lacking.push(at),
            }
        }
        if lacking.is_empty() { Ok(held) } else { Err(self.without_base(plan, requires, &lacking)) }
    }

    /// The first repository that has the blob. It tries the blob's home, then those of the base under either mapping of
    /// names; if the base does not list repositories, then those of all images in this bundle.
    async fn find(
        &self,
        upload: &Upload,
        row: Option<&RequiredBlob>,
    ) -> Result<Option<Repository>, RegistryError> {
        let unnamed = row.is_none_or(|row| row.repositories.is_empty());
        let all = self.bundle.images.iter().filter(|_| unnamed).map(|image| image.name.repository());
        let named: Vec<&Repository> = row.into_iter().flat_map(|row| &row.repositories).chain(all).collect();
        let mapped = self.mapped(&named);
        let mut places = vec![upload.home.clone()];
        places.extend(upload.held_by.iter().cloned().chain(mapped));
        self.first_with(&upload.digest, upload.size, places).await
    }

    /// Where the destination has each of these blobs, as far as it has them.
    pub(crate) async fn find_rows(
        &self,
        rows: &[&RequiredBlob],
    ) -> Result<HashMap<Digest, Repository>, Failure> {
        let asked = futures_util::stream::iter(rows.iter().copied())
            .map(|row| async move {
                let places = self.mapped(&row.repositories.iter().collect::<Vec<_>>());
                (row.digest, self.first_with(&row.digest, row.size, places).await)
            })
            .buffer_unordered(self.jobs)
            .collect::<Vec<_>>();
        let mut found = HashMap::new();
        for (digest, place) in self.session.stoppable(NOTHING_SENT, asked).await? {
            if let Some(place) = place.map_err(|error| Failure::of(&error))? {
                found.insert(digest, place);
            }
        }
        Ok(found)
    }

    /// The repositories of the destination for these names, under either mapping.
    fn mapped(&self, names: &[&Repository]) -> Vec<Repository> {
        let other = Mapping { keep_host: !self.mapping.keep_host, ..self.mapping };
        let mapped = [self.mapping, other].into_iter().flat_map(|mapping| {
            let paths = names.iter().flat_map(move |name| mapping.paths(name));
            paths.filter_map(|path| self.destination.path(&path).ok())
        });
        mapped.collect()
    }

    /// The first of `places` that has the blob.
    async fn first_with(
        &self,
        digest: &Digest,
        size: u64,
        places: Vec<Repository>,
    ) -> Result<Option<Repository>, RegistryError> {
        let mut seen = HashSet::new();
        for place in places.into_iter().filter(|place| seen.insert(place.clone())) {
            match self.client.has_blob(&place, digest).await {
                Ok(Some(found)) if found == size => return Ok(Some(place)),
                Ok(_) => {}
                // A repository that may not be read cannot be mounted from either.
                Err(error) if error.class() == ErrorClass::Denied => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn without_base(&self, plan: &ImportPlan, requires: &Requires, lacking: &[usize]) -> Failure {
        let bundle = self.bundle;
        let mut of_images: BTreeMap<usize, usize> = BTreeMap::new();
        for image_upload in &plan.image_uploads {
            let of_image = of_images.entry(image_upload.target.image).or_default();
            let lacks = |at: &&u32| lacking.contains(&(**at as usize));
            *of_image = (*of_image).max(image_upload.blobs.iter().filter(lacks).count());
        }
        let lines: Vec<String> = of_images
            .into_iter()
            .filter(|(_, lacking)| *lacking > 0)
            .map(|(image, lacking)| format!("{}: {}", bundle.images[image].name, count(lacking, "blob")))
            .collect();
        let message = format!(
            "{} lacks {} that this delta builds on:\n{}",
            self.destination,
            count(lacking.len(), "blob"),
            lines.join("\n")
        );
        Failure::new(ExitCode::Failed, message)
            .hint(format!("import its base first: the bundle with the id {}", requires.base))
            .hint("or add the missing blobs where the base is: bundle repack DELTA --fill-from BASE -o FILE")
    }
}
