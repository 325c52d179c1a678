//! `--base`: what the destination already has, from a bundle, its `bundle.json`, an inventory, or a receipt.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::app::failure::{ExitCode, Failure};
use crate::app::foreign_text::{self, NotText};
use crate::app::small_file;
use crate::archive::manifest::{MEDIA_TYPE, Requires};
use crate::archive::{ArchiveError, BaseSource, BundleManifest, ImageStore, StoredBases};
use crate::cli::{BaseContentChoice, TrustArgs};
use crate::image::Digest;
use crate::inputs::base_contents::BaseContents;
use crate::inputs::remote_bases::SourceBases;
use crate::inputs::{open_bundle, trust};
use crate::plan::references::{layers_by_repository, layers_of};
use crate::plan::{Inventory, Request, base};
use crate::provenance::Receipt;
use crate::registry::RegistryClient;
use crate::session::sidecar;
use crate::signing::{Trust, is_statement};

/// Maximum length of JSON that is read as a base.
const MAX_JSON: u64 = 1 << 30;
/// Number of bytes that distinguish JSON from a bundle, including a byte order mark.
const HEAD: u64 = 4;

/// The fields that identify the type of a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preamble {
    #[serde(default)]
    media_type: String,
}

/// A base.
pub(crate) struct Base {
    pub(crate) requires: Requires,
    /// The bundle itself; none if only a list of its content was named.
    pub(crate) bundle: Option<Arc<dyn ImageStore>>,
}

impl Base {
    /// Lets the blobs of a compact bundle refer to the content of the base. Returns where it is read: in the bundle, or, if
    /// only a list was named, where `remote` has it. None if that is nowhere, or not wanted.
    pub(crate) fn refer(
        &self,
        request: &mut Request,
        wanted: BaseContentChoice,
        remote: Option<&RegistryClient>,
    ) -> anyhow::Result<Option<BaseContents>> {
        let is_required = match wanted {
            BaseContentChoice::None => return Ok(None),
            BaseContentChoice::Use => false,
            BaseContentChoice::Require => true,
        };
        let source: Arc<dyn BaseSource> = match (&self.bundle, remote) {
            (Some(bundle), _) => {
                request.old_layers = layers_of(&bundle.bundle().images, bundle.as_ref())?;
                Arc::new(StoredBases(vec![Arc::clone(bundle)]))
            }
            (None, Some(client)) => {
                request.old_layers = layers_by_repository(&self.requires);
                Arc::new(SourceBases::new(client.clone(), request))
            }
            (None, None) if is_required => {
                let message = "--base-content require: the base is a list of content, not a bundle with it";
                return Err(Failure::usage(message)
                    .hint("name the older bundle with --base, or leave out --base-content")
                    .into());
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(BaseContents::new(source, is_required)))
    }
}

/// Reads the base at `path`, if it meets the trust that the flags require.
pub(crate) fn load(path: &Path, args: &TrustArgs) -> anyhow::Result<Base> {
    let trust = trust::of(args, Some(path))?;
    if let Some(json) = json(path)? {
        return Ok(Base { requires: listed(path, &json, &trust)?, bundle: None });
    }
    let reader = open_bundle::open_trusted(path, &trust)?;
    let requires = base::of_bundle(reader.manifest(), reader.id(), &reader)?;
    Ok(Base { requires, bundle: Some(Arc::new(reader)) })
}

/// Reads the base at `path`, which is a list of content.
fn listed(path: &Path, json: &[u8], trust: &Trust) -> anyhow::Result<Requires> {
    let no_base = |why: String| {
        Failure::new(ExitCode::Content, format!("{}: {why}", path.display())).hint(
            "--base takes a bundle, its bundle.json, what bundle inspect -d REGISTRY --catalog FILE wrote, or the \
             receipt of an import",
        )
    };
    let untrusted = |why: String| {
        let message = format!("{}: {why}", path.display());
        Failure::new(ExitCode::Content, message)
            .hint("use a signed base: a bundle, or the receipt of an import (bundle sign FILE --key KEY)")
    };
    if is_statement(json) {
        sidecar::signer_of(path, json, trust)?.map_err(untrusted)?;
        return Ok(Receipt::parse(json).map_err(no_base)?.base(json));
    }
    let preamble: Preamble = serde_json::from_slice(json).map_err(|error| no_base(error.to_string()))?;
    match preamble.media_type.as_str() {
        MEDIA_TYPE => {
            trust.check(json, None).map_err(ArchiveError::from)?;
            Ok(base::of_manifest(&BundleManifest::from_bytes(json)?, Digest::sha256(json)))
        }
        other if Inventory::is(other) && trust.demands_signature() => {
            Err(untrusted("an inventory has no signature, but one is required".to_owned()).into())
        }
        other if Inventory::is(other) => Ok(Inventory::base(json)?),
        other => Err(no_base(format!("a document of the type {other:.100?} cannot be a base")).into()),
    }
}

/// The content of the bundle at `path`, or of its `bundle.json`, and its id.
pub(crate) fn bundle(path: &Path, args: &TrustArgs) -> anyhow::Result<(BundleManifest, Digest)> {
    let trust = trust::of(args, Some(path))?;
    let Some(json) = json(path)? else {
        let reader = open_bundle::open_trusted(path, &trust)?;
        return Ok((reader.manifest().clone(), reader.id()));
    };
    trust.check(&json, None).map_err(ArchiveError::from)?;
    Ok((BundleManifest::from_bytes(&json)?, Digest::sha256(&json)))
}

/// The content of the file at `path`, if it is JSON.
fn json(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let refuse = |error: std::io::Error| Failure::usage(format!("--base {}: {error}", path.display()));
    let mut head = Vec::new();
    let read = small_file::regular(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(refuse)?;
    let is_utf16 = matches!(foreign_text::text(&head), Err(NotText::Encoding(_)));
    if !is_utf16 && foreign_text::without_mark_bytes(&head).first() != Some(&b'{') {
        return Ok(None);
    }
    let text = foreign_text::named(path, MAX_JSON)
        .map_err(|error| Failure::unusable(error.about(format_args!("--base {}", path.display()))))?;
    let bytes = text.into_bytes();
    // A list of volumes is JSON too.
    let is_list = path.to_str().is_some_and(|name| name.ends_with(crate::archive::LIST_SUFFIX));
    Ok((!is_list).then_some(bytes))
}

/// The file name of a delta: it contains the id of its base.
pub(crate) fn delta_name(file_name: &str, base: &Digest) -> String {
    let stem = file_name.strip_suffix(".tar.zst").unwrap_or(file_name);
    format!("{stem}.delta-{}.tar.zst", &base.hex()[..8])
}
