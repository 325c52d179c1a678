//! What the manifests and configs below an image say of what runs: one walk, for policies and for people.
//!
//! Every entry of an index is listed. An attestation counts as one by its content, and only where nothing else in the
//! image has its digest; whatever cannot be judged says why.

use std::collections::HashSet;

use crate::archive::{ArchiveError, MAX_DEPTH, MAX_MANIFESTS, Manifests};
use crate::image::{Descriptor, Digest, ImageConfig, ManifestKind, ParsedManifest, Runnable, media_type};

/// Gives the bytes of a config, verified; none where they are not at hand.
pub type Configs<'a> = &'a dyn Fn(&Descriptor) -> Option<Vec<u8>>;

/// One manifest below an image, or what an index lists in the place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Of the entry that leads to it, else of its config; empty where neither says.
    pub platform: String,
    pub digest: Digest,
    /// The entry of the index, if one leads to it.
    pub entry: Option<Descriptor>,
    /// None where it cannot be read.
    pub manifest: Option<ParsedManifest>,
    pub runs: Runs,
}

/// What becomes of a variant where it is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    Container(Box<ImageConfig>),
    Artifact,
    /// It holds attestations about this manifest.
    Attests(Digest),
    /// It could be run, and nobody can tell how.
    Unknown(String),
}

/// Whom a container runs as, unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsAs {
    Root(String),
    User(String),
    Unknown(String),
}

impl Variant {
    /// The config, where a container can be made with it.
    pub fn config(&self) -> Option<&ImageConfig> {
        match &self.runs {
            Runs::Container(config) => Some(config),
            Runs::Artifact | Runs::Attests(_) | Runs::Unknown(_) => None,
        }
    }

    /// Whom it runs as; none for what does not run.
    pub fn runs_as(&self) -> Option<RunsAs> {
        match &self.runs {
            Runs::Container(config) if config.is_root() => Some(RunsAs::Root(config.user.clone())),
            Runs::Container(config) => Some(RunsAs::User(config.user.clone())),
            Runs::Unknown(why) => Some(RunsAs::Unknown(why.clone())),
            Runs::Artifact | Runs::Attests(_) => None,
        }
    }
}

/// Everything below the manifest or index `root`, in the order of the indexes, each digest once.
pub fn variants(
    root: &Digest,
    media_type: &str,
    manifests: &dyn Manifests,
    configs: Configs<'_>,
) -> Result<Vec<Variant>, ArchiveError> {
    let mut walk =
        Walk { manifests, configs, seen: HashSet::new(), found: Vec::new(), attestations: Vec::new() };
    walk.add(root, media_type, None, 0)?;
    let Walk { seen, mut found, attestations, .. } = walk;
    // What is listed as something else too has been judged as that.
    found.extend(attestations.into_iter().filter(|attestation| !seen.contains(&attestation.digest)));
    Ok(found)
}

struct Walk<'a> {
    manifests: &'a dyn Manifests,
    configs: Configs<'a>,
    /// All but attestations.
    seen: HashSet<Digest>,
    found: Vec<Variant>,
    attestations: Vec<Variant>,
}

impl Walk<'_> {
    fn add(
        &mut self,
        digest: &Digest,
        stated: &str,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if !self.seen.insert(*digest) {
            return Ok(());
        }
        let unknown = |why: &str| Variant {
            platform: platform_of(entry, None),
            digest: *digest,
            entry: entry.cloned(),
            manifest: None,
            runs: Runs::Unknown(why.to_owned()),
        };
        if depth > MAX_DEPTH || self.seen.len() > MAX_MANIFESTS {
            self.found.push(unknown("its indexes are nested too deep, or too large"));
            return Ok(());
        }
        if !media_type::is_manifest(stated) {
            let shown: String = stated.chars().take(120).collect();
            let why = format!("its index lists it with the type {shown:?}, which is not that of a manifest");
            self.found.push(unknown(&why));
            return Ok(());
        }
        let bytes = self.manifests.manifest(digest)?;
        let parsed = match ParsedManifest::of(&bytes, Some(stated)) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.found.push(unknown(&format!("its manifest cannot be read: {error}")));
                return Ok(());
            }
        };
        if parsed.kind == ManifestKind::Index {
            for child in &parsed.manifests {
                match self.attestation(child)? {
                    Some(attestation) => self.attestations.push(attestation),
                    None => self.add(&child.digest, &child.media_type, Some(child), depth + 1)?,
                }
            }
            return Ok(());
        }
        let config = parsed.config.as_ref().and_then(|config| (self.configs)(config));
        let runs = match parsed.runnable(config.as_deref()) {
            Runnable::Container(config) => Runs::Container(config),
            Runnable::Artifact => Runs::Artifact,
            Runnable::Unknown(why) => Runs::Unknown(why),
        };
        let mut variant = Variant {
            platform: String::new(),
            digest: *digest,
            entry: entry.cloned(),
            manifest: Some(parsed),
            runs,
        };
        variant.platform = platform_of(entry, variant.config());
        self.found.push(variant);
        Ok(())
    }

    /// `child` as an attestation, if it calls itself one and its content is that of one.
    fn attestation(&self, child: &Descriptor) -> Result<Option<Variant>, ArchiveError> {
        let Some(subject) = child.attests().filter(|_| media_type::is_manifest(&child.media_type)) else {
            return Ok(None);
        };
        let bytes = self.manifests.manifest(&child.digest)?;
        let parsed = ParsedManifest::of(&bytes, Some(&child.media_type)).ok();
        Ok(parsed.filter(ParsedManifest::holds_attestations).map(|parsed| Variant {
            platform: platform_of(Some(child), None),
            digest: child.digest,
            entry: Some(child.clone()),
            manifest: Some(parsed),
            runs: Runs::Attests(subject),
        }))
    }
}

fn platform_of(entry: Option<&Descriptor>, config: Option<&ImageConfig>) -> String {
    let of_entry = entry.and_then(|entry| entry.platform.as_ref());
    let of_config = || config.and_then(|config| config.platform.as_ref());
    of_entry.or_else(of_config).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests;
