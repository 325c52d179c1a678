//! Bundles written through the library, without a registry.

use airgap_bundle::archive::FormatError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use airgap_bundle::archive::{
    self, ArchiveError, BundleManifest, BundleReader, FRAME_CONTENT, FileInput, ImageRow, Input, Manifests,
    PartialFile, StoredEncoder, StreamEvent,
};
use airgap_bundle::image::{Digest, Reference};
use airgap_bundle::plan::{ExportPlan, Request, Resolution, ResolvedImage};
use bytes::Bytes;

use super::images::TestImage;

/// Bytes in memory as a bundle's file.
#[derive(Debug)]
pub struct Memory(pub Vec<u8>);

impl Input for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let at = usize::try_from(offset).unwrap();
        let end = at.checked_add(buffer.len()).filter(|end| *end <= self.0.len());
        let end =
            end.ok_or_else(|| ArchiveError::Format(FormatError::Damaged("the file ends early".to_owned())))?;
        buffer.copy_from_slice(&self.0[at..end]);
        Ok(())
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

/// Content by digest.
#[derive(Debug, Default)]
pub struct Shelf(pub HashMap<Digest, Bytes>);

impl Shelf {
    pub fn add(&mut self, image: &TestImage) {
        self.0.insert(image.digest, image.manifest.clone());
        self.0.extend(image.blobs.iter().cloned());
        for child in &image.children {
            self.add(child);
        }
    }
}

impl Manifests for Shelf {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.0.get(digest).cloned().ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}

fn row(name: &Reference, image: &TestImage) -> ResolvedImage {
    let row = ImageRow {
        artifact_type: None,
        digest: image.digest,
        entries: Vec::new(),
        media_type: image.media_type.as_str().into(),
        name: name.clone(),
        platforms: Vec::new(),
        size: 0,
        source: name.clone(),
    };
    ResolvedImage {
        row,
        root_size: image.manifest.len() as u64,
        original: None,
        repinned: None,
        artifacts: Vec::new(),
    }
}

/// Plans a bundle of `images`; `head` gets its compressed head.
pub fn plan(images: &[(&str, TestImage)], head: &mut Vec<u8>) -> (ExportPlan, Shelf) {
    let mut shelf = Shelf::default();
    for (_, image) in images {
        shelf.add(image);
    }
    let request = Request {
        catalog: airgap_bundle::archive::manifest::CatalogRecord {
            name: "made".to_owned(),
            version: "1".to_owned(),
            ..Default::default()
        },
        ..Request::default()
    };
    let images = images.iter().map(|(name, image)| row(&name.parse().unwrap(), image)).collect();
    let resolution = Resolution { images };
    let plan = ExportPlan::new(&request, &resolution, None, &shelf, &mut |bytes| {
        head.extend_from_slice(bytes);
        Ok(())
    });
    (plan.unwrap(), shelf)
}

/// Writes a bundle of `images` and returns its bytes.
pub fn written(images: &[(&str, TestImage)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (partial, target) = (folder.path().join("partial"), folder.path().join("target"));
    let mut head = Vec::new();
    let (plan, shelf) = plan(images, &mut head);
    let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
    let file = PartialFile::open(&partial, None, true).unwrap();
    file.write_at(0, &head).unwrap();
    // From the last to the first: places do not depend on the order.
    for index in layout.stored().rev() {
        let mut bytes = archive::member_header(layout, blobs, index);
        let at = layout.data_offset(index) - bytes.len() as u64;
        let mut encoder = StoredEncoder::new(blobs[index].size);
        for piece in shelf.0[&blobs[index].digest].chunks(70_001) {
            encoder.push(piece, &mut bytes).unwrap();
        }
        file.write_at(at, &bytes).unwrap();
    }
    let mut at = layout.stored_end();
    let mut compressed = Vec::new();
    for index in layout.compressed() {
        let member_header = archive::member_header(layout, blobs, index);
        file.write_at(at, &member_header).unwrap();
        at += member_header.len() as u64;
        let mut lens = Vec::new();
        for content in shelf.0[&blobs[index].digest].chunks(usize::try_from(FRAME_CONTENT).unwrap()) {
            let frame = archive::compressed_frame(content).unwrap();
            file.write_at(at, &frame).unwrap();
            at += frame.len() as u64;
            lens.push(u32::try_from(frame.len()).unwrap());
        }
        compressed.push(lens);
    }
    let ending = archive::ending(layout, blobs, &compressed).unwrap();
    let len = file.finish(at, &ending, &target).unwrap();
    assert!(len <= layout.max_len());
    assert!(!layout.is_exact() || len == layout.max_len());
    std::fs::read(target).unwrap()
}

pub fn open(bytes: Vec<u8>) -> Result<BundleReader, ArchiveError> {
    BundleReader::open(&(Arc::new(Memory(bytes)) as Arc<dyn Input>))
}

pub fn open_file(path: &Path) -> BundleReader {
    BundleReader::open(&(Arc::new(FileInput::open(path).unwrap()) as Arc<dyn Input>)).unwrap()
}

/// What `verify` finds, or what opening does.
pub fn problems(bytes: Vec<u8>) -> Vec<String> {
    let reader = match open(bytes) {
        Ok(reader) => reader,
        Err(error) => return vec![error.to_string()],
    };
    match reader.verify(&false.into(), &|_| {}) {
        Ok(problems) => problems.into_iter().map(|problem| problem.what).collect(),
        Err(error) => vec![error.to_string()],
    }
}

/// Every blob of the bundle, read through the reader.
pub fn contents(reader: &BundleReader) -> HashMap<Digest, Bytes> {
    let bundle: &BundleManifest = reader.manifest();
    let read = |index| {
        let pieces = reader.content(index, 0).unwrap();
        pieces.flat_map(|piece| piece.unwrap().to_vec()).collect::<Vec<u8>>()
    };
    bundle.blobs.iter().enumerate().map(|(index, blob)| (blob.digest, read(index).into())).collect()
}

/// Every blob outside the head, as it comes through a pipe that ends where `bytes` do.
pub fn piped(bytes: &[u8]) -> Result<Vec<(Digest, Vec<u8>)>, ArchiveError> {
    let (_, content) = archive::open_pipe(bytes)?;
    let mut blobs: Vec<(Digest, Vec<u8>)> = Vec::new();
    content.stream(&mut |event| {
        match event {
            StreamEvent::Begin(digest) => blobs.push((digest, Vec::new())),
            StreamEvent::Piece(piece) => blobs.last_mut().unwrap().1.extend_from_slice(&piece),
            StreamEvent::End => {}
        }
        Ok(())
    })?;
    Ok(blobs)
}
