//! The differences between two bundles: images, digests, bytes, and how images run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::facts::{Facts, ImageFacts, Kind, Variant};
use crate::image::{Digest, ImageConfig, Reference, Repository};

/// An image that is only on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageLine {
    pub name: Reference,
    pub digest: Digest,
    /// Bytes of everything it needs.
    pub size: u64,
}

/// A difference in how an image runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigChange {
    pub platform: String,
    /// `user`, `env PATH`, `port 8080/tcp`, `label …`.
    pub field: String,
    /// None if it did not exist. Empty if it existed without a value.
    pub old: Option<String>,
    /// None if it does not exist any more.
    pub new: Option<String>,
}

/// An image that has another digest now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageChange {
    pub name: Reference,
    /// The former name, if the tag has changed.
    pub old_name: Option<Reference>,
    pub old_digest: Digest,
    pub digest: Digest,
    pub old_size: u64,
    pub size: u64,
    /// Bytes that nothing in the old bundle has.
    pub new_bytes: u64,
    pub platforms_added: Vec<String>,
    pub platforms_removed: Vec<String>,
    pub config: Vec<ConfigChange>,
    /// Signatures and the like, where their number is another.
    pub artifacts: Option<(String, String)>,
}

/// The difference between two bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Diff {
    pub old: Option<Digest>,
    pub new: Option<Digest>,
    pub added: Vec<ImageLine>,
    pub removed: Vec<ImageLine>,
    pub changed: Vec<ImageChange>,
    /// How many images are the same on both sides.
    pub same: usize,
    pub new_blobs: usize,
    /// Bytes of blobs that only the new bundle has.
    pub new_bytes: u64,
    pub gone_blobs: usize,
    /// Bytes of blobs that only the old bundle has.
    pub gone_bytes: u64,
}

impl Diff {
    /// What `new` has otherwise than `old`. An image whose tag alone is another is paired with what it was, where its
    /// repository has one image on each side.
    pub(crate) fn of(old: &Facts, new: &Facts) -> Self {
        let by_name: HashMap<&Reference, &ImageFacts> = old.images.iter().map(|i| (&i.name, i)).collect();
        let kept: HashSet<&Reference> = new.images.iter().map(|image| &image.name).collect();
        let gone: Vec<&ImageFacts> = old.images.iter().filter(|image| !kept.contains(&image.name)).collect();
        let come: Vec<&ImageFacts> =
            new.images.iter().filter(|image| !by_name.contains_key(&image.name)).collect();
        let (alone_before, alone_now) = (alone(&gone), alone(&come));
        let mut paired = HashSet::new();
        let mut diff = Self::empty(old, new);
        for image in &new.images {
            let before = by_name.get(&image.name).copied().or_else(|| {
                let place = image.name.repository();
                alone_now.get(place)?;
                let before = alone_before.get(place).copied()?;
                paired.insert(&before.name);
                Some(before)
            });
            match before {
                None => diff.added.push(line(image)),
                Some(before) if before.digest == image.digest && before.name == image.name => {
                    match artifacts(before, image) {
                        None => diff.same += 1,
                        Some(_) => diff.changed.push(change(before, image, old)),
                    }
                }
                Some(before) => diff.changed.push(change(before, image, old)),
            }
        }
        diff.removed = gone.iter().filter(|i| !paired.contains(&i.name)).map(|i| line(i)).collect();
        diff
    }

    fn empty(old: &Facts, new: &Facts) -> Self {
        let only = |one: &Facts, other: &Facts| {
            let own = one.blobs.iter().filter(|(digest, _)| !other.blobs.contains_key(*digest));
            own.fold((0, 0), |(count, bytes), (_, (size, _))| (count + 1, bytes + size))
        };
        let ((new_blobs, new_bytes), (gone_blobs, gone_bytes)) = (only(new, old), only(old, new));
        Self {
            old: old.id,
            new: new.id,
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            same: 0,
            new_blobs,
            new_bytes,
            gone_blobs,
            gone_bytes,
        }
    }

    /// Whether there is any difference in images.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// The images whose repository has no other among `images`.
fn alone<'a>(images: &[&'a ImageFacts]) -> HashMap<&'a Repository, &'a ImageFacts> {
    let mut places: HashMap<&Repository, Vec<&'a ImageFacts>> = HashMap::new();
    for image in images {
        places.entry(image.name.repository()).or_default().push(image);
    }
    places
        .into_iter()
        .filter(|(_, images)| images.len() == 1)
        .map(|(place, images)| (place, images[0]))
        .collect()
}

fn line(image: &ImageFacts) -> ImageLine {
    ImageLine { name: image.name.clone(), digest: image.digest, size: image.size }
}

fn change(before: &ImageFacts, now: &ImageFacts, old: &Facts) -> ImageChange {
    let fresh = now.blobs.iter().filter(|(digest, _)| !old.blobs.contains_key(*digest));
    let (had, has) = (platforms(before), platforms(now));
    let missing = |one: &BTreeMap<String, &Variant>, other: &BTreeMap<String, &Variant>| {
        one.keys().filter(|platform| !other.contains_key(*platform)).cloned().collect()
    };
    let mut config = Vec::new();
    for (platform, variant) in &has {
        if let Some(earlier) = had.get(platform).filter(|earlier| earlier.digest != variant.digest) {
            config.extend(changes(platform, &earlier.config, &variant.config));
        }
    }
    ImageChange {
        name: now.name.clone(),
        old_name: (before.name != now.name).then(|| before.name.clone()),
        old_digest: before.digest,
        digest: now.digest,
        old_size: before.size,
        size: now.size,
        new_bytes: fresh.map(|(_, size)| size).sum(),
        platforms_added: missing(&has, &had),
        platforms_removed: missing(&had, &has),
        config,
        artifacts: artifacts(before, now),
    }
}

fn artifacts(before: &ImageFacts, now: &ImageFacts) -> Option<(String, String)> {
    let text = |image: &ImageFacts| {
        if image.artifacts.is_empty() { "none".to_owned() } else { image.artifacts.to_string() }
    };
    (before.artifacts != now.artifacts).then(|| (text(before), text(now)))
}

/// By platform; of several for one platform each has its number, since tools take different ones.
fn platforms(image: &ImageFacts) -> BTreeMap<String, &Variant> {
    let mut by_platform = BTreeMap::new();
    for variant in image.variants.iter().filter(|variant| !matches!(variant.kind, Kind::Attestation(_))) {
        let mut name = variant.platform.clone();
        let mut number = 1;
        while by_platform.contains_key(&name) {
            number += 1;
            name = format!("{} ({number})", variant.platform);
        }
        by_platform.insert(name, variant);
    }
    by_platform
}

/// Every field of a config that has changed, in a fixed order.
fn changes(platform: &str, old: &ImageConfig, new: &ImageConfig) -> Vec<ConfigChange> {
    let mut found = Vec::new();
    let mut compare = |field: String, old: Option<String>, new: Option<String>| {
        if old != new {
            found.push(ConfigChange { platform: platform.to_owned(), field, old, new });
        }
    };
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let words = |list: &[String]| (!list.is_empty()).then(|| list.join(" "));
    let user = |text: &str| filled(text).or_else(|| Some("root (unset)".to_owned()));
    compare("user".into(), user(&old.user), user(&new.user));
    compare("entrypoint".into(), words(&old.entrypoint), words(&new.entrypoint));
    compare("command".into(), words(&old.cmd), words(&new.cmd));
    compare("working directory".into(), filled(&old.working_dir), filled(&new.working_dir));
    compare("stop signal".into(), filled(&old.stop_signal), filled(&new.stop_signal));
    let mut pairs = |what: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>| {
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            compare(format!("{what} {name}"), old.get(name).cloned(), new.get(name).cloned());
        }
    };
    pairs("env", &old.env_by_name(), &new.env_by_name());
    let present = |set: &BTreeSet<String>| set.iter().map(|name| (name.clone(), String::new())).collect();
    pairs("port", &present(&old.exposed_ports), &present(&new.exposed_ports));
    pairs("volume", &present(&old.volumes), &present(&new.volumes));
    pairs("label", &old.labels, &new.labels);
    compare("created".into(), old.created.clone(), new.created.clone());
    // What is not kept is compared by its digest.
    let cut = |config: &ImageConfig, name: &str| {
        let cut = config.cut.get(name)?;
        Some(format!("{} with {} more, {}", name, cut.entries, cut.digest.short()))
    };
    for name in old.cut.keys().chain(new.cut.keys()).collect::<BTreeSet<_>>() {
        compare(format!("{name}, as a whole"), cut(old, name), cut(new, name));
    }
    found
}
