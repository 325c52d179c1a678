//! Content discovery: tags, repositories, referrers.

use axum::http::header::LINK;
use serde_json::{Value, json};

use super::answer::{Answer, OCI_FILTERS_APPLIED, Refusal, header, json_answer};
use super::routes::{Query, Registry};
use super::store::RepositoryName;
use crate::image::{Descriptor, Digest, media_type};

pub(super) async fn tags(registry: &Registry, name: RepositoryName, query: &Query<'_>) -> Answer {
    let asked = name.clone();
    let tags = registry.read(move |store| store.tags(&asked)).await?;
    let tags = tags.iter().map(ToString::to_string).collect();
    let page = Page::of(tags, query)?;
    let body = json!({ "name": name.as_str(), "tags": page.items });
    Ok(page.answer(&format!("/v2/{name}/tags/list"), &body))
}

pub(super) async fn catalog(registry: &Registry, query: &Query<'_>) -> Answer {
    let names = registry.read(|store| store.repositories()).await?;
    let page = Page::of(names.iter().map(ToString::to_string).collect(), query)?;
    let body = json!({ "repositories": page.items });
    Ok(page.answer("/v2/_catalog", &body))
}

/// One page of a sorted list, and how to ask for the next.
struct Page {
    items: Vec<String>,
    next: Option<String>,
}

impl Page {
    fn of(mut items: Vec<String>, query: &Query<'_>) -> Result<Self, Refusal> {
        if let Some(last) = query.get("last") {
            let start = items.partition_point(|item| *item <= last);
            items.drain(..start);
        }
        let Some(n) = query.get("n") else {
            return Ok(Self { items, next: None });
        };
        let refuse = |_| Refusal::bad("PAGINATION_NUMBER_INVALID", "n is not a number of entries");
        let n: usize = n.parse().map_err(refuse)?;
        let more = items.len() > n;
        items.truncate(n);
        // With n=0 there is no entry to go on from (distribution-spec, "Listing Tags": no Link then).
        let next = items.last().filter(|_| more).map(|last| {
            url::form_urlencoded::Serializer::new(String::new())
                .append_pair("n", &n.to_string())
                .append_pair("last", last)
                .finish()
        });
        Ok(Self { items, next })
    }

    fn answer(&self, path: &str, body: &Value) -> axum::http::Response<axum::body::Body> {
        let mut response = json_answer("application/json", body);
        if let Some(next) = &self.next {
            response.headers_mut().insert(LINK, header(&format!("<{path}?{next}>; rel=\"next\"")));
        }
        response
    }
}

pub(super) async fn referrers(
    registry: &Registry,
    name: RepositoryName,
    digest: Digest,
    query: &Query<'_>,
) -> Answer {
    let mut found = registry.read(move |store| store.referrers(&name, &digest)).await?;
    let filter = query.get("artifactType").filter(|wanted| !wanted.is_empty());
    if let Some(wanted) = &filter {
        found.retain(|referrer| referrer.artifact_type.as_deref() == Some(wanted));
    }
    let manifests: Vec<Value> = found.iter().map(Descriptor::to_json).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests });
    let mut response = json_answer(media_type::OCI_INDEX, &index);
    if filter.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, header("artifactType"));
    }
    Ok(response)
}
