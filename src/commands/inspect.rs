//! `bundle inspect`: what is in a bundle, from its head alone.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::app::failure::ExitCode;
use crate::app::text::one_line;
use crate::archive::manifest::SCHEMA_VERSION;
use crate::archive::{ArchiveError, BundleManifest, BundleReader, Form, ImageStore};
use crate::cli::{InspectArgs, ResultFormat};
use crate::export::text;
use crate::image::Digest;
use crate::inputs::{open_bundle, trust};
use crate::report::{bytes, count};
use crate::session::{Session, console};

/// The first version of this program that reads schema 1.
const OLDEST_READER: &str = "0.1.0";

pub(super) async fn run(session: &Session, args: &InspectArgs) -> anyhow::Result<ExitCode> {
    if let Some(destination) = &args.destination {
        return super::inventory::run(session, args, destination).await;
    }
    let opened = open_bundle::open_anywhere(args.bundle.as_deref(), &args.trust, &args.network)?;
    let own = opened.own;
    let bundle = opened.image_store.bundle();
    let shared = match &own {
        Some(reader) => reader.shared().to_vec(),
        None => text::shared_of(bundle, opened.image_store.as_ref()),
    };
    let id = opened.image_store.id().map(|id| id.to_string());
    match session.format {
        ResultFormat::Json => console::print_json(&json!({
            "id": id,
            "size": own.as_ref().map(BundleReader::file_len),
            "signed": own.as_ref().is_some_and(|reader| reader.signature().is_some()),
            "signedBy": trust::signed_by(&opened.vouched),
            "oldestReader": own.as_ref().map(|_| OLDEST_READER),
            "sharedBytes": shared,
            "layoutId": layout_id(bundle)?,
            "compact": own.as_ref().and_then(compact_json),
            "compactHead": own.as_ref().filter(|_| !bundle.profile.is_layout()).and_then(|own| own.references()),
            "bundle": bundle,
        }))?,
        ResultFormat::Human => {
            let path = args.bundle.as_deref().unwrap_or(Path::new(""));
            let signatures = trust::lines(&opened.vouched, path, opened.image_store.as_ref());
            let text = text(bundle, opened.image_store.as_ref(), &shared, id.as_deref(), own.is_some());
            let compact = own.as_ref().and_then(BundleReader::compaction);
            let compact = compact.map_or_else(String::new, text::compact)
                + &own.as_ref().and_then(|own| own.references()).map_or_else(String::new, text::made_from);
            let as_layout =
                layout_id(bundle)?.map_or_else(String::new, |id| format!("its id as a layout is {id}\n"));
            console::print(&(text + &compact + &as_layout + &signatures))?;
        }
    }
    Ok(ExitCode::Done)
}

/// The id that a compact bundle has after `bundle repack`.
fn layout_id(bundle: &BundleManifest) -> Result<Option<Digest>, ArchiveError> {
    (!bundle.profile.is_layout()).then(|| bundle.as_layout().id()).transpose()
}

/// The form of each blob of a compact bundle, and the bytes that it takes in the file.
fn compact_json(reader: &BundleReader) -> Option<serde_json::Value> {
    reader.compaction()?;
    let forms = reader.manifest().blobs.iter().enumerate().filter_map(|(index, blob)| {
        let form = reader.form(index)?;
        let name = match form {
            Form::Stored => "stored",
            Form::Compact(_) => "compact",
        };
        Some(json!({ "digest": blob.digest, "form": name, "size": blob.size, "held": form.len(blob) }))
    });
    Some(forms.collect())
}

fn text(
    bundle: &BundleManifest,
    image_store: &dyn ImageStore,
    shared: &[u64],
    id: Option<&str>,
    whole: bool,
) -> String {
    let mut text = text::table(bundle, shared);
    let distinct: u64 = bundle.blobs.iter().map(|blob| blob.size).sum();
    let alone: u64 = bundle.images.iter().map(|image| image.size).sum();
    let _ = writeln!(
        text,
        "\n{}, {}: {} together, {} if each were carried alone",
        text::images_and_artifacts(bundle),
        count(bundle.blobs.len(), "blob"),
        bytes(distinct),
        bytes(alone)
    );
    text.push_str(&text::left_out(bundle, bundle.required()));
    if !bundle.catalog.name.is_empty() {
        let set: Vec<_> = bundle.catalog.variables.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let line = format!("catalog {} {}  {}", bundle.catalog.name, bundle.catalog.version, set.join("  "));
        // This text comes from the bundle, so it must not be able to imitate a line of this program.
        let _ = writeln!(text, "{}", one_line(line.trim_end()));
    }
    match id {
        Some(id) => {
            let _ =
                writeln!(text, "id {id}\nformat {SCHEMA_VERSION}, read by bundle {OLDEST_READER} and later");
            if !whole {
                let access = if image_store.is_sequential() { ", and has no random access" } else { "" };
                let _ = writeln!(text, "{} was unpacked or packed again{access}", image_store.name());
            }
        }
        None => {
            let _ = writeln!(text, "{} is an OCI layout of another tool", image_store.name());
        }
    }
    text
}
