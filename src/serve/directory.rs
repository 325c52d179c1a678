//! A read-write [`Store`] in a directory.
//!
//! ```text
//! oci-layout, lock
//! blobs/<alg>/<hex>                                   content, shared by all repositories
//! repositories/<name>/_blobs/<alg>/<hex>              empty: this blob is visible here
//! repositories/<name>/_manifests/<alg>/<hex>          the media type of a manifest that is here
//! repositories/<name>/_tags/<tag>                     a digest
//! repositories/<name>/_referrers/<alg>/<hex>/<alg>-<hex>   empty: subject, then the manifest that names it
//! uploads/                                            what is not whole yet; emptied on opening
//! ```
//!
//! Names of repositories never start with `_`, so the two kinds of folders cannot meet. Every file is written under
//! `uploads/`, synced, and renamed: what is visible is whole, and content is there before what points at it.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use super::files::{digest_path, file_names, link_name, present, publish, read_small, remove};
use super::store::{RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
use super::uploads::Uploads;
use crate::image::{Algorithm, Descriptor, Digest, MediaType, RawManifest, Tag};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
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
    #[error("{0} is neither empty nor a registry's directory")]
    Foreign(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl DirectoryStore {
    /// Opens `root`, creating it if it is missing. Leftovers of interrupted uploads are removed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let root = root.into();
        let io = |source| DirectoryError::Io { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(io)?;
        let ours = root.join("repositories").is_dir() || root.join("lock").is_file();
        if !ours && fs::read_dir(&root).map_err(io)?.next().is_some() {
            return Err(DirectoryError::Foreign(root));
        }
        let lock =
            File::options().write(true).create(true).truncate(false).open(root.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DirectoryError::InUse(root)),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        for folder in ["repositories", "blobs/sha256", "blobs/sha512"] {
            fs::create_dir_all(root.join(folder)).map_err(io)?;
        }
        let uploads = Uploads::open(root.join("uploads")).map_err(io)?;
        let store = Self { uploads, removal: RwLock::default(), _lock: lock, root };
        let layout = store.root.join("oci-layout");
        if !layout.is_file() {
            store.write(&layout, LAYOUT).map_err(|source| DirectoryError::Io { path: layout, source })?;
        }
        Ok(store)
    }

    fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn blob_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name).join("_blobs").join(digest_path(digest))
    }

    fn manifest_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name).join("_manifests").join(digest_path(digest))
    }

    fn tag_file(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.repository(name).join("_tags").join(tag.as_str())
    }

    fn referrers_folder(&self, name: &RepositoryName, subject: &Digest) -> PathBuf {
        self.repository(name).join("_referrers").join(digest_path(subject))
    }

    fn content(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.layout_path())
    }

    /// Puts `bytes` at `path` in one step, durably.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.uploads.fresh_path();
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        publish(&temporary, path)
    }

    fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<()> {
        let link = self.blob_link(name, digest);
        if link.is_file() { Ok(()) } else { self.write(&link, b"") }
    }

    fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Digest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(tag.to_string());
        let text = read_small(&self.tag_file(name, tag))?.ok_or_else(unknown)?;
        std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).ok_or_else(unknown)
    }

    fn manifest_at(&self, name: &RepositoryName, digest: &Digest) -> Result<RawManifest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let media_type = read_small(&self.manifest_link(name, digest))?.ok_or_else(unknown)?;
        let bytes = read_small(&self.content(digest))?.ok_or_else(unknown)?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err(
                io::Error::new(io::ErrorKind::InvalidData, format!("{digest} is damaged on disk")).into()
            );
        }
        let media_type = MediaType::from(&*String::from_utf8_lossy(&media_type));
        Ok(RawManifest { bytes: bytes.into(), digest: *digest, media_type })
    }

    /// Every folder that holds a repository, whether or not it has manifests.
    fn walk(&self) -> io::Result<Vec<RepositoryName>> {
        let top = self.root.join("repositories");
        let mut found = Vec::new();
        let mut open = vec![(top, String::new())];
        while let Some((folder, name)) = open.pop() {
            let mut is_repository = false;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let Ok(part) = entry.file_name().into_string() else {
                    continue;
                };
                if part.starts_with('_') {
                    is_repository = true;
                } else if entry.file_type()?.is_dir() {
                    let name = if name.is_empty() { part } else { format!("{name}/{part}") };
                    open.push((entry.path(), name));
                }
            }
            if is_repository && let Ok(name) = name.parse() {
                found.push(name);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes content that no repository points at any more. The caller holds `removal` for writing.
    fn drop_content(&self, digest: &Digest) -> io::Result<()> {
        let used = self
            .walk()?
            .iter()
            .any(|name| self.blob_link(name, digest).is_file() || self.manifest_link(name, digest).is_file());
        if used { Ok(()) } else { remove(&self.content(digest)).map(drop) }
    }
}

impl Store for DirectoryStore {
    fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let mut names = self.walk()?;
        names.retain(|name| self.repository(name).join("_manifests").is_dir());
        Ok(names)
    }

    fn tags(&self, name: &RepositoryName) -> Result<Vec<Tag>, StoreError> {
        let folder = self.repository(name);
        if !folder.join("_manifests").is_dir() && !folder.join("_blobs").is_dir() {
            return Err(StoreError::NameUnknown(name.clone()));
        }
        let mut tags: Vec<Tag> =
            file_names(&folder.join("_tags"))?.iter().filter_map(|name| name.parse().ok()).collect();
        tags.sort_unstable();
        Ok(tags)
    }

    fn manifest(&self, name: &RepositoryName, wanted: &TagOrDigest) -> Result<RawManifest, StoreError> {
        match wanted {
            TagOrDigest::Tag(tag) => self.manifest_at(name, &self.resolve(name, tag)?),
            TagOrDigest::Digest(digest) => self.manifest_at(name, digest),
        }
    }

    fn referrers(&self, name: &RepositoryName, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let mut names = file_names(&self.referrers_folder(name, digest))?;
        names.sort_unstable();
        let mut found = Vec::new();
        for link in names {
            let Ok(digest) = link.replacen('-', ":", 1).parse() else {
                continue;
            };
            // A link may stand alone after a crash, or while its manifest is being removed.
            let Ok(manifest) = self.manifest_at(name, &digest) else {
                continue;
            };
            if let Ok(parsed) = manifest.parse() {
                found.push(Descriptor::of_referrer(&manifest, &parsed));
            }
        }
        Ok(found)
    }

    fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StoreError> {
        if !self.blob_link(name, digest).is_file() {
            return Err(StoreError::BlobUnknown(*digest));
        }
        let content = present(fs::metadata(self.content(digest)))?;
        content.map(|content| content.len()).ok_or(StoreError::BlobUnknown(*digest))
    }

    fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        if !self.blob_link(name, digest).is_file() {
            return Err(StoreError::BlobUnknown(*digest));
        }
        let mut file = present(File::open(self.content(digest)))?.ok_or(StoreError::BlobUnknown(*digest))?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn writable(&self) -> Option<&dyn WritableStore> {
        Some(self)
    }
}

impl WritableStore for DirectoryStore {
    fn start_upload(&self, name: &RepositoryName, algorithm: Algorithm) -> Result<String, StoreError> {
        self.uploads.start(name, algorithm)
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
        let whole = self.uploads.finish(name, upload, digest)?;
        let _shared = self.removal.read();
        // Replaces content that is already there, which heals it should it be damaged.
        publish(&whole, &self.content(digest))?;
        Ok(self.link_blob(name, digest)?)
    }

    fn cancel_upload(&self, name: &RepositoryName, upload: &str) -> Result<(), StoreError> {
        self.uploads.cancel(name, upload)
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
        tag: Option<&Tag>,
    ) -> Result<(), StoreError> {
        let _shared = self.removal.read();
        let digest = &manifest.digest;
        self.write(&self.content(digest), &manifest.bytes)?;
        let subject = manifest.parse().ok().and_then(|parsed| parsed.subject);
        if let Some(subject) = subject {
            let link = self.referrers_folder(name, &subject.digest).join(link_name(digest));
            self.write(&link, b"")?;
        }
        self.write(&self.manifest_link(name, digest), manifest.media_type.as_bytes())?;
        if let Some(tag) = tag {
            self.write(&self.tag_file(name, tag), digest.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StoreError> {
        let removed = remove(&self.tag_file(name, tag))?;
        if removed { Ok(()) } else { Err(StoreError::ManifestUnknown(tag.to_string())) }
    }

    fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let subject = self.manifest_at(name, digest).ok().and_then(|m| m.parse().ok()?.subject);
        if !self.manifest_link(name, digest).is_file() {
            return Err(unknown());
        }
        for tag in self.tags(name)? {
            if self.resolve(name, &tag).ok().as_ref() == Some(digest) {
                remove(&self.tag_file(name, &tag))?;
            }
        }
        remove(&self.manifest_link(name, digest))?;
        if let Some(subject) = subject {
            remove(&self.referrers_folder(name, &subject.digest).join(link_name(digest)))?;
        }
        Ok(self.drop_content(digest)?)
    }

    fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _alone = self.removal.write();
        if !remove(&self.blob_link(name, digest))? {
            return Err(StoreError::BlobUnknown(*digest));
        }
        Ok(self.drop_content(digest)?)
    }
}
