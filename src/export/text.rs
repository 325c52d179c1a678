//! What `bundle export` prints: the plan of a dry run, the summary, the files to carry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::text::{one_line, typed};
use crate::archive::{
    BundleManifest, CompactHead, Compaction, Contents, Inclusion, LIST_SUFFIX, Manifests, fates, parity_name,
    roots,
};
use crate::image::{Descriptor, Platform};
use crate::inputs::content_source::ContentSource;
use crate::plan::ExportPlan;
use crate::report::{bytes, count};

/// The last lines of an export.
pub(crate) struct Summary<'a> {
    pub(crate) plan: &'a ExportPlan,
    pub(crate) target: &'a Path,
    pub(crate) size: u64,
    pub(crate) volumes: Option<Volumes>,
    /// Bytes downloaded in this run; none if the content is local.
    pub(crate) received: Option<u64>,
    pub(crate) took: Duration,
    /// The program was written beside the bundle.
    pub(crate) with_self: bool,
    /// What the compact form saves, in a compact bundle.
    pub(crate) compaction: Option<Compaction>,
}

/// A bundle's volumes.
pub(crate) struct Volumes {
    pub(crate) first: PathBuf,
    pub(crate) last: PathBuf,
    pub(crate) count: usize,
    /// The number of parity volumes in addition.
    pub(crate) parity: usize,
}

/// The first and the last of a series of files, which may be the same file.
fn span(first: &Path, last: &Path) -> String {
    let (is_one, first, last) = (first == last, first.display(), last.display());
    if is_one { first.to_string() } else { format!("{first} to {last}") }
}

impl Summary<'_> {
    /// `beside` are the suffixes of the sidecar files.
    pub(crate) fn text(&self, beside: &[String]) -> String {
        let Self { plan, target, size, volumes, received, took, with_self, compaction } = self;
        let distinct = plan.distinct();
        let file = target.display();
        let mut text = format!(
            "{}, {}, {} ({} saved by sharing){}, in {:.1} s\n{}{}\nCarry across:\n",
            images_and_artifacts(&plan.bundle),
            count(plan.bundle.blobs.len(), "blob"),
            bytes(distinct),
            bytes(plan.alone.saturating_sub(distinct + plan.required())),
            received.map_or_else(String::new, |received| format!(", {} downloaded", bytes(received))),
            took.as_secs_f64(),
            left_out(&plan.bundle, plan.required()),
            compaction.map_or_else(String::new, compact) + &made_from(&plan.compact),
        );
        let size = bytes(*size);
        let _ = match volumes {
            None => writeln!(text, "  {file}  ({size})"),
            Some(volumes) => {
                let row = span(&volumes.first, &volumes.last);
                let _ = writeln!(text, "  {row}  ({}, {size})", count(volumes.count, "volume"));
                if volumes.parity > 0 {
                    let row = span(&parity_name(target, 0), &parity_name(target, volumes.parity - 1));
                    let _ = writeln!(text, "  {row}  (parity)");
                }
                writeln!(text, "  {file}{LIST_SUFFIX}")
            }
        };
        for suffix in beside {
            let _ = writeln!(text, "  {file}{suffix}");
        }
        if *with_self {
            for path in super::with_self::files(target) {
                let _ = writeln!(text, "  {}", path.display());
            }
        } else if let Ok(program) = std::env::current_exe() {
            let _ = writeln!(text, "  {}  (this program)", program.display());
        }
        let carried = volumes.as_ref().map_or(*target, |volumes| &volumes.first);
        let name = typed(Path::new(carried.file_name().unwrap_or_default()));
        let after = if plan.is_delta() { "  (after its base)" } else { "" };
        let _ = write!(text, "\nInside:\n  bundle import {name} -d REGISTRY{after}\n");
        text
    }
}

/// A line about the blobs in compact form; empty if the bundle has no layers.
pub(crate) fn compact(Compaction { blobs, compact, size, held }: Compaction) -> String {
    if blobs == 0 {
        return String::new();
    }
    if compact == 0 {
        return format!(
            "no blob of {blobs} is in compact form: it would not be smaller, or its encoder is not known\n"
        );
    }
    let are = if compact == 1 { "is" } else { "are" };
    let share = (held * 100).checked_div(size);
    let share = share.map_or_else(String::new, |share| format!(" ({share} %)"));
    let blobs = count(blobs, "blob");
    format!("{compact} of {blobs} {are} in compact form: {} in {}{share}\n", bytes(size), bytes(held))
}

/// A line about the blobs elsewhere from which those of a compact delta are made.
pub(crate) fn made_from(head: &CompactHead) -> String {
    if head.references.is_empty() {
        return String::new();
    }
    let base = head.base.map_or_else(|| "an older bundle".to_owned(), |id| format!("bundle {id}"));
    format!("a delta: made from {} of {base}, which its import reads\n", count(head.references.len(), "blob"))
}

/// A line about the blobs that a delta does not carry.
pub(crate) fn left_out(bundle: &BundleManifest, required: u64) -> String {
    bundle.requires.as_ref().map_or_else(String::new, |requires| {
        let blobs = count(requires.blobs.len(), "blob");
        let (are, them) = if requires.blobs.len() == 1 { ("is", "it") } else { ("are", "them") };
        format!(
            "a delta: {blobs} ({}) {are} left out, because bundle {} has {them}\n",
            bytes(required),
            requires.base
        )
    })
}

/// The plan as a table with totals.
pub(crate) fn plan_text(plan: &ExportPlan, content: &ContentSource, manifests: &dyn Manifests) -> String {
    let mut text = table(&plan.bundle, &shared_of(&plan.bundle, manifests));
    let layout = &plan.head.layout;
    let bound = if layout.is_exact() { "" } else { "at most " };
    let _ = write!(
        text,
        "\n{}, {}: {} together, {} if each were carried alone\n{}bundle: {bound}{} ({} bytes)\n{}",
        images_and_artifacts(&plan.bundle),
        count(plan.bundle.blobs.len(), "blob"),
        bytes(plan.distinct()),
        bytes(plan.alone),
        left_out(&plan.bundle, plan.required()),
        bytes(layout.max_len()),
        layout.max_len(),
        if content.is_local() { String::new() } else { format!("to download: {}\n", bytes(plan.payload())) },
    );
    for (platform, size) in platform_savings(plan, manifests) {
        let _ = writeln!(text, "with --platform {platform}: {} less", bytes(size));
    }
    for host in content.client().stats().hosts {
        let left =
            host.rate_limit.map_or_else(String::new, |limit| format!(", {} pulls left", limit.remaining));
        let _ = writeln!(text, "{}: {} manifest GETs{left}", host.host, host.manifest_gets);
    }
    text
}

/// A short summary of the content of a bundle, such as `4 images with 2 signatures and 1 SBOM`.
pub(crate) fn images_and_artifacts(bundle: &BundleManifest) -> String {
    let (images, artifacts) = (count(bundle.images.len(), "image"), bundle.artifact_counts());
    if artifacts.is_empty() { images } else { format!("{images} with {artifacts}") }
}

pub(crate) fn plan_json(plan: &ExportPlan) -> Value {
    json!({
        "images": plan.bundle.images,
        "artifacts": plan.bundle.artifact_counts(),
        "blobs": plan.bundle.blobs.len(),
        "distinctBytes": plan.distinct(),
        "aloneBytes": plan.alone,
        "downloadBytes": plan.payload(),
        "bundleBytes": plan.head.layout.max_len(),
        "exact": plan.head.layout.is_exact(),
    })
}

/// One line per image.
pub(crate) fn table(bundle: &BundleManifest, shared: &[u64]) -> String {
    let width = bundle.images.iter().map(|i| i.name.to_string().len()).max().unwrap_or(5).max(5);
    let mut text =
        format!("{:width$}  {:12}  {:>10}  {:>10}  PLATFORMS\n", "IMAGE", "DIGEST", "SIZE", "SHARED");
    for (image, shared) in bundle.images.iter().zip(shared) {
        let _ = writeln!(
            text,
            "{:width$}  {:12}  {:>10}  {:>10}  {}",
            image.name.to_string(),
            image.digest.short(),
            bytes(image.size),
            bytes(*shared),
            one_line(&image.platforms.join(", ")),
        );
    }
    text
}

/// For each image of `bundle`: the bytes that it shares with others in the bundle.
pub(crate) fn shared_of(bundle: &BundleManifest, manifests: &dyn Manifests) -> Vec<u64> {
    let contents = Contents::collect(&roots(bundle), manifests, &fates(bundle));
    let mut shared = contents.map(|contents| contents.shared).unwrap_or_default();
    shared.resize(bundle.images.len(), 0);
    shared
}

/// What keeping only one platform would save, for each platform that not every image has.
fn platform_savings(plan: &ExportPlan, manifests: &dyn Manifests) -> Vec<(String, u64)> {
    let mut platforms: Vec<&String> = plan.bundle.images.iter().flat_map(|image| &image.platforms).collect();
    platforms.sort();
    platforms.dedup();
    if platforms.len() < 2 {
        return Vec::new();
    }
    let total = plan.distinct();
    let keeps = |wanted: &Platform| {
        let is_other =
            |d: &Descriptor| d.platform.as_ref().is_some_and(|p| !p.is_unknown() && !p.satisfies(wanted));
        let own = fates(&plan.bundle);
        let inclusion = |d: &Descriptor, role| if is_other(d) { Inclusion::LeftOut } else { own(d, role) };
        let mut roots = roots(&plan.bundle);
        roots.truncate(plan.bundle.images.len());
        Contents::collect(&roots, manifests, &inclusion).map(|c| c.blobs.iter().map(|b| b.size).sum::<u64>())
    };
    let savings = platforms.into_iter().filter_map(|text| {
        let wanted: Platform = text.parse().ok()?;
        let everywhere =
            plan.bundle.images.iter().all(|i| i.platforms.is_empty() || i.platforms.contains(text));
        let kept = keeps(&wanted).ok().filter(|_| everywhere)?;
        Some((text.clone(), total.saturating_sub(kept)))
    });
    savings.filter(|(_, saved)| *saved > 0).collect()
}
