//! The lock: a catalog's references with the digest each had, as a text for version control.
//!
//! It holds all that decides what a bundle contains: the catalog's own rows too, so that an export from a lock needs
//! nothing else. Sorted, one fact per line, no date unless asked for: what did not change does not move. A [`Lock`]
//! that exists names each image once, and its rows name no other images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CatalogErrors, Problem};
use crate::image::{Digest, MediaType, Reference, Tag};

/// Rises when a field changes its meaning.
const VERSION: u32 = 1;
const HEAD: &str = "# Written by `bundle catalog lock`, read by `bundle export --locked`: which digest each reference \
                    had.\n# Made anew rather than edited.\n";
/// Far above any real lock.
const MAX_BYTES: usize = 64 << 20;

/// A catalog with every reference pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    #[serde(rename = "lockVersion")]
    version: u32,
    pub catalog: LockedCatalog,
    /// By name.
    pub images: Vec<LockedImage>,
}

/// What the lock keeps of the catalog, its variables filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedCatalog {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_override: Option<String>,
    /// Values that are always set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Values that are set in addition with `--per-image`, where they override the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_image_values: BTreeMap<String, String>,
    /// What the variables were set to; secret ones are not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// In catalog order, which is the order of the images in the bundle.
    pub entries: Vec<LockedEntry>,
}

/// One row of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedEntry {
    pub image: Reference,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chart: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The path that sets the tag, then those it falls back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// One image and the digest it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedImage {
    pub name: Reference,
    /// Where it was found, when that is not where its name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Reference>,
    /// The packed chart it is made of, below the folder of the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    pub digest: Digest,
    pub media_type: MediaType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Bytes of its distinct manifests and blobs together, all platforms.
    pub size: u64,
    /// When it was built, by its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What travels with it without being part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<LockedArtifact>,
}

/// A signature, SBOM, attestation or other manifest about an image, found by its tag or as a referrer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedArtifact {
    /// What it is about: the image, or one of its children.
    pub subject: Digest,
    /// The tag it was found by (`sha256-<hex>.sig`); without one it is a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub digest: Digest,
    pub media_type: MediaType,
    /// Bytes of its manifest.
    pub size: u64,
}

/// Just enough of any version to say which one it is.
#[derive(Deserialize)]
struct Preamble {
    #[serde(rename = "lockVersion")]
    version: Option<u32>,
}

impl Lock {
    /// A lock of `images`, put in order.
    pub fn new(catalog: LockedCatalog, mut images: Vec<LockedImage>) -> Self {
        images.sort_by(|one, other| one.name.cmp(&other.name));
        for image in &mut images {
            image.artifacts.sort();
        }
        Self { version: VERSION, catalog, images }
    }

    /// Reads a lock; also one that was merged by hand and is no longer in order.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogErrors> {
        let text = std::str::from_utf8(bytes).map_err(|_| general("the text is not UTF-8"))?;
        if bytes.len() > MAX_BYTES {
            return Err(general("it is too large for a lock"));
        }
        let preamble: Preamble = super::document::from_yaml(text).map_err(one)?;
        match preamble.version {
            Some(VERSION) => {}
            None => return Err(general("it has no lockVersion, so it is not a lock")),
            Some(other) => return Err(general(format!("unsupported lockVersion {other}; upgrade `bundle`"))),
        }
        let lock: Self = super::document::from_yaml(text).map_err(one)?;
        lock.check()?;
        Ok(Self::new(lock.catalog, lock.images))
    }

    fn check(&self) -> Result<(), CatalogErrors> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for image in &self.images {
            if !names.insert(&image.name) {
                problems.push(Problem::general(format!("{} is locked twice", image.name)));
            }
            let of_source = image.source.as_ref().and_then(Reference::digest);
            let mut pins = image.name.digest().into_iter().chain(of_source);
            let is_other =
                |pin: &&Digest| pin.algorithm() == image.digest.algorithm() && **pin != image.digest;
            if let Some(pin) = pins.find(is_other) {
                let (name, digest) = (&image.name, image.digest);
                problems.push(Problem::general(format!("{name} is pinned to {pin} and locked to {digest}")));
            }
        }
        let rows: BTreeSet<&Reference> = self.catalog.entries.iter().map(|entry| &entry.image).collect();
        let open = rows.difference(&names).map(|name| format!("{name} is in the rows, but has no digest"));
        let lone = names.difference(&rows).map(|name| format!("{name} has a digest, but is in no row"));
        problems.extend(open.chain(lone).map(Problem::general));
        CatalogErrors::check(problems)
    }

    /// The text of the lock; the same for the same lock.
    pub fn to_text(&self) -> Result<String, CatalogErrors> {
        let yaml = super::document::to_yaml(self).map_err(general)?;
        Ok(format!("{HEAD}{yaml}"))
    }

    /// What is locked under `name`.
    pub fn image(&self, name: &Reference) -> Option<&LockedImage> {
        let found = self.images.binary_search_by(|image| image.name.cmp(name));
        found.ok().map(|at| &self.images[at])
    }

    /// What `newer` says differently.
    pub fn drift<'a>(&'a self, newer: &'a Self) -> Drift<'a> {
        let mut drift = Drift::default();
        for new in &newer.images {
            match self.image(&new.name) {
                None => drift.added.push(new),
                Some(old) if old.digest != new.digest => drift.moved.push((old, new)),
                Some(old) if old.artifacts != new.artifacts => drift.artifacts.push((old, new)),
                Some(_) => {}
            }
        }
        drift.removed = self.images.iter().filter(|old| newer.image(&old.name).is_none()).collect();
        drift.rows = self.catalog != newer.catalog;
        drift
    }
}

/// How two locks differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drift<'a> {
    pub added: Vec<&'a LockedImage>,
    pub removed: Vec<&'a LockedImage>,
    /// The same name with another digest: before, now.
    pub moved: Vec<(&'a LockedImage, &'a LockedImage)>,
    /// The same digest with other signatures or referrers: before, now.
    pub artifacts: Vec<(&'a LockedImage, &'a LockedImage)>,
    /// Rows, value paths, variables or values of the catalog changed.
    pub rows: bool,
}

impl Drift<'_> {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.moved.is_empty()
            && self.artifacts.is_empty()
            && !self.rows
    }
}

impl fmt::Display for Drift<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (old, new) in &self.moved {
            writeln!(
                f,
                "moved    {}\n           from {}\n           to   {}",
                new.name, old.digest, new.digest
            )?;
        }
        for image in &self.added {
            writeln!(f, "added    {}  {}", image.name, image.digest)?;
        }
        for image in &self.removed {
            writeln!(f, "removed  {}", image.name)?;
        }
        for (old, new) in &self.artifacts {
            let (before, now) = (old.artifacts.len(), new.artifacts.len());
            writeln!(f, "changed  {}  signatures and referrers ({before} before, {now} now)", new.name)?;
        }
        // Images that came or went say so themselves.
        if self.rows && self.added.is_empty() && self.removed.is_empty() {
            writeln!(f, "changed  the catalog's rows, value paths or variables")?;
        }
        Ok(())
    }
}

fn general(message: impl Into<String>) -> CatalogErrors {
    one(Problem::general(message))
}

fn one(problem: Problem) -> CatalogErrors {
    CatalogErrors(vec![problem])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, content: &[u8]) -> LockedImage {
        LockedImage {
            name: name.parse().unwrap(),
            source: None,
            archive: None,
            digest: Digest::sha256(content),
            media_type: crate::image::media_type::OCI_INDEX.into(),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
            size: 7,
            created: None,
            artifacts: Vec::new(),
        }
    }

    fn entry(name: &str) -> LockedEntry {
        LockedEntry {
            image: name.parse().unwrap(),
            chart: "shop".to_owned(),
            component: String::new(),
            registry: Some("image.registry".to_owned()),
            repository: None,
            tag: vec!["image.tag".to_owned(), "all.tag".to_owned()],
            digest: None,
            labels: Vec::new(),
        }
    }

    fn lock(images: Vec<LockedImage>) -> Lock {
        let entries = images.iter().rev().map(|image| entry(&image.name.to_string())).collect();
        let catalog = LockedCatalog {
            name: "shop".to_owned(),
            version: "2.40".to_owned(),
            variables: [("SUFFIX".to_owned(), String::new())].into(),
            entries,
            ..LockedCatalog::default()
        };
        Lock::new(catalog, images)
    }

    #[test]
    fn a_lock_is_sorted_reads_back_and_says_one_thing_per_line() {
        let mut signed = image("r.io/a:1", b"a");
        signed.source = Some("mirror.io/a:1".parse().unwrap());
        signed.created = Some("2020-01-01T00:00:00Z".to_owned());
        signed.artifacts = vec![LockedArtifact {
            subject: Digest::sha256(b"a"),
            tag: "sha256-x.sig".parse().ok(),
            artifact_type: None,
            digest: Digest::sha256(b"s"),
            media_type: crate::image::media_type::OCI_MANIFEST.into(),
            size: 3,
        }];
        let lock = lock(vec![image("r.io/b:1", b"b"), signed]);
        let text = lock.to_text().unwrap();
        insta::assert_snapshot!(text);
        assert_eq!(Lock::parse(text.as_bytes()).unwrap(), lock);
    }

    #[test]
    fn drift_tells_what_came_went_and_moved() {
        let old = lock(vec![image("r.io/a:1", b"a"), image("r.io/b:1", b"b"), image("r.io/c:1", b"c")]);
        let new = lock(vec![image("r.io/a:1", b"a"), image("r.io/b:1", b"B"), image("r.io/d:1", b"d")]);
        insta::assert_snapshot!(old.drift(&new));
        assert!(old.drift(&old).is_empty() && !old.drift(&new).is_empty());
    }

    #[test]
    fn what_is_no_lock_is_refused_with_the_reason() {
        let text = lock(vec![image("r.io/a:1", b"a")]).to_text().unwrap();
        let twice = format!("{text}{}", text.split_once("images:\n").unwrap().1);
        for (bad, says) in [
            ("images: []\n".to_owned(), "no lockVersion"),
            ("- r.io/a:1\n".to_owned(), "line 1"),
            (text.replace("lockVersion: 1", "lockVersion: 2"), "lockVersion 2"),
            (text.replace("size: 7", "size: 7\n  colour: red"), "colour"),
            (text.replace("name: r.io/a:1", "name: r.io/A:1"), "lowercase"),
            (text.replace("name: r.io/a:1", "name: r.io/b:1"), "has no digest"),
            (text.replace("digest: sha256:", "digest: md5:"), "md5"),
            (twice, "locked twice"),
        ] {
            let error = Lock::parse(bad.as_bytes()).expect_err(&bad).to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        assert!(Lock::parse(b"\xff").is_err());
    }
}
