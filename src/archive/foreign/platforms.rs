//! Images of which an archive has only some platforms. `ctr images export` and `nerdctl save` write such archives after
//! a pull: an index whose other manifests are absent.
//!
//! Such an index cannot be imported, because registries refuse it, and is never rewritten, because its digest would
//! change. One of its platforms can be imported: the tag then resolves to the manifest of that platform, whose digest
//! does not change.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::archive::format::contents::{MAX_DEPTH, MAX_MANIFESTS};
use crate::image::{Descriptor, Digest, ManifestKind, ParsedManifest, Platform, Reference, media_type};

/// Number of absent platforms that a message names.
const NAMED: usize = 4;

/// What can be known about an archive before its layers are read.
pub(in crate::archive) struct Known<'a> {
    pub(in crate::archive) manifests: &'a HashMap<Digest, Bytes>,
    /// Whether a blob is present; in a pipe it may still come.
    pub(in crate::archive) has: &'a dyn Fn(&Digest) -> bool,
}

/// The manifests that an index leads to.
pub(in crate::archive) struct Leaves {
    /// Each with whether it is present.
    found: Vec<(Descriptor, bool)>,
    /// An index below it is absent.
    is_cut: bool,
}

impl Leaves {
    /// None if `root` is not a present index.
    pub(in crate::archive) fn of(root: &Descriptor, known: &Known<'_>) -> Option<Self> {
        let mut leaves = Self { found: Vec::new(), is_cut: false };
        let mut seen = HashSet::new();
        let mut level = vec![root.clone()];
        for depth in 0..=MAX_DEPTH {
            let mut next = Vec::new();
            for descriptor in level {
                let is_new = seen.len() < MAX_MANIFESTS && seen.insert(descriptor.digest);
                if !is_new || !media_type::is_manifest(&descriptor.media_type) {
                    continue;
                }
                let bytes = known.manifests.get(&descriptor.digest);
                let parsed = bytes.and_then(|b| ParsedManifest::of(b, Some(&descriptor.media_type)).ok());
                match parsed {
                    Some(parsed) if parsed.kind == ManifestKind::Index => next.extend(parsed.manifests),
                    _ if depth == 0 => return None,
                    Some(parsed) => {
                        // A tool that fetches only one platform may have the manifests of all, but no other content of
                        // the others.
                        let config = parsed.config.is_none_or(|config| (known.has)(&config.digest));
                        leaves.found.push((descriptor, config));
                    }
                    None => {
                        leaves.is_cut |= media_type::is_index(&descriptor.media_type);
                        leaves.found.push((descriptor, false));
                    }
                }
            }
            level = next;
        }
        Some(leaves)
    }

    pub(in crate::archive) fn is_whole(&self) -> bool {
        !self.is_cut && self.found.iter().all(|(_, is_there)| *is_there)
    }

    /// The platforms that are present, or that are absent, each once.
    fn platforms(&self, there: bool) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for (descriptor, is_there) in &self.found {
            let platform = descriptor.platform.as_ref().filter(|platform| !platform.is_unknown());
            if let Some(platform) = platform.filter(|_| *is_there == there) {
                let text = platform.to_string().chars().take(60).collect();
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        texts
    }

    /// The manifest for `wanted`, if there is exactly one; otherwise the reason.
    pub(in crate::archive) fn choose(
        &self,
        name: &Reference,
        wanted: &Platform,
    ) -> Result<Descriptor, String> {
        let fits = |exact: bool| {
            self.found.iter().filter(move |(descriptor, is_there)| {
                let platform = descriptor.platform.as_ref();
                *is_there
                    && platform.is_some_and(|own| if exact { own == wanted } else { own.satisfies(wanted) })
            })
        };
        let chosen: Vec<&Descriptor> = match fits(true).count() {
            1 => fits(true).map(|(descriptor, _)| descriptor).collect(),
            _ => fits(false).map(|(descriptor, _)| descriptor).collect(),
        };
        match chosen[..] {
            [one] => Ok(one.clone()),
            [] => Err(format!("{name}: {wanted} is not there{}", there(&self.platforms(true)))),
            _ => {
                let texts: Vec<String> =
                    chosen.iter().filter_map(|d| Some(d.platform.as_ref()?.to_string())).collect();
                Err(format!(
                    "{name}: several manifests are for {wanted} ({}); name the variant",
                    listed(&texts)
                ))
            }
        }
    }

    /// Which platforms of `name` are present and which are absent, in one line.
    pub(in crate::archive) fn description(&self, name: &Reference) -> String {
        let (here, absent) = (self.platforms(true), self.platforms(false));
        let absent = if absent.is_empty() {
            "a part of its index is not".to_owned()
        } else {
            format!("{} not", are(&absent))
        };
        if here.is_empty() {
            return format!("{name}: no platform is there; {absent}");
        }
        format!("{name}: {} there; {absent}", are(&here))
    }

    /// The only platform that is present, as it is typed; none if there are several.
    pub(in crate::archive) fn only(&self) -> Option<Platform> {
        match &self.platforms(true)[..] {
            [one] => one.parse().ok(),
            _ => None,
        }
    }
}

fn there(platforms: &[String]) -> String {
    if platforms.is_empty() { String::new() } else { format!("; {} there", are(platforms)) }
}

/// `linux/amd64 is`, `linux/amd64 and linux/arm64 are`.
fn are(platforms: &[String]) -> String {
    format!("{} {}", listed(platforms), if platforms.len() == 1 { "is" } else { "are" })
}

fn listed(platforms: &[String]) -> String {
    match platforms {
        [] => String::new(),
        [one] => one.clone(),
        _ if platforms.len() > NAMED => {
            format!("{} and {} more", platforms[..NAMED].join(", "), platforms.len() - NAMED)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
