//! A read-write [`Store`] in a directory.
//!
//! ```text
//! bundle-registry, oci-layout, lock
//! blobs/<alg>/<hex>                                   content, shared by all repositories
//! repositories/<name>/_blobs/<alg>/<hex>              empty: this blob is visible here
//! repositories/<name>/_manifests/<alg>/<hex>          the media type of a manifest that is here
//! repositories/<name>/_tags/<tag>                     a digest
//! repositories/<name>/_referrers/<alg>/<hex>/<alg>-<hex>   empty: subject, then the manifest that names it
//! uploads/<32 hex characters>                         what is not whole yet; removed on opening
//! ```
//!
//! `bundle-registry` says that the folder is a registry's; without it nothing here is touched. Names of repositories
//! never start with `_`, so the two kinds of folders cannot meet. Every file is written under `uploads/`, synced, and
//! renamed: what is visible is whole, and content is there before what points at it.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use rustix::fs::FileType;

use super::limits::{Peer, UploadLimits};
use super::listing::{Gathering, Listed, MAX_REFERRERS, Page, Referrers};
use super::marker::{adoption, claim};
use super::store::{Needed, RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
use super::tree::Tree;
use super::uploads::{Clock, Uploads};
use crate::image::{Algorithm, Descriptor, Digest, MediaType, RawManifest, Tag};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// No repository's name is longer, in bytes. Ends the walk through a foreign folder of any depth.
const MAX_NAME: usize = 255;

#[derive(Debug)]
pub struct DirectoryStore {
    pub(super) tree: Arc<Tree>,
    uploads: Uploads,
    /// Written by removals, read by what adds a link: content is not removed between being found and being linked.
    removal: RwLock<()>,
    /// Held for as long as the store lives: two processes would empty each other's uploads.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    #[error(
        "{path} is not empty, and it is not a registry of `bundle serve --dir`: nothing in it was touched"
    )]
    Foreign { path: PathBuf, is_older: bool },
    #[error("{0} is a registry of a newer version of `bundle`")]
    Newer(PathBuf),
    #[error("{0} is a symbolic link, and a registry does not follow links below its folder")]
    Link(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl DirectoryError {
    /// What the user can do, where another folder or other content is what it takes.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Foreign { path, is_older: true } => format!(
                "if an older version of `bundle serve --dir` made this folder, mark it as a registry: {}",
                adoption(path)
            ),
            Self::Foreign { .. } => "name a folder that is empty or does not exist yet".to_owned(),
            Self::Newer(_) => "upgrade `bundle`, or name another folder".to_owned(),
            Self::Link(_) => {
                "mount the other disk there instead (mount --bind), or move the whole registry to it"
                    .to_owned()
            }
            Self::InUse(_) | Self::Io { .. } => return None,
        })
    }
}

impl DirectoryStore {
    /// Opens `root`, creating it if it is missing. Leftovers of interrupted uploads are removed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        Self::open_with(root, UploadLimits::default(), Arc::new(Instant::now))
    }

    /// The same with limits and a clock of one's own.
    pub fn open_with(
        root: impl Into<PathBuf>,
        limits: UploadLimits,
        clock: Clock,
    ) -> Result<Self, DirectoryError> {
        let root = root.into();
        let io = |source| DirectoryError::Io { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(io)?;
        let tree = Arc::new(Tree::open(&root).map_err(io)?);
        claim(&tree, &root)?;
        for name in ["lock", "oci-layout", "repositories", "uploads", "blobs", "blobs/sha256", "blobs/sha512"]
        {
            if tree.kind(name).map_err(io)? == Some(FileType::Symlink) {
                return Err(DirectoryError::Link(root.join(name)));
            }
        }
        let lock = tree.open_or_create("lock").map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DirectoryError::InUse(root)),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        for folder in ["repositories", "blobs/sha256", "blobs/sha512"] {
            tree.make_folder(folder).map_err(io)?;
        }
        let uploads = Uploads::open(Arc::clone(&tree), limits, clock).map_err(io)?;
        let store = Self { uploads, removal: RwLock::default(), _lock: lock, tree };
        if !store.tree.is_file("oci-layout").map_err(io)? {
            store.write("oci-layout", LAYOUT).map_err(io)?;
        }
        Ok(store)
    }

    /// Puts `bytes` at `path` in one step, durably.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.tree.write(&Uploads::fresh_path()?, path, bytes)
    }

    fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<()> {
        let link = blob_link(name, digest);
        if self.tree.is_file(&link)? { Ok(()) } else { self.write(&link, b"") }
    }

    /// The content of a blob that is visible in this repository.
    fn content(&self, name: &RepositoryName, digest: &Digest) -> Result<File, StoreError> {
        let unknown = || StoreError::BlobUnknown(*digest);
        if !self.tree.is_file(&blob_link(name, digest))? {
            return Err(unknown());
        }
        self.tree.open_file(&digest.layout_path())?.ok_or_else(unknown)
    }

    pub(super) fn each_tag(&self, name: &RepositoryName, mut each: impl FnMut(&Tag)) -> io::Result<()> {
        self.tree.list(&format!("{}/_tags", repository(name)), |tag, kind| {
            if let Ok(tag) = tag.parse()
                && kind == FileType::RegularFile
            {
                each(&tag);
            }
        })
    }

    pub(super) fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Digest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(tag.to_string());
        let text = self.tree.read_small(&tag_file(name, tag))?.ok_or_else(unknown)?;
        std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).ok_or_else(unknown)
    }

    pub(super) fn manifest_at(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<RawManifest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let media_type = self.tree.read_small(&manifest_link(name, digest))?.ok_or_else(unknown)?;
        let bytes = self.tree.read_small(&digest.layout_path())?.ok_or_else(unknown)?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err(
                io::Error::new(io::ErrorKind::InvalidData, format!("{digest} is damaged on disk")).into()
            );
        }
        let media_type = MediaType::from(&*String::from_utf8_lossy(&media_type));
        Ok(RawManifest { bytes: bytes.into(), digest: *digest, media_type })
    }

    /// Calls `each` with every folder that holds a repository, whether or not it has manifests.
    fn walk(&self, mut each: impl FnMut(&RepositoryName) -> io::Result<()>) -> io::Result<()> {
        let mut open = vec![String::new()];
        while let Some(name) = open.pop() {
            let mut is_repository = false;
            self.tree.list(&format!("repositories/{name}"), |part, kind| {
                if part.starts_with('_') {
                    is_repository = true;
                } else if kind == FileType::Directory && name.len() + part.len() < MAX_NAME {
                    open.push(if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") });
                }
            })?;
            if is_repository && let Ok(name) = name.parse() {
                each(&name)?;
            }
        }
        Ok(())
    }

    /// Removes content that no repository points at any more. The caller holds `removal` for writing.
    fn drop_content(&self, digest: &Digest) -> io::Result<()> {
        let mut is_used = false;
        self.walk(|name| {
            is_used = is_used
                || self.tree.is_file(&blob_link(name, digest))?
                || self.tree.is_file(&manifest_link(name, digest))?;
            Ok(())
        })?;
        if is_used { Ok(()) } else { self.tree.remove(&digest.layout_path()).map(drop) }
    }
}

pub(super) fn repository(name: &RepositoryName) -> String {
    format!("repositories/{name}")
}

fn blob_link(name: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{name}/_blobs/{}", digest_path(digest))
}

fn manifest_link(name: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{name}/_manifests/{}", digest_path(digest))
}

fn tag_file(name: &RepositoryName, tag: &Tag) -> String {
    format!("repositories/{name}/_tags/{tag}")
}

fn referrers_folder(name: &RepositoryName, subject: &Digest) -> String {
    format!("repositories/{name}/_referrers/{}", digest_path(subject))
}

fn digest_path(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().name(), digest.hex())
}

fn link_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

impl Store for DirectoryStore {
    fn repositories(&self, page: &Page) -> Result<Listed, StoreError> {
        let mut gathering = Gathering::new(page);
        self.walk(|name| {
            if self.tree.is_folder(&format!("{}/_manifests", repository(name))).unwrap_or(false) {
                gathering.add(name.as_str());
            }
            Ok(())
        })?;
        Ok(gathering.done())
    }

    fn tags(&self, name: &RepositoryName, page: &Page) -> Result<Listed, StoreError> {
        let folder = repository(name);
        let has = |part: &str| self.tree.is_folder(&format!("{folder}/{part}"));
        if !has("_manifests")? && !has("_blobs")? {
            return Err(StoreError::NameUnknown(name.clone()));
        }
        let mut gathering = Gathering::new(page);
        self.each_tag(name, |tag| gathering.add(tag.as_str()))?;
        Ok(gathering.done())
    }

    fn manifest(&self, name: &RepositoryName, wanted: &TagOrDigest) -> Result<RawManifest, StoreError> {
        match wanted {
            TagOrDigest::Tag(tag) => self.manifest_at(name, &self.resolve(name, tag)?),
            TagOrDigest::Digest(digest) => self.manifest_at(name, digest),
        }
    }

    fn referrers(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        after: Option<&Digest>,
    ) -> Result<Referrers, StoreError> {
        let page = Page { after: after.map(link_name), most: MAX_REFERRERS };
        let mut gathering = Gathering::new(&page);
        self.tree.list(&referrers_folder(name, digest), |link, _| gathering.add(link))?;
        let links = gathering.done();
        let (mut found, mut last) = (Referrers::default(), None);
        for link in links.items {
            let Ok(digest) = link.replacen('-', ":", 1).parse() else {
                continue;
            };
            // A link may stand alone after a crash, or while its manifest is being removed.
            if let Ok(manifest) = self.manifest_at(name, &digest)
                && let Ok(parsed) = manifest.parse()
                && !found.add(Descriptor::of_referrer(&manifest, &parsed))
            {
                found.next = last;
                return Ok(found);
            }
            last = Some(digest);
        }
        found.next = last.filter(|_| links.more);
        Ok(found)
    }

    fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StoreError> {
        Ok(self.content(name, digest)?.metadata()?.len())
    }

    fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let mut file = self.content(name, digest)?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn writable(&self) -> Option<&dyn WritableStore> {
        Some(self)
    }
}

impl WritableStore for DirectoryStore {
    fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
        client: Option<Peer>,
    ) -> Result<String, StoreError> {
        self.uploads.start(name, algorithm, client)
    }

    fn upload_size(&self, name: &RepositoryName, upload: &str) -> Result<u64, StoreError> {
        self.uploads.size(name, upload)
    }

    fn append(
        &self,
        name: &RepositoryName,
        upload: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, StoreError> {
        self.uploads.append(name, upload, offset, bytes)
    }

    fn finish_upload(&self, name: &RepositoryName, upload: &str, digest: &Digest) -> Result<(), StoreError> {
        self.uploads.finish(name, upload, digest, |whole| {
            let _shared = self.removal.read();
            // Replaces content that is already there, which heals it should it be damaged.
            self.tree.publish(whole, &digest.layout_path())?;
            self.link_blob(name, digest)
        })
    }

    fn cancel_upload(&self, name: &RepositoryName, upload: &str) -> Result<(), StoreError> {
        self.uploads.cancel(name, upload)
    }

    fn tidy(&self) {
        self.uploads.tidy();
    }

    fn mount(&self, name: &RepositoryName, from: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _shared = self.removal.read();
        self.blob_size(from, digest)?;
        Ok(self.link_blob(name, digest)?)
    }

    fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needed: &Needed,
        tag: Option<&Tag>,
    ) -> Result<(), StoreError> {
        let _shared = self.removal.read();
        self.check_needed(name, needed)?;
        let digest = &manifest.digest;
        self.write(&digest.layout_path(), &manifest.bytes)?;
        let subject = manifest.parse().ok().and_then(|parsed| parsed.subject);
        if let Some(subject) = subject {
            let link = format!("{}/{}", referrers_folder(name, &subject.digest), link_name(digest));
            self.write(&link, b"")?;
        }
        self.write(&manifest_link(name, digest), manifest.media_type.as_bytes())?;
        if let Some(tag) = tag {
            self.write(&tag_file(name, tag), digest.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StoreError> {
        let removed = self.tree.remove(&tag_file(name, tag))?;
        if removed { Ok(()) } else { Err(StoreError::ManifestUnknown(tag.to_string())) }
    }

    fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let subject = self.manifest_at(name, digest).ok().and_then(|m| m.parse().ok()?.subject);
        if !self.tree.is_file(&manifest_link(name, digest))? {
            return Err(unknown());
        }
        let tags = self.check_manifest_unused(name, digest)?;
        for tag in tags {
            self.tree.remove(&tag_file(name, &tag))?;
        }
        self.tree.remove(&manifest_link(name, digest))?;
        if let Some(subject) = subject {
            let folder = referrers_folder(name, &subject.digest);
            self.tree.remove(&format!("{folder}/{}", link_name(digest)))?;
        }
        Ok(self.drop_content(digest)?)
    }

    fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        if !self.tree.is_file(&blob_link(name, digest))? {
            return Err(StoreError::BlobUnknown(*digest));
        }
        self.check_blob_unused(name, digest)?;
        self.tree.remove(&blob_link(name, digest))?;
        Ok(self.drop_content(digest)?)
    }
}
