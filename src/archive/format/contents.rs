//! The contents of a set of images: every manifest and blob once, in member order.
//!
//! The writer plans with this walk, and the reader repeats it to prove that `bundle.json` lists exactly what the
//! manifests refer to.

use std::collections::{BTreeMap, HashMap};

use super::manifest_source::Manifests;
use crate::archive::manifest::{ArtifactRow, BlobRow, BundleManifest, MAX_HEAD_CONFIG};
use crate::archive::{ArchiveError, FormatError};
use crate::image::{
    ConfigError, Descriptor, Digest, ManifestKind, MediaType, ParsedManifest, Positions, Role,
    config_ambiguity, media_type, short_position,
};

/// Indexes nested deeper than this are refused.
pub const MAX_DEPTH: usize = 8;
/// Manifests and indexes of one image; an image with more is refused.
pub const MAX_MANIFESTS: usize = 1024;
/// Maximum bytes of manifests that one walk reads: many names for one large manifest must not make it run for hours.
const MAX_READ: u64 = 8 << 30;

/// A fault that belongs to one image, for reports that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFault {
    /// Position in the list of roots.
    pub root: usize,
    pub why: String,
}

/// Whether a blob that a manifest refers to is part of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inclusion {
    Carried,
    /// Left out, because the destination already has it.
    Required,
    /// Left out, and not needed at the destination.
    LeftOut,
}

/// Decides this for a descriptor in this role. Manifests are always carried, or left out with everything below them.
pub type Fates<'a> = dyn Fn(&Descriptor, Role) -> Inclusion + 'a;

/// The result of the walk.
#[derive(Debug, Default)]
pub struct Contents {
    /// In member order.
    pub blobs: Vec<BlobRow>,
    /// Digests and sizes of blobs that are required instead of carried.
    pub required: BTreeMap<Digest, u64>,
    /// Manifests and indexes with their media types, children before parents, each once.
    pub bottom_up: Vec<(Digest, MediaType)>,
    /// For each blob: the first root that uses it.
    pub first_root: Vec<u32>,
    /// For each root: bytes of its distinct manifests and blobs, required ones included.
    pub sizes: Vec<u64>,
    /// For each root: how many of these bytes another root also uses.
    pub shared: Vec<u64>,
    /// Bytes of all roots if each were carried alone.
    pub alone: u64,
    /// Images that cannot be carried because their manifests contradict themselves or each other.
    pub faults: Vec<ImageFault>,
}

/// One manifest or index to start from.
#[derive(Clone, Debug)]
pub struct Root {
    pub digest: Digest,
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
}

struct Use {
    row: BlobRow,
    first: usize,
    /// The last root that used it, so that each image counts a blob once.
    root: usize,
    /// More than one root uses it.
    shared: bool,
    required: bool,
}

struct Walk<'a> {
    manifests: &'a dyn Manifests,
    inclusion: &'a Fates<'a>,
    /// Configs are read too, and refused if tools read them in different ways.
    reads_configs: bool,
    /// The result for each config, by digest and whether the manifest makes it the config of an image.
    configs: HashMap<(Digest, bool), Option<ConfigError>>,
    uses: Vec<Use>,
    /// By use.
    positions: Positions,
    /// Digests that indexes list with the type of a blob, and the root they belong to.
    listed_as_blobs: Vec<(usize, Digest)>,
    /// Media types stated for manifests that do not contain their own.
    untyped: HashMap<Digest, MediaType>,
    /// Manifests and indexes of the current root.
    of_root: usize,
    /// Bytes of manifests that were read.
    read: u64,
    contents: Contents,
}

impl Contents {
    /// Walks `roots` in order; everything is carried.
    pub fn all(roots: &[Root], manifests: &dyn Manifests) -> Result<Self, ArchiveError> {
        Self::collect(roots, manifests, &|_, _| Inclusion::Carried)
    }

    /// Walks `roots` in order. `inclusion` says what is part of the bundle.
    pub fn collect(
        roots: &[Root],
        manifests: &dyn Manifests,
        inclusion: &Fates<'_>,
    ) -> Result<Self, ArchiveError> {
        Self::walk(roots, manifests, inclusion, 0, false)
    }

    /// Like [`Self::collect`], for content that will cross the gap: a config that tools read in different ways is a
    /// fault too. `manifests` has the configs of up to [`MAX_HEAD_CONFIG`] bytes.
    pub fn proven(
        roots: &[Root],
        manifests: &dyn Manifests,
        inclusion: &Fates<'_>,
    ) -> Result<Self, ArchiveError> {
        Self::walk(roots, manifests, inclusion, 0, true)
    }

    /// Like [`Self::collect`], with capacity for the `expected` number of blobs.
    pub(in crate::archive) fn walk(
        roots: &[Root],
        manifests: &dyn Manifests,
        inclusion: &Fates<'_>,
        expected: usize,
        reads_configs: bool,
    ) -> Result<Self, ArchiveError> {
        let contents = Self { sizes: vec![0; roots.len()], ..Self::default() };
        let (uses, positions) = (Vec::with_capacity(expected), Positions::with_capacity(expected));
        let mut walk = Walk {
            manifests,
            inclusion,
            reads_configs,
            configs: HashMap::new(),
            uses,
            positions,
            listed_as_blobs: Vec::new(),
            untyped: HashMap::new(),
            of_root: 0,
            read: 0,
            contents,
        };
        for (index, root) in roots.iter().enumerate() {
            walk.of_root = 0;
            walk.manifest(index, &root.digest, &root.media_type, root.size, 0)?;
        }
        walk.refuse_manifests_listed_as_blobs();
        let Walk { mut uses, mut contents, .. } = walk;
        contents.shared.clone_from(&contents.sizes);
        for alone in uses.iter().filter(|used| !used.shared) {
            let shared = &mut contents.shared[alone.first];
            *shared = shared.saturating_sub(alone.row.size);
        }
        let required = uses.extract_if(.., |used| used.required);
        contents.required = required.map(|used| (used.row.digest, used.row.size)).collect();
        uses.sort_by_key(|used| used.row.group());
        contents.first_root = uses.iter().map(|used| short_position(used.first)).collect();
        contents.blobs = uses.into_iter().map(|used| used.row).collect();
        contents.alone = contents.sizes.iter().fold(0, |sum, size| sum.saturating_add(*size));
        Ok(contents)
    }
}

impl Walk<'_> {
    fn manifest(
        &mut self,
        root: usize,
        digest: &Digest,
        stated: &str,
        size: u64,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if depth > MAX_DEPTH {
            self.fault(root, format!("its indexes are nested more than {MAX_DEPTH} levels deep"));
            return Ok(());
        }
        let role = if media_type::is_index(stated) { Role::Index } else { Role::Manifest };
        let first_visit = self.position(digest).is_none();
        if let Some(other) = self.untyped.get(digest).filter(|other| **other != *stated) {
            let why = format!(
                "it lists {digest} as {stated:?}, but elsewhere it is listed as {:?}; the content does not say which it \
                 is, and tools would treat it differently",
                other.as_str()
            );
            self.fault(root, why);
        }
        // A digest cannot contain itself, so one visit per root and manifest bounds the walk for any input.
        if !self.add(root, digest, stated, size, role, false) {
            return Ok(());
        }
        self.of_root += 1;
        if self.of_root > MAX_MANIFESTS {
            if self.of_root == MAX_MANIFESTS + 1 {
                self.fault(root, format!("it has more than {MAX_MANIFESTS} manifests"));
            }
            return Ok(());
        }
        ArchiveError::unless_stopped()?;
        let bytes = self.manifests.manifest(digest)?;
        self.read += bytes.len() as u64;
        if self.read > MAX_READ {
            let most = MAX_READ >> 30;
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "its images have more than {most} GiB of manifests"
            ))));
        }
        let parsed = match ParsedManifest::of(&bytes, Some(stated)) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.fault(root, format!("{digest}: {error}"));
                return Ok(());
            }
        };
        drop(bytes);
        if !parsed.states_type && first_visit {
            self.untyped.insert(*digest, stated.into());
        }
        for child in &parsed.manifests {
            if media_type::is_manifest(&child.media_type) {
                if (self.inclusion)(child, Role::Manifest) == Inclusion::LeftOut {
                    continue;
                }
                self.manifest(root, &child.digest, &child.media_type, child.size, depth + 1)?;
            } else if let Some(platform) = &child.platform {
                let what = &child.media_type;
                self.fault(root, format!(
                    "its index {digest} lists {} for the platform {platform} with the type {what:?}, which is not that \
                     of a manifest: some tools run it, others ignore it",
                    child.digest
                ));
            } else {
                self.listed_as_blobs.push((root, child.digest));
                self.blob(root, child, Role::Other);
            }
        }
        let layers = if parsed.kind == ManifestKind::Artifact { Role::Other } else { Role::Layer };
        if let Some(config) = &parsed.config {
            self.blob(root, config, Role::Config);
            if self.reads_configs {
                self.config(root, digest, &parsed, config)?;
            }
        }
        for layer in &parsed.layers {
            self.blob(root, layer, layers);
        }
        if first_visit {
            self.contents.bottom_up.push((*digest, parsed.media_type));
        }
        Ok(())
    }

    /// Refuses a config that tools read in different ways, or that is too large to read.
    fn config(
        &mut self,
        root: usize,
        digest: &Digest,
        parsed: &ParsedManifest,
        config: &Descriptor,
    ) -> Result<(), ArchiveError> {
        if config.size > MAX_HEAD_CONFIG {
            if parsed.has_image_config() || parsed.media_type == media_type::DOCKER_MANIFEST {
                let most = MAX_HEAD_CONFIG >> 20;
                self.fault(
                    root,
                    format!("{digest}: its config is larger than {most} MiB, which tools refuse"),
                );
            }
            return Ok(());
        }
        // A layout of another tool may not have it at hand: then it is checked when it is sent. Many manifests may
        // share a large one.
        let key = (config.digest, parsed.runs_by_type());
        if !self.configs.contains_key(&key) {
            let bytes = match self.manifests.manifest(&config.digest) {
                Ok(bytes) => bytes,
                Err(ArchiveError::Format(FormatError::MissingManifest(_))) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.configs.insert(key, config_ambiguity(parsed, &bytes));
        }
        if let Some(Some(error)) = self.configs.get(&key).cloned() {
            self.fault(root, format!("{digest}: {error}"));
        }
        Ok(())
    }

    /// If one index lists a digest as a blob and another as a manifest, tools that ignore the type would run it, and
    /// others would not see it.
    fn refuse_manifests_listed_as_blobs(&mut self) {
        for (root, digest) in std::mem::take(&mut self.listed_as_blobs) {
            let role = self.position(&digest).map(|at| self.uses[at].row.role);
            if matches!(role, Some(Role::Index | Role::Manifest)) {
                self.fault(root, format!("it lists {digest} as a blob, but elsewhere it is a manifest"));
            }
        }
    }

    fn position(&self, digest: &Digest) -> Option<usize> {
        self.positions.get(digest, |at| &self.uses[at].row.digest)
    }

    fn blob(&mut self, root: usize, descriptor: &Descriptor, role: Role) {
        let required = match (self.inclusion)(descriptor, role) {
            Inclusion::Carried => false,
            Inclusion::Required => true,
            Inclusion::LeftOut => return,
        };
        self.add(root, &descriptor.digest, &descriptor.media_type, descriptor.size, role, required);
    }

    /// Whether this root had not used `digest` before.
    fn add(
        &mut self,
        root: usize,
        digest: &Digest,
        media_type: &str,
        size: u64,
        role: Role,
        required: bool,
    ) -> bool {
        let Some(at) = self.position(digest) else {
            let row = BlobRow { digest: *digest, media_type: media_type.into(), role, size };
            self.uses.push(Use { row, first: root, root, shared: false, required });
            self.positions.insert(self.uses.len() - 1, |at| &self.uses[at].row.digest);
            self.contents.sizes[root] = self.contents.sizes[root].saturating_add(size);
            return true;
        };
        let used = &mut self.uses[at];
        let fresh = used.root != root;
        used.root = root;
        used.shared |= fresh;
        // A blob that one use carries is carried for all.
        used.required &= required;
        used.row.role = used.row.role.min(role);
        // Compressed only if all uses say that the content is uncompressed; the row's type must then say so too.
        if media_type::is_uncompressed(&used.row.media_type) && !media_type::is_uncompressed(media_type) {
            used.row.media_type = media_type.into();
        }
        if used.row.size == size {
            let more = if fresh { size } else { 0 };
            self.contents.sizes[root] = self.contents.sizes[root].saturating_add(more);
        } else {
            let other = used.row.size;
            self.fault(root, format!("it lists {digest} with {size} bytes, but another image with {other}"));
        }
        fresh
    }

    fn fault(&mut self, root: usize, why: String) {
        self.contents.faults.push(ImageFault { root, why });
    }
}

/// The decision for each blob that was made when `bundle` was written.
pub fn fates(bundle: &BundleManifest) -> impl Fn(&Descriptor, Role) -> Inclusion {
    let listed = bundle.index();
    let required = bundle.requires.as_ref().map_or(&[][..], |requires| &requires.blobs);
    let requires = |digest: &Digest| required.binary_search_by(|blob| blob.digest.cmp(digest)).is_ok();
    move |descriptor, role| {
        if listed.position(&descriptor.digest).is_some() {
            Inclusion::Carried
        } else if requires(&descriptor.digest) && role.may_be_required() {
            Inclusion::Required
        } else if media_type::is_foreign(&descriptor.media_type) {
            Inclusion::LeftOut
        } else {
            Inclusion::Carried
        }
    }
}

/// The roots of `bundle`: its images, then its artifacts.
pub fn roots(bundle: &BundleManifest) -> Vec<Root> {
    let listed = bundle.index();
    let images = bundle.images.iter().map(|image| {
        let size = listed.blob(&image.digest).map_or(0, |blob| blob.size);
        Root { digest: image.digest, media_type: image.media_type.clone(), size }
    });
    images.chain(bundle.artifacts.iter().map(Root::from)).collect()
}

impl From<&ArtifactRow> for Root {
    fn from(artifact: &ArtifactRow) -> Self {
        Self { digest: artifact.digest, media_type: artifact.media_type.clone(), size: artifact.size }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::image::RawManifest;

    fn manifest(layers: &[(&str, u64)]) -> (Root, RawManifest) {
        let row = |(name, size): &(&str, u64)| json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": Digest::sha256(name.as_bytes()), "size": size });
        let bytes = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": layers.iter().map(row).collect::<Vec<_>>(),
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::sha256(format!("{layers:?}").as_bytes()), "size": 7 },
        });
        let bytes = Bytes::from(bytes.to_string());
        let (digest, media_type) = (Digest::sha256(&bytes), MediaType::from(media_type::OCI_MANIFEST));
        let root = Root { digest, media_type: media_type.clone(), size: bytes.len() as u64 };
        (root, RawManifest { bytes, digest, media_type })
    }

    #[test]
    fn bytes_are_shared_when_two_roots_use_them_and_not_when_one_does_twice() {
        let images = [
            manifest(&[("base", 100), ("own", 20)]),
            manifest(&[("twice", 3), ("twice", 3), ("base", 100)]),
            manifest(&[("lone", 5)]),
        ];
        let roots: Vec<Root> = images.iter().map(|(root, _)| root.clone()).collect();
        let manifests: HashMap<Digest, RawManifest> =
            images.into_iter().map(|(r, m)| (r.digest, m)).collect();
        let contents = Contents::all(&roots, &manifests).unwrap();
        assert_eq!(contents.shared, [100, 100, 0]);
        assert_eq!(contents.sizes, [roots[0].size + 127, roots[1].size + 110, roots[2].size + 12]);
    }
}
