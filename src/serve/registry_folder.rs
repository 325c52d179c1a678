//! The layout of a registry's folder, and reading from it.
//!
//! ```text
//! bundle-registry, oci-layout, lock
//! blobs/<alg>/<hex>                                   content, shared by all repositories
//! repositories/<name>/_blobs/<alg>/<hex>              empty: this blob is visible here
//! repositories/<name>/_manifests/<alg>/<hex>          the media type of a manifest that is here
//! repositories/<name>/_tags/<tag>                     a digest
//! repositories/<name>/_referrers/<alg>/<hex>/<alg>-<hex>   empty: subject, then the manifest that names it
//! uploads/<32 hex characters>                         unfinished uploads; removed on opening
//! ```
//!
//! `bundle-registry` says that the folder is a registry's; without it nothing here is touched. Names of repositories
//! never start with `_`, so the two kinds of folders cannot meet.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::fs::FileType;

use super::store::{RepositoryName, StoreError};
use super::tree::Tree;
use crate::image::{Digest, MediaType, RawManifest, Tag};

/// No repository's name is longer, in bytes. Ends the walk through a foreign folder of any depth.
const MAX_NAME: usize = 255;

/// The folder of a registry, to read from.
#[derive(Debug)]
pub(super) struct RegistryFolder {
    tree: Arc<Tree>,
}

impl RegistryFolder {
    pub(super) fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The content of a blob that is visible in this repository.
    pub(super) fn content(&self, name: &RepositoryName, digest: &Digest) -> Result<File, StoreError> {
        let unknown = || StoreError::BlobUnknown(*digest);
        if !self.tree.is_file(&blob_link(name, digest))? {
            return Err(unknown());
        }
        self.tree.open_file(&digest.layout_path())?.ok_or_else(unknown)
    }

    pub(super) fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StoreError> {
        Ok(self.content(name, digest)?.metadata()?.len())
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
    pub(super) fn walk(&self, mut each: impl FnMut(&RepositoryName) -> io::Result<()>) -> io::Result<()> {
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
}

pub(super) fn repository(name: &RepositoryName) -> String {
    format!("repositories/{name}")
}

pub(super) fn blob_link(name: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{name}/_blobs/{}", digest_path(digest))
}

pub(super) fn manifest_link(name: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{name}/_manifests/{}", digest_path(digest))
}

pub(super) fn tag_file(name: &RepositoryName, tag: &Tag) -> String {
    format!("repositories/{name}/_tags/{tag}")
}

pub(super) fn referrers_folder(name: &RepositoryName, subject: &Digest) -> String {
    format!("repositories/{name}/_referrers/{}", digest_path(subject))
}

pub(super) fn digest_path(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().name(), digest.hex())
}

pub(super) fn link_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}
