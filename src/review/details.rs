//! The details of one image on the page. Texts from the image are limited, and the page says how much is left out.

use jiff::Timestamp;
use maud::{Markup, html};

use super::facts::{ImageFacts, Kind, Variant};
use super::foreign_text::{age, in_words, safe};
use crate::image::ImageConfig;
use crate::report::bytes;

/// Bytes of the configs of one image. Of platforms beyond that only the digest and the user are shown.
const MAX_IMAGE: usize = 256 << 10;
/// The same for a whole page.
pub(super) const MAX_PAGE: usize = 32 << 20;
/// Labels that are shown by name; the others are listed below them.
const LABELS: [(&str, &str); 8] = [
    ("title", "org.opencontainers.image.title"),
    ("version", "org.opencontainers.image.version"),
    ("revision", "org.opencontainers.image.revision"),
    ("licences", "org.opencontainers.image.licenses"),
    ("source code", "org.opencontainers.image.source"),
    ("vendor", "org.opencontainers.image.vendor"),
    ("base image", "org.opencontainers.image.base.name"),
    ("description", "org.opencontainers.image.description"),
];

/// `room` is the number of bytes that configs may still use on this page.
pub(super) fn of(at: usize, image: &ImageFacts, today: Timestamp, room: &mut usize) -> Markup {
    let mut own = MAX_IMAGE.min(*room);
    let given = own;
    let markup = html! {
        article id=(format!("i{at}")) {
            h3 { (safe(&image.name.to_string())) }
            dl {
                (field("digest", &image.digest.to_string()))
                (field("pulled from", &image.source.to_string()))
                @for target in &image.targets { (field("behind the gap", target)) }
                @if let Some(kind) = &image.artifact_type { (field("no image, but", kind)) }
                (field("size", &format!("{}, {} of it its own", bytes(image.size), bytes(image.own))))
                (field("used by", &image.used_by.join(", ")))
                (field("beside it", &image.artifacts.to_string()))
                @for (name, key) in LABELS { (field(name, image.label(key).unwrap_or_default())) }
            }
            @for variant in image.variants.iter() { (variant_of(image, variant, today, &mut own)) }
        }
    };
    *room -= given - own;
    markup
}

fn variant_of(image: &ImageFacts, variant: &Variant, today: Timestamp, room: &mut usize) -> Markup {
    let layers: u64 = variant.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size));
    let config = (*room > 0).then(|| config_of(image, variant, today));
    let left = config.as_ref().and_then(|config| room.checked_sub(config.0.len()));
    *room = left.unwrap_or(0);
    html! {
        div.variant {
            @if !variant.platform.is_empty() { h4 { (safe(&variant.platform)) } }
            dl {
                @if image.variants.len() > 1 { (field("digest", &variant.digest.to_string())) }
                (kind_of(variant))
                (field("layers", &format!("{}, {}", variant.layers.len(), bytes(layers))))
                @if let Some(config) = config.filter(|_| left.is_some()) { (config) } @else { dt { "config" } dd { "left out, since the page would be too large" } }
            }
        }
    }
}

fn config_of(image: &ImageFacts, variant: &Variant, today: Timestamp) -> Markup {
    let config = &variant.config;
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    let created = config.created.as_deref().unwrap_or_default();
    let created = match age(image, today) {
        Some(days) if image.main() == Some(variant) => format!("{created} ({})", in_words(days)),
        _ => created.to_owned(),
    };
    let known = LABELS.map(|(_, key)| key);
    let labels = config.labels.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    html! {
        (field("built", &created))
        (field("entrypoint", &config.entrypoint.join(" ")))
        (more(config, "entrypoint"))
        (field("command", &config.cmd.join(" ")))
        (more(config, "command"))
        (field("working directory", &config.working_dir))
        (field("ports", &list(&config.exposed_ports)))
        (more(config, "port"))
        (field("volumes", &list(&config.volumes)))
        (more(config, "volume"))
        @for entry in &config.env { (field("env", entry)) }
        (more(config, "env"))
        @for (name, value) in labels { (field("label", &format!("{name} = {value}"))) }
        (more(config, "label"))
    }
}

/// How many entries of a field are left out.
fn more(config: &ImageConfig, name: &'static str) -> Markup {
    let entries = config.cut.get(name).map_or(0, |cut| cut.entries);
    html! { @if entries > 0 { dt { (name) } dd { "and " (entries) " more" } } }
}

/// The user it runs as, or why it does not run.
fn kind_of(variant: &Variant) -> Markup {
    let user = &variant.config.user;
    match &variant.kind {
        Kind::Container if user.is_empty() => field("user", "root (unset)"),
        Kind::Container => field("user", user),
        Kind::Artifact => field("kind", "artifact; no container is made of it"),
        Kind::Attestation(subject) => field("kind", &format!("attestation about {subject}")),
        Kind::Unclear(why) => field("kind", &format!("unclear, and may run: {why}")),
    }
}

/// A name and a value; nothing if there is no value.
fn field(name: &str, value: &str) -> Markup {
    html! { @if !value.is_empty() { dt { (name) } dd { (safe(value)) } } }
}
