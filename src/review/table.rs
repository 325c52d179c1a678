//! The same as the page, for machines and spreadsheets.

use serde_json::{Value, json};

use super::diff::Diff;
use super::facts::{ImageFacts, Kind, Variant};
use super::page::Page;
use crate::image::Reference;
use crate::policy::Finding;

const COLUMNS: [&str; 22] = [
    "name",
    "source",
    "target",
    "digest",
    "platform",
    "platform digest",
    "kind",
    "bytes",
    "own bytes",
    "created",
    "user",
    "root",
    "ports",
    "volumes",
    "entrypoint",
    "command",
    "base image",
    "licenses",
    "source code",
    "signatures etc.",
    "used by",
    "findings",
];

/// One row for each platform of each image; a last one for the bundle, where there is something against it as a whole.
pub(crate) fn csv(page: &Page<'_>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for image in &page.facts.images {
        let findings = findings(page, Some(&image.name));
        if image.variants.is_empty() {
            writer.write_record(row(image, None, &findings))?;
        }
        for variant in image.variants.iter() {
            writer.write_record(row(image, Some(variant), &findings))?;
        }
    }
    let of_bundle = findings(page, None);
    if !of_bundle.is_empty() {
        writer.write_record(bundle_row(page, &of_bundle))?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// What there is against an image, or against the bundle as a whole; also what is waived.
fn findings(page: &Page<'_>, image: Option<&Reference>) -> String {
    let own = page.findings.iter().filter(|finding| finding.image.as_ref() == image);
    let text = |own: &Finding| {
        let waived = own.waived.as_ref().map_or_else(String::new, |waived| format!(" ({waived})"));
        format!("{}: {}{waived}", own.rule, own.why)
    };
    own.map(text).collect::<Vec<_>>().join("; ")
}

/// A last row, which is of no image.
fn bundle_row(page: &Page<'_>, findings: &str) -> Vec<String> {
    let id = page.facts.id.map_or_else(String::new, |id| id.to_string());
    let known = |column: &str| match column {
        "name" => "(the bundle)".to_owned(),
        "digest" => id.clone(),
        "bytes" => page.facts.size().to_string(),
        "findings" => harmless(findings),
        _ => String::new(),
    };
    COLUMNS.map(known).to_vec()
}

fn row(image: &ImageFacts, variant: Option<&Variant>, findings: &str) -> Vec<String> {
    let config = variant.map(|variant| variant.config.as_ref());
    let text = |of: fn(&crate::image::ImageConfig) -> String| config.map(of).unwrap_or_default();
    let label = |key: &str| image.label(key).unwrap_or_default().to_owned();
    let cells = vec![
        image.name.to_string(),
        image.source.to_string(),
        image.targets.join(" "),
        image.digest.to_string(),
        variant.map(|variant| variant.platform.clone()).unwrap_or_default(),
        variant.map(|variant| variant.digest.to_string()).unwrap_or_default(),
        variant.map(|variant| kind(variant).to_owned()).unwrap_or_default(),
        image.size.to_string(),
        image.own.to_string(),
        text(|config| config.created.clone().unwrap_or_default()),
        text(|config| config.user.clone()),
        variant.map(|variant| root(variant).to_string()).unwrap_or_default(),
        text(|config| config.exposed_ports.iter().cloned().collect::<Vec<_>>().join(" ")),
        text(|config| config.volumes.iter().cloned().collect::<Vec<_>>().join(" ")),
        text(|config| config.entrypoint.join(" ")),
        text(|config| config.cmd.join(" ")),
        label("org.opencontainers.image.base.name"),
        label("org.opencontainers.image.licenses"),
        label("org.opencontainers.image.source"),
        image.artifacts.to_string(),
        image.used_by.join(", "),
        findings.to_owned(),
    ];
    cells.into_iter().map(|cell| harmless(&cell)).collect()
}

/// In one word.
fn kind(variant: &Variant) -> &'static str {
    match variant.kind {
        Kind::Container => "container",
        Kind::Artifact => "artifact",
        Kind::Attestation(_) => "attestation",
        Kind::Unclear(_) => "unclear",
    }
}

/// Whether it runs as root, or may.
fn root(variant: &Variant) -> bool {
    match variant.kind {
        Kind::Container => variant.config.is_root(),
        Kind::Unclear(_) => true,
        Kind::Artifact | Kind::Attestation(_) => false,
    }
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    let cell = crate::report::printable(cell);
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

/// Everything on the page.
pub(crate) fn json(page: &Page<'_>) -> Value {
    let images = page.facts.images.iter().map(|image| {
        let variants = image.variants.iter().map(|variant| {
            let config = &variant.config;
            json!({
                "platform": variant.platform, "digest": variant.digest, "kind": kind(variant),
                "unclear": match &variant.kind { Kind::Unclear(why) => Some(why), _ => None },
                "about": match &variant.kind { Kind::Attestation(subject) => Some(subject), _ => None },
                "created": config.created,
                "user": config.user, "root": root(variant), "entrypoint": config.entrypoint,
                "command": config.cmd, "workingDir": config.working_dir, "env": config.env_by_name(),
                "ports": config.exposed_ports, "volumes": config.volumes, "labels": config.labels,
                "annotations": variant.annotations,
                "leftOut": config.cut.iter().map(|(name, cut)| (*name, cut.entries)).collect::<std::collections::BTreeMap<_, _>>(),
                "layers": variant.layers.iter().map(|l| json!({"digest": l.digest, "size": l.size})).collect::<Vec<_>>(),
            })
        });
        json!({
            "name": image.name, "source": image.source, "targets": image.targets, "digest": image.digest,
            "artifactType": image.artifact_type, "usedBy": image.used_by, "size": image.size, "own": image.own,
            "artifacts": image.artifacts, "platforms": variants.collect::<Vec<_>>(),
        })
    });
    json!({
        "title": page.facts.title, "id": page.facts.id, "size": page.facts.size(),
        "base": page.facts.base.map(|(base, _)| base),
        "images": images.collect::<Vec<_>>(),
        "changes": page.diff.map(|diff: &Diff| json!(diff)),
        "findings": page.findings,
    })
}
