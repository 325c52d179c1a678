//! The tags of a repository. Pages are followed within bounds.

use reqwest::Method;
use serde::Deserialize;

use super::RegistryClient;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::http::{Call, Target};
use super::location::next_page;
use super::token::Scope;
use crate::image::Repository;

/// One page of a list of tags (distribution-spec, "Listing Tags").
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

const PAGE_SIZE: usize = 1000;
/// All pages of a list together, in bytes.
pub(super) const MAX_BYTES: usize = 32 << 20;
pub(super) const MAX_PAGES: usize = 1000;
pub(super) const MAX_ENTRIES: usize = 200_000;

impl RegistryClient {
    /// All tags of a repository, in the registry's order.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let host = self.0.host(repository.host());
        let what = format!("tags of {repository}");
        let mut target = Target::Path(format!("/v2/{}/tags/list?n={PAGE_SIZE}", repository.path()));
        let (mut tags, mut read) = (Vec::new(), 0);
        for _ in 0..MAX_PAGES {
            let mut call = Call::new(&host, Method::GET, target, what.clone());
            call.scope = Scope::pull(repository.path());
            let answer = self.0.send(&call).await?;
            if answer.status.as_u16() != 200 {
                return Err(call.refusal(answer).await);
            }
            let next = answer.header("link").and_then(|link| next_page(&answer.url, link));
            let body = answer.read(self.0.options.max_manifest).await.map_err(|kind| call.error(kind))?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|_| call.error(ErrorKind::Protocol("the list of tags cannot be read".to_owned())))?;
            read += body.len();
            if read > MAX_BYTES {
                break;
            }
            tags.extend(page.tags.into_iter().flatten());
            match next {
                Some(url) if tags.len() < MAX_ENTRIES => target = Target::Url(url),
                Some(_) => break,
                None => return Ok(tags),
            }
        }
        Err(RegistryError::new(repository.host(), what, endless()))
    }
}

pub(super) fn endless() -> ErrorKind {
    ErrorKind::Protocol("the list is too long, or has no end".to_owned())
}
