//! Whether a bundle has the images that manifests name: by the names charts use, or by those at a destination.

use std::collections::BTreeMap;
use std::fmt;

use crate::archive::{ArchiveError, BundleManifest, Contents, ImageRow, Manifests, Root};
use crate::destination::{Destination, Mapping};
use crate::image::{Digest, Reference, Repository};

/// What the bundle has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has the image: its position, and the repository at the destination the name leads to.
    Covered {
        image: usize,
        place: Option<Repository>,
    },
    /// It has the repository, but only these tags or digests of it.
    Otherwise(Vec<String>),
    Missing,
}

/// A bundle seen from the names in manifests.
#[derive(Debug)]
pub(crate) struct Coverage<'a> {
    bundle: &'a BundleManifest,
    mapping: Mapping,
    destination: Option<Destination>,
}

impl<'a> Coverage<'a> {
    /// Names lead to `destination`; without one, to where most of `names` do that are not the bundle's own.
    pub(crate) fn new<'n>(
        bundle: &'a BundleManifest,
        mapping: Mapping,
        destination: Option<&Destination>,
        names: impl IntoIterator<Item = &'n Reference>,
    ) -> Self {
        let destination = destination.cloned().or_else(|| guess(bundle, mapping, names));
        Self { bundle, mapping, destination }
    }

    /// The destination that names lead to, given or guessed.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref()
    }

    /// Answers to `name`; `manifests` tell what indexes hold, for names that pin one platform.
    pub(crate) fn answer(&self, name: &Reference, manifests: &dyn Manifests) -> Result<Answer, ArchiveError> {
        let mut otherwise = Vec::new();
        for (position, image) in self.bundle.images.iter().enumerate() {
            for (repository, tag) in self.places(image) {
                if repository != *name.repository() {
                    continue;
                }
                let fits = match name.digest() {
                    Some(digest) => image.digest == *digest || holds(image, digest, manifests)?,
                    None => tag.is_some() && tag == name.tag().map(ToString::to_string),
                };
                if fits {
                    return Ok(Answer::Covered { image: position, place: self.place(image, name) });
                }
                // A name that pins a digest must match by digest.
                let tag = tag.filter(|_| name.digest().is_none());
                let version = tag.map_or_else(|| format!("@{}", image.digest), |tag| format!(":{tag}"));
                otherwise.push(format!("{repository}{version}"));
            }
        }
        otherwise.dedup();
        Ok(if otherwise.is_empty() { Answer::Missing } else { Answer::Otherwise(otherwise) })
    }

    /// The repositories under which manifests may name `image`, with its tag there.
    fn places(&self, image: &ImageRow) -> Vec<(Repository, Option<String>)> {
        let own = (image.name.repository().clone(), image.name.tag().map(ToString::to_string));
        let targets = self.mapping.targets(&image.name, &image.digest).into_iter().filter_map(|target| {
            let repository = self.destination.as_ref()?.repository(&target).ok()?;
            Some((repository, target.tag.map(|tag| tag.to_string())))
        });
        std::iter::once(own).chain(targets).collect()
    }

    /// Where `name` leads at the destination: itself, or where a mirror sends the chart's name.
    fn place(&self, image: &ImageRow, name: &Reference) -> Option<Repository> {
        let destination = self.destination.as_ref()?;
        let mut targets = self.mapping.targets(&image.name, &image.digest).into_iter();
        let places: Vec<Repository> =
            targets.by_ref().filter_map(|t| destination.repository(&t).ok()).collect();
        places.iter().find(|place| *place == name.repository()).or_else(|| places.first()).cloned()
    }
}

/// The registry and prefix that most of `names` have before a path of the bundle; the shortest of equals.
fn guess<'n>(
    bundle: &BundleManifest,
    mapping: Mapping,
    names: impl IntoIterator<Item = &'n Reference>,
) -> Option<Destination> {
    let own =
        |name: &Reference| bundle.images.iter().any(|image| image.name.repository() == name.repository());
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.into_iter().filter(|name| !own(name)) {
        let mut places: Vec<String> = Vec::new();
        for image in &bundle.images {
            for target in mapping.targets(&image.name, &image.digest) {
                let path = name.repository().path();
                let before = path.strip_suffix(&target.path);
                let before = before.filter(|before| before.is_empty() || before.ends_with('/'));
                places.extend(
                    before.map(|before| format!("{}/{before}", name.host()).trim_end_matches('/').to_owned()),
                );
            }
        }
        places.sort();
        places.dedup();
        for place in places {
            *votes.entry(place).or_default() += 1;
        }
    }
    let best = votes.into_iter().max_by_key(|(place, votes)| (*votes, std::cmp::Reverse(place.len())));
    best.and_then(|(place, _)| place.parse().ok())
}

/// Whether `digest` is a manifest of `image`: one of its platforms.
fn holds(image: &ImageRow, digest: &Digest, manifests: &dyn Manifests) -> Result<bool, ArchiveError> {
    let size = manifests.manifest(&image.digest)?.len() as u64;
    let root = Root { digest: image.digest, media_type: image.media_type.clone(), size };
    let contents = Contents::all(&[root], manifests)?;
    Ok(contents.bottom_up.iter().any(|(manifest, _)| manifest == digest))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Covered { .. } => f.write_str("it is there"),
            Self::Otherwise(there) => write!(f, "the bundle has {}", there.join(", ")),
            Self::Missing => f.write_str("the bundle has no image of that name"),
        }
    }
}
