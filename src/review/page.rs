//! One self-contained page for the reviewer at the gap: reads without a network or a script, prints, follows the
//! reader's light or dark.

use std::cmp::Reverse;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::diff::{Diff, ImageChange};
use super::facts::{Facts, ImageFacts, Kind};
use super::foreign_text::{age, in_words, safe};
use super::{details, diff_text, findings};
use crate::policy::Finding;
use crate::report::{bytes, count};

const STYLE: &str = include_str!("page.css");
/// Images with a bar, largest first.
const MAX_BARS: usize = 40;
/// Shared layers listed, largest first.
const MAX_SHARED: usize = 25;

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub facts: &'a Facts,
    /// Against an older bundle.
    pub diff: Option<&'a Diff>,
    /// What a policy has against it.
    pub findings: &'a [Finding],
    /// Ages are counted up to this day.
    pub today: Timestamp,
}

/// The page as HTML.
pub(crate) fn page(page: &Page<'_>) -> String {
    let facts = page.facts;
    let mut room = details::MAX_PAGE;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever slipped through could load nothing and run nothing.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { "Review: " (safe(&facts.title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kicker { "Images in this bundle" }
                    h1 { (safe(&facts.title)) }
                    @if let Some(id) = facts.id { p.id { "bundle " code { (id) } } }
                    @if let Some((base, size)) = facts.base {
                        p { "A delta: " (bytes(size)) " of layers left out, which bundle " code { (base) } " has." }
                    }
                }
                (tiles(page))
                (findings::sections(facts, page.findings))
                @if let Some(diff) = page.diff { (changes(diff)) }
                (bars(facts))
                (images(page))
                (shared(facts))
                section {
                    h2 { "Each image" }
                    @for (at, image) in facts.images.iter().enumerate() {
                        (details::of(at, image, page.today, &mut room))
                    }
                }
                footer { "Made by bundle " (env!("CARGO_PKG_VERSION")) " on " (page.today.strftime("%F")) "." }
            }
        }
    };
    markup.into_string()
}

fn tiles(page: &Page<'_>) -> Markup {
    let images = &page.facts.images;
    let number = |what: &dyn Fn(&&ImageFacts) -> bool| images.iter().filter(what).count();
    let root = number(&|image| image.may_be_root());
    let unsigned = number(&|image| !has(image, "signature"));
    let without_sbom = number(&|image| !has(image, "SBOM") && !has(image, "attestation"));
    let old = number(&|image| age(image, page.today).is_some_and(|days| days > 365));
    let against = page.findings.iter().filter(|finding| finding.counts()).count();
    let waived = page.findings.len() - against;
    let tile = |value: String, what: &str, is_bad: bool| {
        html! { div.tile.bad[is_bad] { b { (value) } span { (what) } } }
    };
    html! {
        div.tiles {
            (tile(images.len().to_string(), if images.len() == 1 { "image" } else { "images" }, false))
            (tile(bytes(page.facts.size()), "distinct content", false))
            (tile(page.facts.blobs.len().to_string(), if page.facts.blobs.len() == 1 { "blob" } else { "blobs" }, false))
            (tile(root.to_string(), "run as root", root > 0))
            (tile(unsigned.to_string(), "without a signature", unsigned > 0))
            (tile(without_sbom.to_string(), "without SBOM or attestation", without_sbom > 0))
            (tile(old.to_string(), "older than a year", old > 0))
            @if against > 0 { (tile(against.to_string(), if against == 1 { "policy finding" } else { "policy findings" }, true)) }
            @if waived > 0 { (tile(waived.to_string(), "waived by the policy", false)) }
        }
    }
}

/// Whether the image has an artifact of this kind.
fn has(image: &ImageFacts, noun: &str) -> bool {
    image.artifacts.to_string().contains(noun)
}

fn changes(diff: &Diff) -> Markup {
    let mut changed: Vec<&ImageChange> = diff.changed.iter().filter(|c| c.old_digest != c.digest).collect();
    changed.sort_by_key(|change| Reverse(change.new_bytes));
    let renamed: Vec<&ImageChange> = diff.changed.iter().filter(|c| c.old_digest == c.digest).collect();
    let lists = [("Added", &diff.added), ("Removed", &diff.removed)];
    html! {
        section {
            h2 { "What changed" }
            @if let Some(old) = diff.old { p.id { "against bundle " code { (old) } } }
            @for line in diff_text::summary(diff).lines() { p { (line) } }
            @for change in changed {
                div.change {
                    b { (safe(&diff_text::title(change))) }
                    span.soft {
                        " " (bytes(change.old_size)) " → " (bytes(change.size)) ", " (bytes(change.new_bytes)) " new, "
                        code { (change.old_digest.short()) " → " (change.digest.short()) }
                    }
                    ul { @for line in diff_text::details(change) { li { (safe(&line)) } } }
                }
            }
            @if !renamed.is_empty() {
                h3 { "The same content under another tag, or with others beside it" }
                ul.names {
                    @for change in renamed {
                        li { (safe(&diff_text::title(change))) @for line in diff_text::details(change) { ", " (safe(&line)) } }
                    }
                }
            }
            @for (what, images) in lists {
                @if !images.is_empty() {
                    h3 { (what) }
                    ul.names { @for image in images { li { (safe(&image.name.to_string())) span.soft { " " (bytes(image.size)) } } } }
                }
            }
        }
    }
}

fn bars(facts: &Facts) -> Markup {
    let mut by_size: Vec<(usize, &ImageFacts)> = facts.images.iter().enumerate().collect();
    by_size.sort_by_key(|(at, image)| (Reverse(image.size), *at));
    let largest = by_size.first().map_or(1, |(_, image)| image.size.max(1));
    let rest = by_size.split_off(by_size.len().min(MAX_BARS));
    let smaller = rest.iter().fold(0u64, |sum, (_, image)| sum.saturating_add(image.size));
    html! {
        section {
            h2 { "Where the bytes are" }
            p.legend { span.own { } " its own " span.shared { } " shared with other images here" }
            div.bars { @for (at, image) in by_size { (bar(at, image, largest)) } }
            @if !rest.is_empty() { p.soft { "and " (rest.len()) " smaller ones, " (bytes(smaller)) " if each were alone" } }
        }
    }
}

fn bar(at: usize, image: &ImageFacts, largest: u64) -> Markup {
    // In hundredths of a percent, so that no float is printed.
    let share = |size: u64| u128::from(size) * 10_000 / u128::from(largest);
    let width = |size: u64| format!("width:{}.{:02}%", share(size) / 100, share(size) % 100);
    let own = image.own.min(image.size);
    let shared = image.size - own;
    html! {
        div {
            a href=(format!("#i{at}")) { (safe(&short_name(image))) }
            div.bar title=(format!("{} of its own, {} shared", bytes(own), bytes(shared))) {
                i.own style=(width(own)) { }
                i.shared style=(width(shared)) { }
            }
            span.size { (bytes(image.size)) }
        }
    }
}

/// The last part of the path, with the tag.
fn short_name(image: &ImageFacts) -> String {
    let last = image.name.repository().path().rsplit('/').next().unwrap_or_default().to_owned();
    match (image.name.tag(), image.name.digest()) {
        (Some(tag), _) => format!("{last}:{tag}"),
        (None, Some(digest)) => format!("{last}@{}", digest.short()),
        (None, None) => last,
    }
}

fn images(page: &Page<'_>) -> Markup {
    html! {
        section {
            h2 { "Images" }
            table.images {
                thead { tr {
                    th { "image" } th { "behind the gap" } th { "digest" } th { "platforms" } th.n { "size" }
                    th.n { "age" } th { "user" } th { "ports" } th { "beside it" }
                } }
                tbody {
                    @for (at, image) in page.facts.images.iter().enumerate() { (row(at, image, page.today)) }
                }
            }
        }
    }
}

fn row(at: usize, image: &ImageFacts, today: Timestamp) -> Markup {
    let config = image.main().map(|variant| &variant.config);
    let platforms: Vec<&str> = image
        .variants
        .iter()
        .filter(|v| !matches!(v.kind, Kind::Attestation(_)))
        .map(|v| v.platform.as_str())
        .filter(|p| !p.is_empty())
        .collect();
    let ports: Vec<String> = config.into_iter().flat_map(|c| &c.exposed_ports).map(|p| safe(p)).collect();
    let (root, users) = (image.may_be_root(), image.users());
    html! {
        tr {
            td data-of="image" {
                a href=(format!("#i{at}")) { (safe(&image.name.to_string())) }
                @if !image.used_by.is_empty() { div.soft { (safe(&image.used_by.join(", "))) } }
            }
            td data-of="behind the gap" { @for target in &image.targets { div { (safe(target)) } } }
            td data-of="digest" { code { (image.digest.short()) } }
            td data-of="platforms" { @for platform in platforms { div { (safe(platform)) } } }
            td.n data-of="size" { (bytes(image.size)) }
            td.n data-of="age" { @if let Some(days) = age(image, today) { (in_words(days)) } @else { "?" } }
            td.bad[root] data-of="user" {
                @if users.is_empty() { "–" } @else { (safe(&users.join(", "))) }
            }
            td data-of="ports" { (ports.join(" ")) }
            td data-of="beside it" { @if image.artifacts.is_empty() { span.soft { "nothing" } } @else { (image.artifacts) } }
        }
    }
}

fn shared(facts: &Facts) -> Markup {
    let mut layers: Vec<_> = facts.blobs.iter().filter(|(_, (_, users))| *users > 1).collect();
    layers.sort_by_key(|(digest, (size, users))| (Reverse(saved(*size, *users)), **digest));
    let all = layers.iter().fold(0u64, |sum, (_, (size, users))| sum.saturating_add(saved(*size, *users)));
    let total = layers.len();
    html! {
        @if total > 0 {
            section {
                h2 { "What is shared" }
                p { (count(total, "blob")) " in more than one image, carried once: " (bytes(all)) " saved." }
                table.shared {
                    thead { tr { th { "blob" } th.n { "size" } th.n { "images" } th.n { "saved" } } }
                    tbody {
                        @for (digest, (size, users)) in layers.into_iter().take(MAX_SHARED) {
                            tr {
                                td { code { (digest.short()) } }
                                td.n { (bytes(*size)) }
                                td.n { (users) }
                                td.n { (bytes(saved(*size, *users))) }
                            }
                        }
                    }
                }
                @if total > MAX_SHARED { p.soft { "and " (total - MAX_SHARED) " smaller ones" } }
            }
        }
    }
}

/// Bytes that are carried once instead of by each of `users`.
fn saved(size: u64, users: u32) -> u64 {
    size.saturating_mul(u64::from(users.saturating_sub(1)))
}
