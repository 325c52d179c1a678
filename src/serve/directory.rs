//! A read-write [`Store`] in a directory.
//!
//! What stands where is [`RegistryFolder`]'s. Every file is written under `uploads/`, synced, and renamed: what is
//! visible is whole, and content is there before what points at it.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use rustix::fs::FileType;

use super::limits::{Peer, UploadLimits};
use super::listing::{Gathering, Listed, MAX_REFERRERS, Page, Referrers};
use super::marker::{Claim, adoption, claim};
use super::needs::{check_blob_unused, check_manifest_unused, check_needed};
use super::registry_folder::{
    RegistryFolder, blob_link, link_name, manifest_link, referrers_folder, repository, tag_file,
};
use super::store::{Needed, RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
use super::tree::Tree;
use super::uploads::{Clock, Uploads};
use crate::image::{Algorithm, Digest, RawManifest, Tag};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(Debug)]
pub struct DirectoryStore {
    folder: RegistryFolder,
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
    /// The hint for errors that the user can resolve with another folder.
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

    /// The same, with limits and a clock for tests.
    pub fn open_with(
        root: impl Into<PathBuf>,
        limits: UploadLimits,
        clock: Clock,
    ) -> Result<Self, DirectoryError> {
        let root = root.into();
        let io = |source| DirectoryError::Io { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(io)?;
        let tree = Arc::new(Tree::open(&root).map_err(io)?);
        match claim(&tree).map_err(io)? {
            Claim::Registry => {}
            Claim::Newer => return Err(DirectoryError::Newer(root)),
            Claim::Foreign { is_older } => return Err(DirectoryError::Foreign { path: root, is_older }),
        }
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
        let folder = RegistryFolder::new(tree);
        let store = Self { folder, uploads, removal: RwLock::default(), _lock: lock };
        if !store.folder.tree().is_file("oci-layout").map_err(io)? {
            store.write("oci-layout", LAYOUT).map_err(io)?;
        }
        Ok(store)
    }

    /// Puts `bytes` at `path` in one step, durably.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.tree().write(&Uploads::fresh_path()?, path, bytes)
    }

    fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<()> {
        let link = blob_link(name, digest);
        if self.folder.tree().is_file(&link)? { Ok(()) } else { self.write(&link, b"") }
    }

    /// Removes content that no repository points at any more. The caller holds `removal` for writing.
    fn drop_content(&self, digest: &Digest) -> io::Result<()> {
        let mut is_used = false;
        self.folder.walk(|name| {
            is_used = is_used
                || self.folder.tree().is_file(&blob_link(name, digest))?
                || self.folder.tree().is_file(&manifest_link(name, digest))?;
            Ok(())
        })?;
        if is_used { Ok(()) } else { self.folder.tree().remove(&digest.layout_path()).map(drop) }
    }
}

impl Store for DirectoryStore {
    fn repositories(&self, page: &Page) -> Result<Listed, StoreError> {
        let mut gathering = Gathering::new(page);
        self.folder.walk(|name| {
            if self.folder.tree().is_folder(&format!("{}/_manifests", repository(name))).unwrap_or(false) {
                gathering.add(name.as_str());
            }
            Ok(())
        })?;
        Ok(gathering.done())
    }

    fn tags(&self, name: &RepositoryName, page: &Page) -> Result<Listed, StoreError> {
        let folder = repository(name);
        let has = |part: &str| self.folder.tree().is_folder(&format!("{folder}/{part}"));
        if !has("_manifests")? && !has("_blobs")? {
            return Err(StoreError::NameUnknown(name.clone()));
        }
        let mut gathering = Gathering::new(page);
        self.folder.each_tag(name, |tag| gathering.add(tag.as_str()))?;
        Ok(gathering.done())
    }

    fn manifest(&self, name: &RepositoryName, wanted: &TagOrDigest) -> Result<RawManifest, StoreError> {
        match wanted {
            TagOrDigest::Tag(tag) => self.folder.manifest_at(name, &self.folder.resolve(name, tag)?),
            TagOrDigest::Digest(digest) => self.folder.manifest_at(name, digest),
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
        self.folder.tree().list(&referrers_folder(name, digest), |link, _| gathering.add(link))?;
        let links = gathering.done();
        let (mut found, mut last) = (Referrers::default(), None);
        for link in links.items {
            let Ok(digest) = link.replacen('-', ":", 1).parse() else {
                continue;
            };
            // A link may be left without its manifest after a crash, or while the manifest is being removed.
            if let Ok(manifest) = self.folder.manifest_at(name, &digest)
                && let Ok(parsed) = manifest.parse()
                && !found.add(manifest.as_referrer(&parsed))
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
        self.folder.blob_size(name, digest)
    }

    fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let mut file = self.folder.content(name, digest)?;
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
            // Replaces existing content too, which repairs it if it is damaged.
            self.folder.tree().publish(whole, &digest.layout_path())?;
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
        self.folder.blob_size(from, digest)?;
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
        check_needed(&self.folder, name, needed)?;
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
        let removed = self.folder.tree().remove(&tag_file(name, tag))?;
        if removed { Ok(()) } else { Err(StoreError::ManifestUnknown(tag.to_string())) }
    }

    fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let subject = self.folder.manifest_at(name, digest).ok().and_then(|m| m.parse().ok()?.subject);
        if !self.folder.tree().is_file(&manifest_link(name, digest))? {
            return Err(unknown());
        }
        let tags = check_manifest_unused(&self.folder, name, digest)?;
        for tag in tags {
            self.folder.tree().remove(&tag_file(name, &tag))?;
        }
        self.folder.tree().remove(&manifest_link(name, digest))?;
        if let Some(subject) = subject {
            let folder = referrers_folder(name, &subject.digest);
            self.folder.tree().remove(&format!("{folder}/{}", link_name(digest)))?;
        }
        Ok(self.drop_content(digest)?)
    }

    fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        if !self.folder.tree().is_file(&blob_link(name, digest))? {
            return Err(StoreError::BlobUnknown(*digest));
        }
        check_blob_unused(&self.folder, name, digest)?;
        self.folder.tree().remove(&blob_link(name, digest))?;
        Ok(self.drop_content(digest)?)
    }
}
