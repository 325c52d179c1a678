//! The tags of a repository. Pages are followed within bounds.

use reqwest::Method;
use serde_json::Value;

use super::RegistryClient;
use super::error::{ErrorKind, RegistryError};
use super::http::{Call, Target};
use super::location::next_page;
use super::token::Scope;
use crate::image::Repository;

const PAGE_SIZE: usize = 1000;
pub(super) const MAX_PAGES: usize = 1000;
pub(super) const MAX_ENTRIES: usize = 200_000;

impl RegistryClient {
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

pub(super) fn endless() -> ErrorKind {
    ErrorKind::Protocol("the list has no end".to_owned())
}
