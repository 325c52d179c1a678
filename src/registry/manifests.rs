//! Manifests: fetched and checked against their own hash, pushed byte for byte.

use std::sync::atomic::Ordering;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::answer::Answer;
use super::body::Payload;
use super::client::RegistryClient;
use super::error::RegistryError;
use super::error_kind::{ErrorClass, ErrorKind};
use super::fetched_manifest::FetchedManifest;
use super::host::Host;
use super::http::{ABSENCES, Call, Retries, Target};
use super::pace::locked;
use super::retry::RateLimit;
use super::stats::RequestKind;
use super::token::Scope;
use crate::image::{Digest, RawManifest, Repository, Tag, media_type};

/// A manifest up to this many bytes is refused by no registry for its size.
const SMALL_MANIFEST: u64 = 1 << 20;
/// Tries for a manifest that the registry does not take: because it does not see the blobs yet, or because it cannot.
const TRIES: u32 = 3;

/// Which manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestTarget {
    Tag(Tag),
    Digest(Digest),
}

impl ManifestTarget {
    fn reference(&self) -> String {
        match self {
            Self::Tag(tag) => tag.as_str().to_owned(),
            Self::Digest(digest) => digest.to_string(),
        }
    }

    fn described(&self, repository: &Repository) -> String {
        match self {
            Self::Tag(tag) => format!("manifest {repository}:{tag}"),
            Self::Digest(digest) => format!("manifest {repository}@{digest}"),
        }
    }
}

/// What a registry said to a pushed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifest {
    /// The registry keeps the referrers of the manifest's subject itself (`OCI-Subject`).
    pub subject_recorded: bool,
    /// The digest it confirmed, if it named one.
    pub digest: Option<Digest>,
}

/// What a registry gives out where a manifest should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenOut {
    Same,
    /// Content with this digest, or a digest in its headers that the content does not have.
    Other(Digest),
    Nothing,
}

impl RegistryClient {
    /// Fetches a manifest. Its digest is that of the bytes received; by digest, the two must be the same. By tag, where
    /// the registry names another digest than that, what it has under that one counts, and else a warning is noted.
    pub async fn manifest(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
    ) -> Result<FetchedManifest, RegistryError> {
        let host = self.0.host(repository.host());
        let call = manifest_call(&host, Method::GET, repository, target);
        let mut retries = Retries::new(&self.0, &host);
        loop {
            let answer = self.0.send(&call).await?;
            if answer.status.as_u16() != 200 {
                return Err(call.refusal(answer).await);
            }
            if answer.is_html() {
                let kind =
                    ErrorKind::NotARegistry("it answers a manifest request with an HTML page".to_owned());
                return Err(call.error(kind));
            }
            match self.read_manifest(answer, target).await {
                Ok((fetched, Some(claimed))) if matches!(target, ManifestTarget::Tag(_)) => {
                    return self.as_claimed(repository, target, fetched, &claimed).await;
                }
                Ok((fetched, _)) => {
                    locked(&self.0.fetched).insert((repository.clone(), fetched.manifest.digest));
                    return Ok(fetched);
                }
                Err(kind) => retries.after(call.error(kind)).await?,
            }
        }
    }

    /// Whether this client has fetched that manifest from there.
    pub fn has_fetched(&self, repository: &Repository, digest: &Digest) -> bool {
        locked(&self.0.fetched).contains(&(repository.clone(), *digest))
    }

    /// Decides between what came by `target` and the digest that the registry `claimed` for it: something on the way
    /// may have altered the one, or the registry be wrong about the other.
    async fn as_claimed(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
        came: FetchedManifest,
        claimed: &str,
    ) -> Result<FetchedManifest, RegistryError> {
        if let Ok(digest) = claimed.parse() {
            let named = Box::pin(self.manifest(repository, &ManifestTarget::Digest(digest))).await;
            match named {
                Err(error) if !error.is_transient() => {}
                named => return named,
            }
        }
        let what = target.described(repository);
        self.0.warn(
            repository.host(),
            &format!("another digest ({claimed}) is named for {what} than what was sent has"),
        );
        Ok(came)
    }

    /// Fetches a manifest that another one refers to. Caches have the one a moment before the other, so that what
    /// is not there is asked for again before it counts as missing.
    pub async fn referred_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<FetchedManifest, RegistryError> {
        let host = self.0.host(repository.host());
        let mut retries = Retries::new(&self.0, &host);
        loop {
            match self.manifest(repository, &ManifestTarget::Digest(*digest)).await {
                Err(error) if error.is_not_found() && retries.failures() < ABSENCES => {
                    retries.after_any(error).await?;
                }
                result => return result,
            }
        }
    }

    /// The manifest, and the digest that the registry claims for it where that is another.
    async fn read_manifest(
        &self,
        answer: Answer,
        target: &ManifestTarget,
    ) -> Result<(FetchedManifest, Option<String>), ErrorKind> {
        let stated = answer.media_type().map(str::to_owned);
        let header = answer.header("docker-content-digest").map(|text| super::redact::clean(text, 200));
        let warnings = answer.warnings();
        let rate_limit = RateLimit::of(&answer.headers);
        let length = answer.content_length();
        let cap = self.0.options.max_manifest;
        if length.is_some_and(|length| length > cap as u64) {
            return Err(ErrorKind::Content(format!("the manifest is larger than {cap} bytes")));
        }
        // Nobody asked for one. What is in gzip is unpacked; the digest decides whether it is the manifest then.
        let encoding =
            answer.header("content-encoding").filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        let encoding = encoding.map(|encoding| super::redact::clean(encoding, 40));
        let refuse = |why: String| {
            let encoded =
                encoding.as_ref().map(|encoding| format!(" (it came in content-encoding {encoding})"));
            ErrorKind::Content(why + &encoded.unwrap_or_default())
        };
        let bytes = answer.read(cap).await?;
        let pinned = match target {
            ManifestTarget::Digest(digest) => Some(digest),
            ManifestTarget::Tag(_) => None,
        };
        if let Some(pinned) = pinned {
            let actual = Digest::of(pinned.algorithm(), &bytes);
            if actual != *pinned {
                return Err(refuse(format!("the registry sent other content: its digest is {actual}")));
            }
        }
        let manifest =
            RawManifest::new(bytes, stated.as_deref(), pinned).map_err(|error| refuse(error.to_string()))?;
        let claimed = header.filter(|claimed| match claimed.parse::<Digest>() {
            Ok(claimed) => Digest::of(claimed.algorithm(), &manifest.bytes) != claimed,
            Err(_) => true,
        });
        Ok((FetchedManifest { manifest, warnings, rate_limit }, claimed))
    }

    /// The digest of a manifest, without its body where the registry can do that; `None` if it is not there.
    ///
    /// A hint until the manifest itself has been fetched: a header is what the registry claims.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
    ) -> Result<Option<Digest>, RegistryError> {
        let host = self.0.host(repository.host());
        let call = manifest_call(&host, Method::HEAD, repository, target);
        let answer = self.0.send(&call).await?;
        let status = answer.status.as_u16();
        if status == 200
            && let Some(Ok(digest)) = answer.header("docker-content-digest").map(str::parse)
        {
            return Ok(Some(digest));
        }
        if status == 404 && host.head_tells_absence.load(Ordering::Relaxed) {
            return Ok(None);
        }
        drop(answer);
        // HEAD is refused or mute at some registries, and its refusal cannot explain itself.
        match self.manifest(repository, target).await {
            Ok(fetched) => Ok(Some(fetched.manifest.digest)),
            Err(error) if error.is_not_found() => {
                host.head_tells_absence.fetch_or(status == 404, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The digest of what is under `target`; `None` if there is nothing. A digest is believed once its manifest has come:
    /// some registries say yes to any. For a tag, the digest they name says enough.
    pub async fn has_manifest(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
    ) -> Result<Option<Digest>, RegistryError> {
        if matches!(target, ManifestTarget::Tag(_)) {
            return self.head_manifest(repository, target).await;
        }
        match self.manifest(repository, target).await {
            Ok(fetched) => Ok(Some(fetched.manifest.digest)),
            // What is damaged there is not there.
            Err(error) if matches!(error.class(), ErrorClass::NotFound | ErrorClass::Content) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the registry gives out `wanted` under `target`, byte for byte: no header is trusted, except against it,
    /// as nodes believe the digest it names.
    pub async fn gives_out(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
        wanted: &RawManifest,
    ) -> Result<GivenOut, RegistryError> {
        let host = self.0.host(repository.host());
        let call = manifest_call(&host, Method::GET, repository, target);
        let answer = self.0.send(&call).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(GivenOut::Nothing),
            _ => return Err(call.refusal(answer).await),
        }
        let named = answer.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let bytes = answer.read(self.0.options.max_manifest).await.map_err(|kind| call.error(kind))?;
        Ok(match named {
            _ if bytes != wanted.bytes => GivenOut::Other(Digest::of(wanted.digest.algorithm(), &bytes)),
            Some(named) if !wanted.is_named(&named) => GivenOut::Other(named),
            _ => GivenOut::Same,
        })
    }

    /// Pushes exactly the bytes of `manifest`. Repeats where the registry does not see the blobs yet.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
        manifest: &RawManifest,
    ) -> Result<PutManifest, RegistryError> {
        let host = self.0.host(repository.host());
        let mut call = manifest_call(&host, Method::PUT, repository, target);
        call.headers.clear();
        if let ManifestTarget::Digest(digest) = target
            && *digest != Digest::of(digest.algorithm(), &manifest.bytes)
        {
            return Err(
                call.error(ErrorKind::Content("the manifest's content has another digest".to_owned()))
            );
        }
        let content_type = HeaderValue::from_str(&manifest.media_type)
            .map_err(|_| call.error(ErrorKind::Content("the media type cannot be sent".to_owned())))?;
        call.headers.insert(CONTENT_TYPE, content_type);
        (call.payload, call.retry) = (Payload::Bytes(manifest.bytes.clone()), false);
        if manifest.size() > SMALL_MANIFEST {
            // Registries that refuse a large one say less about it.
            call.what = format!("{} of {} bytes", call.what, manifest.size());
        }
        let mut retries = Retries::new(&self.0, &host);
        loop {
            let answer = match self.0.send(&call).await {
                Ok(answer) => answer,
                // Some answer so to a manifest that they will never take.
                Err(error) if error.status() == Some(500) && retries.failures() + 1 >= TRIES => {
                    return Err(error);
                }
                Err(error) => {
                    retries.after(error).await?;
                    continue;
                }
            };
            if answer.status.is_success() && answer.is_html() {
                let evidence = "it answers a pushed manifest with an HTML page".to_owned();
                return Err(call.error(ErrorKind::NotARegistry(evidence)));
            }
            if matches!(answer.status.as_u16(), 200 | 201 | 202 | 204) {
                let digest = answer.header("docker-content-digest").and_then(|text| text.parse().ok());
                return Ok(PutManifest {
                    subject_recorded: answer.headers.contains_key("oci-subject"),
                    digest,
                });
            }
            let error = call.refusal(answer).await;
            if !error.lacks_content() || retries.failures() + 1 >= TRIES {
                return Err(error);
            }
            retries.after_any(error).await?;
        }
    }
}

fn manifest_call<'a>(
    host: &'a Host,
    method: Method,
    repository: &Repository,
    target: &ManifestTarget,
) -> Call<'a> {
    let path = format!("/v2/{}/manifests/{}", repository.path(), target.reference());
    let (scope, kind) = match method {
        Method::HEAD => (Scope::pull(repository.path()), RequestKind::ManifestHead),
        Method::PUT => (Scope::push(repository.path()), RequestKind::ManifestPut),
        _ => (Scope::pull(repository.path()), RequestKind::ManifestGet),
    };
    let mut call = Call::new(host, method, Target::Path(path), target.described(repository));
    call.headers.insert(ACCEPT, HeaderValue::from_static(media_type::ACCEPT_MANIFESTS));
    (call.scope, call.kind) = (scope, kind);
    if let ManifestTarget::Digest(digest) = target {
        call.about.algorithm = Some(digest.algorithm());
    }
    call
}
