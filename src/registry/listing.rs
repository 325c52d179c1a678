//! Lists: the tags of a repository, and the referrers of a manifest (signatures, SBOMs, attestations).
//!
//! Pages are followed within bounds. Without the referrers API the fallback tag is read (distribution-spec,
//! "Listing referrers").

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use serde_json::Value;

use super::RegistryClient;
use super::error::{ErrorKind, RegistryError};
use super::http::{Call, Target};
use super::location::next_page;
use super::manifests::ManifestTarget;
use super::pace::locked;
use super::token::Scope;
use crate::image::{Descriptor, Digest, ParsedManifest, Repository, media_type, referrers_tag};

const PAGE_SIZE: usize = 1000;
const MAX_PAGES: usize = 1000;
const MAX_ENTRIES: usize = 200_000;

/// What refers to a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    pub descriptors: Vec<Descriptor>,
    /// The registry keeps the list itself. If not, whoever pushes a referrer maintains the fallback tag.
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
        let what = format!("referrers of {repository}@{digest}");
        let mut target = Target::Path(path);
        let mut descriptors = Vec::new();
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
            match next {
                Some(url) if descriptors.len() < MAX_ENTRIES => target = Target::Url(url),
                Some(_) => break,
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
            let what = format!("referrers of {repository}@{digest}");
            RegistryError::new(repository.host(), what, ErrorKind::Content(error.to_string()))
        })?;
        Ok(Referrers { descriptors: index.manifests, api_supported: false })
    }

    /// All tags of a repository, in the registry's order.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let host = self.0.host(repository.host());
        let what = format!("tags of {repository}");
        let mut target = Target::Path(format!("/v2/{}/tags/list?n={PAGE_SIZE}", repository.path()));
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut call = Call::new(&host, Method::GET, target, what.clone());
            call.scope = Scope::pull(repository.path());
            let answer = self.0.send(&call).await?;
            if answer.status.as_u16() != 200 {
                return Err(call.refusal(answer).await);
            }
            let next = answer.header("link").and_then(|link| next_page(&answer.url, link));
            let body = answer.read(self.0.options.max_manifest).await.map_err(|kind| call.error(kind))?;
            let page: Value = serde_json::from_slice(&body)
                .map_err(|_| call.error(ErrorKind::Protocol("the list of tags is not JSON".to_owned())))?;
            let page = page.get("tags").and_then(Value::as_array);
            tags.extend(page.into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned)));
            match next {
                Some(url) if tags.len() < MAX_ENTRIES => target = Target::Url(url),
                Some(_) => break,
                None => return Ok(tags),
            }
        }
        Err(RegistryError::new(repository.host(), what, endless()))
    }
}

fn endless() -> ErrorKind {
    ErrorKind::Protocol("the list has no end".to_owned())
}
