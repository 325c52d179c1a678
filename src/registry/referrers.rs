//! Referrers of a manifest: signatures, SBOMs, attestations (distribution-spec, "Listing Referrers").
//!
//! Where a registry has no referrers API, the list stands under a fallback tag, and whoever pushes a referrer keeps it.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use serde_json::{Value, json};

use super::RegistryClient;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::http::{Call, Target};
use super::listing::{MAX_BYTES, MAX_PAGES, endless};
use super::location::next_page;
use super::manifests::ManifestTarget;
use super::pace::locked;
use super::token::Scope;
use crate::image::{Descriptor, Digest, ParsedManifest, RawManifest, Repository, media_type, referrers_tag};

/// Maximum number of referrers of one manifest.
const MAX_REFERRERS: usize = 10_000;

/// Rounds of reading the list, adding to it and reading it again, should others write to it at the same time.
const LIST_ROUNDS: usize = 5;

/// What refers to a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    pub descriptors: Vec<Descriptor>,
    /// The registry maintains the list itself. Otherwise a client that pushes a referrer updates the fallback tag.
    pub api_supported: bool,
}

impl RegistryClient {
    /// All referrers of the manifest `digest`; none if there are none.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Referrers, RegistryError> {
        let host = self.0.host(repository.host());
        if locked(&host.without_referrers).contains(repository.path()) {
            return self.fallback(repository, digest).await;
        }
        let path = format!("/v2/{}/referrers/{digest}", repository.path());
        let what = described(repository, digest);
        let mut target = Target::Path(path);
        let (mut descriptors, mut read) = (Vec::new(), 0);
        for page in 0..MAX_PAGES {
            let mut call = Call::new(&host, Method::GET, target, what.clone());
            call.headers.insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
            call.scope = Scope::pull(repository.path());
            let answer = self.0.send(&call).await?;
            match answer.status.as_u16() {
                200 if answer.media_type().is_some_and(media_type::is_index) => {}
                // Anything but an index is what a registry without this endpoint answers; some want a login for it that
                // they do not ask for (goharbor/harbor#18305).
                200 | 400 | 401 | 403 | 404 | 405 | 406 | 501 if page == 0 => {
                    drop(answer);
                    locked(&host.without_referrers).insert(repository.path().to_owned());
                    return self.fallback(repository, digest).await;
                }
                _ => return Err(call.refusal(answer).await),
            }
            let next = answer.header("link").and_then(|link| next_page(&answer.url, link));
            let body = answer.read(self.0.options.max_manifest).await.map_err(|kind| call.error(kind))?;
            let index = ParsedManifest::of(&body, Some(media_type::OCI_INDEX))
                .map_err(|error| call.error(ErrorKind::Content(error.to_string())))?;
            descriptors.extend(index.manifests);
            read += body.len();
            match next {
                _ if descriptors.len() > MAX_REFERRERS || read > MAX_BYTES => break,
                Some(url) => target = Target::Url(url),
                None => {
                    return Ok(Referrers { descriptors, api_supported: true });
                }
            }
        }
        Err(RegistryError::new(repository.host(), what, endless()))
    }

    async fn fallback(&self, repository: &Repository, digest: &Digest) -> Result<Referrers, RegistryError> {
        let target = ManifestTarget::Tag(referrers_tag(digest));
        // A HEAD is free where GETs are counted, and most manifests have no referrers.
        if self.head_manifest(repository, &target).await?.is_none() {
            return Ok(Referrers::default());
        }
        let fetched = match self.manifest(repository, &target).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_not_found() => return Ok(Referrers::default()),
            Err(error) => return Err(error),
        };
        let index = fetched.manifest.parse().map_err(|error| {
            RegistryError::new(
                repository.host(),
                described(repository, digest),
                ErrorKind::Content(error.to_string()),
            )
        })?;
        Ok(Referrers { descriptors: index.manifests, api_supported: false })
    }

    /// Adds `referrers` of `subject` to the list under the fallback tag; for registries that did not confirm with
    /// `OCI-Subject` that they keep it themselves (distribution-spec, "Pushing Manifests with Subject").
    pub async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrers: &[Descriptor],
    ) -> Result<(), RegistryError> {
        let host = self.0.host(repository.host());
        let key = (repository.path().to_owned(), *subject);
        let list = Arc::clone(locked(&host.fallback_lists).entry(key).or_default());
        let _alone = list.lock().await;
        let target = ManifestTarget::Tag(referrers_tag(subject));
        for round in 0..LIST_ROUNDS {
            if round > 1 {
                tokio::time::sleep(self.0.options.backoff_base).await;
            }
            let current = match self.manifest(repository, &target).await {
                Ok(fetched) => Some(fetched.manifest),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let Some(longer) = with_referrers(current.as_ref(), referrers) else {
                return Ok(());
            };
            let fail = |why| RegistryError::new(repository.host(), described(repository, subject), why);
            if longer.len() > self.0.options.max_manifest {
                let why = format!("their list would be larger than {} bytes", self.0.options.max_manifest);
                return Err(fail(ErrorKind::Content(why)));
            }
            let longer = RawManifest::new(longer.into(), Some(media_type::OCI_INDEX), None)
                .map_err(|error| fail(ErrorKind::Content(error.to_string())))?;
            self.put_manifest(repository, &target, &longer).await?;
        }
        let why = "another program changes their list at the same time".to_owned();
        Err(RegistryError::new(repository.host(), described(repository, subject), ErrorKind::Broken(why)))
    }
}

/// The list with the missing entries added; none if it has all. A document that is not an index counts as an empty list.
fn with_referrers(current: Option<&RawManifest>, referrers: &[Descriptor]) -> Option<Vec<u8>> {
    let empty = || json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] });
    let current = current.filter(|manifest| media_type::is_index(&manifest.media_type));
    let parsed = current.and_then(|manifest| manifest.parse().ok());
    let listed: Vec<Digest> = parsed.iter().flat_map(|p| &p.manifests).map(|d| d.digest).collect();
    let mut list = current.and_then(|m| serde_json::from_slice(&m.bytes).ok()).unwrap_or_else(empty);
    let new = referrers.iter().filter(|referrer| !listed.contains(&referrer.digest));
    let new: Vec<Value> = new.map(Descriptor::to_json).collect();
    if new.is_empty() {
        return None;
    }
    match list.get_mut("manifests").and_then(Value::as_array_mut) {
        Some(manifests) => manifests.extend(new),
        None => list["manifests"] = new.into(),
    }
    Some(list.to_string().into_bytes())
}

fn described(repository: &Repository, subject: &Digest) -> String {
    format!("referrers of {repository}@{subject}")
}
