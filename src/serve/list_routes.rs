//! Content discovery: tags, repositories, referrers.

use http::Response;
use http::header::{HeaderValue, LINK};
use serde_json::{Value, json};

use super::answer::{Answer, OCI_FILTERS_APPLIED, Refusal, header, json_answer};
use super::backend::Backend;
use super::body::Body;
use super::listing::{Listed, MAX_PAGE, Page};
use super::request::Query;
use super::store::RepositoryName;
use crate::image::{Descriptor, Digest, media_type};

pub(super) async fn tags(backend: &Backend, name: RepositoryName, query: &Query<'_>) -> Answer {
    let (asked, page) = (name.clone(), page(query)?);
    let most = page.most;
    let tags = backend.read(move |store| store.tags(&asked, &page)).await?;
    let body = json!({ "name": name.as_str(), "tags": tags.items });
    Ok(listed(&format!("/v2/{name}/tags/list"), most, &tags, &body))
}

pub(super) async fn catalog(backend: &Backend, query: &Query<'_>) -> Answer {
    let page = page(query)?;
    let most = page.most;
    let names = backend.read(move |store| store.repositories(&page)).await?;
    let body = json!({ "repositories": names.items });
    Ok(listed("/v2/_catalog", most, &names, &body))
}

fn page(query: &Query<'_>) -> Result<Page, Refusal> {
    let refuse = |_| Refusal::bad("PAGINATION_NUMBER_INVALID", "n is not a number of entries");
    let most = query.get("n").map(|n| n.parse().map_err(refuse)).transpose()?;
    Ok(Page { after: query.get("last"), most: most.unwrap_or(MAX_PAGE).min(MAX_PAGE) })
}

fn listed(path: &str, most: usize, list: &Listed, body: &Value) -> Response<Body> {
    let mut response = json_answer("application/json", body);
    // With n=0 there is no last entry to continue from, so there is no Link (distribution-spec, "Listing Tags").
    if let Some(last) = list.items.last().filter(|_| list.more) {
        let most = most.to_string();
        response.headers_mut().insert(LINK, next(path, &[("n", &most), ("last", last)]));
    }
    response
}

/// A link to the next page.
fn next(path: &str, query: &[(&str, &str)]) -> HeaderValue {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    header(&format!("<{path}?{query}>; rel=\"next\""))
}

pub(super) async fn referrers(
    backend: &Backend,
    name: RepositoryName,
    digest: Digest,
    query: &Query<'_>,
) -> Answer {
    let (asked, after) = (name.clone(), query.digest("last")?);
    let mut found = backend.read(move |store| store.referrers(&asked, &digest, after.as_ref())).await?;
    let filter = query.get("artifactType").filter(|wanted| !wanted.is_empty());
    if let Some(wanted) = &filter {
        found.descriptors.retain(|referrer| referrer.artifact_type.as_deref() == Some(wanted));
    }
    let manifests: Vec<Value> = found.descriptors.iter().map(Descriptor::to_json).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests });
    let mut response = json_answer(media_type::OCI_INDEX, &index);
    if let Some(last) = &found.next {
        let last = last.to_string();
        let mut query = vec![("last", &*last)];
        query.extend(filter.as_deref().map(|wanted| ("artifactType", wanted)));
        let link = next(&format!("/v2/{name}/referrers/{digest}"), &query);
        response.headers_mut().insert(LINK, link);
    }
    if filter.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, header("artifactType"));
    }
    Ok(response)
}
