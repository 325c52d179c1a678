//! What runs in an image, from its manifests and configs: one walk, used by policies and by reviews.
//!
//! Every entry of an index is listed. An entry counts as an attestation only because of its content, and only if
//! nothing else in the image has its digest. An entry that cannot be judged is listed with the reason.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::archive::{ArchiveError, ArtifactRow, MAX_DEPTH, MAX_MANIFESTS, Manifests};
use crate::image::{
    Descriptor, Digest, ImageConfig, ManifestKind, ParsedManifest, ReadConfig, Runnable, holds_statements,
    media_type,
};

/// Returns the verified bytes of a config; none if they are not available.
pub(crate) type ConfigBytes<'a> = &'a dyn Fn(&Descriptor) -> Option<Vec<u8>>;

/// Number of configs that are cached, for manifests that share one.
const MAX_CONFIGS: usize = 1000;
/// Maximum number of characters of a platform that are shown.
const MAX_PLATFORM: usize = 255;

/// Reads each config once, because many manifests may share a large one.
pub(crate) struct Configs<'a> {
    bytes: ConfigBytes<'a>,
    read: RefCell<HashMap<(Digest, u64), Option<ReadConfig>>>,
}

impl std::fmt::Debug for Configs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configs").field("read", &self.read.borrow().len()).finish_non_exhaustive()
    }
}

impl<'a> Configs<'a> {
    pub(crate) fn new(bytes: ConfigBytes<'a>) -> Self {
        Self { bytes, read: RefCell::default() }
    }

    fn get(&self, config: &Descriptor) -> Option<ReadConfig> {
        // The size is part of the key, because a config whose descriptor states a size over the limit is not read.
        let key = (config.digest, config.size);
        if let Some(known) = self.read.borrow().get(&key) {
            return known.clone();
        }
        let found = (self.bytes)(config).map(|bytes| ReadConfig::of(&bytes));
        let mut read = self.read.borrow_mut();
        if read.len() >= MAX_CONFIGS {
            read.clear();
        }
        read.insert(key, found.clone());
        found
    }
}

/// One manifest below an image, or an entry of an index that is not a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant<T> {
    /// From the entry that leads to it, or else from its config; empty if neither has one.
    pub platform: String,
    pub digest: Digest,
    /// The entry of the index, if one leads to it.
    pub entry: Option<Descriptor>,
    /// What the caller keeps of the manifest; none if the manifest cannot be read.
    pub kept: Option<T>,
    pub runs: Runs,
}

/// How a runtime treats a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    Container(Arc<ImageConfig>),
    Artifact,
    /// It is an attestation about this manifest.
    Attests(Digest),
    /// It may run, but how is unclear.
    Unknown(String),
}

/// The user that a container runs as by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsAs {
    Root(String),
    User(String),
    Unknown(String),
}

impl<T> Variant<T> {
    /// The config, if a container can be made from it.
    pub(crate) fn config(&self) -> Option<&ImageConfig> {
        match &self.runs {
            Runs::Container(config) => Some(config),
            Runs::Artifact | Runs::Attests(_) | Runs::Unknown(_) => None,
        }
    }

    /// Whether a container can be made from it, as far as that can be determined.
    pub(crate) fn may_run(&self) -> bool {
        self.runs_as().is_some()
    }

    /// The user that it runs as; none if it does not run.
    pub(crate) fn runs_as(&self) -> Option<RunsAs> {
        match &self.runs {
            Runs::Container(config) if config.is_root() => Some(RunsAs::Root(config.user.clone())),
            Runs::Container(config) => Some(RunsAs::User(config.user.clone())),
            Runs::Unknown(why) => Some(RunsAs::Unknown(why.clone())),
            Runs::Artifact | Runs::Attests(_) => None,
        }
    }
}

/// Everything below the manifest or index `root`, in the order of the indexes; each digest once for each type that it
/// is listed with. `keep` selects what is kept of each manifest, since all manifests together may be large.
pub(crate) fn variants<T>(
    root: &Digest,
    media_type: &str,
    manifests: &dyn Manifests,
    configs: &Configs<'_>,
    keep: &dyn Fn(&ParsedManifest) -> T,
) -> Result<Vec<Variant<T>>, ArchiveError> {
    Walk::new(manifests, configs, keep, Runnable::of).below(root, media_type)
}

/// The parts of an artifact about another manifest that can run, and so are more than an artifact.
pub(crate) fn running_beside<T>(
    artifact: &ArtifactRow,
    manifests: &dyn Manifests,
    configs: &Configs<'_>,
    keep: &dyn Fn(&ParsedManifest) -> T,
) -> Result<Vec<Variant<T>>, ArchiveError> {
    let walk = Walk::new(manifests, configs, keep, Runnable::beside);
    let mut found = walk.below(&artifact.digest, &artifact.media_type)?;
    found.retain(Variant::may_run);
    Ok(found)
}

/// How runtimes treat a manifest with this config.
type Judge = fn(&ParsedManifest, Option<&ReadConfig>) -> Runnable;

struct Walk<'a, T> {
    manifests: &'a dyn Manifests,
    configs: &'a Configs<'a>,
    keep: &'a dyn Fn(&ParsedManifest) -> T,
    judge: Judge,
    /// All digests except attestations, with the types that they are listed with.
    seen: HashSet<(Digest, String)>,
    /// Manifests that state their type themselves: they are the same under every other type.
    settled: HashSet<Digest>,
    found: Vec<Variant<T>>,
    attestations: Vec<Variant<T>>,
}

impl<'a, T> Walk<'a, T> {
    fn new(
        manifests: &'a dyn Manifests,
        configs: &'a Configs<'a>,
        keep: &'a dyn Fn(&ParsedManifest) -> T,
        judge: Judge,
    ) -> Self {
        let (seen, settled) = (HashSet::new(), HashSet::new());
        let (found, attestations) = (Vec::new(), Vec::new());
        Self { manifests, configs, keep, judge, seen, settled, found, attestations }
    }

    fn below(mut self, root: &Digest, media_type: &str) -> Result<Vec<Variant<T>>, ArchiveError> {
        self.add(root, media_type, None, 0)?;
        let Walk { mut found, attestations, .. } = self;
        // A manifest that is also listed with another type was judged as that.
        let judged: HashSet<Digest> = found.iter().map(|variant| variant.digest).collect();
        found.extend(attestations.into_iter().filter(|attestation| !judged.contains(&attestation.digest)));
        Ok(found)
    }

    fn add(
        &mut self,
        digest: &Digest,
        stated: &str,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if !self.seen.insert((*digest, stated.to_owned())) {
            return Ok(());
        }
        let unknown = |why: &str| Variant {
            platform: platform_of(entry, None),
            digest: *digest,
            entry: entry.cloned(),
            kept: None,
            runs: Runs::Unknown(why.to_owned()),
        };
        if depth > MAX_DEPTH || self.seen.len() > MAX_MANIFESTS {
            self.found.push(unknown("its indexes are nested too deeply, or are too large"));
            return Ok(());
        }
        if !media_type::is_manifest(stated) {
            let shown: String = stated.chars().take(120).collect();
            let why = format!("its index lists it with the type {shown:?}, which is not that of a manifest");
            self.found.push(unknown(&why));
            return Ok(());
        }
        ArchiveError::unless_stopped()?;
        let bytes = self.manifests.manifest(digest)?;
        let parsed = match ParsedManifest::of(&bytes, Some(stated)) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.found.push(unknown(&format!("its manifest cannot be read: {error}")));
                return Ok(());
            }
        };
        if parsed.states_type && !self.settled.insert(*digest) {
            return Ok(());
        }
        if parsed.kind == ManifestKind::Index {
            for child in &parsed.manifests {
                match self.attestation(child)? {
                    Some(attestation) => self.attestations.push(attestation),
                    None => self.add(&child.digest, &child.media_type, Some(child), depth + 1)?,
                }
            }
            return Ok(());
        }
        let config = self.config_of(&parsed);
        let runs = match (self.judge)(&parsed, config.as_ref()) {
            Runnable::Container(config) => Runs::Container(config),
            Runnable::Artifact => Runs::Artifact,
            Runnable::Unknown(why) => Runs::Unknown(why),
        };
        let mut variant = Variant {
            platform: String::new(),
            digest: *digest,
            entry: entry.cloned(),
            kept: Some((self.keep)(&parsed)),
            runs,
        };
        variant.platform = platform_of(entry, variant.config());
        self.found.push(variant);
        Ok(())
    }

    fn config_of(&self, manifest: &ParsedManifest) -> Option<ReadConfig> {
        manifest.config.as_ref().and_then(|config| self.configs.get(config))
    }

    /// `child` as an attestation, if it is marked as one and its content is one.
    fn attestation(&self, child: &Descriptor) -> Result<Option<Variant<T>>, ArchiveError> {
        let Some(subject) = child.attests().filter(|_| media_type::is_manifest(&child.media_type)) else {
            return Ok(None);
        };
        ArchiveError::unless_stopped()?;
        let bytes = self.manifests.manifest(&child.digest)?;
        let parsed = ParsedManifest::of(&bytes, Some(&child.media_type)).ok();
        let is_statement =
            |parsed: &ParsedManifest| holds_statements(parsed, self.config_of(parsed).as_ref());
        Ok(parsed.filter(is_statement).map(|parsed| Variant {
            platform: platform_of(Some(child), None),
            digest: child.digest,
            entry: Some(child.clone()),
            kept: Some((self.keep)(&parsed)),
            runs: Runs::Attests(subject),
        }))
    }
}

fn platform_of(entry: Option<&Descriptor>, config: Option<&ImageConfig>) -> String {
    let of_entry = entry.and_then(|entry| entry.platform.as_ref());
    let of_config = || config.and_then(|config| config.platform.as_ref());
    let platform = of_entry.or_else(of_config).map(ToString::to_string).unwrap_or_default();
    if platform.len() > MAX_PLATFORM { platform.chars().take(MAX_PLATFORM).collect() } else { platform }
}

#[cfg(test)]
mod tests;
