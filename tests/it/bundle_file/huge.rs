//! Blobs beyond 4 GiB and 8 GiB: their positions, and their tar headers. The content is generated while it is read.

use std::io::Read;
use std::sync::{Arc, Mutex};

use airgap_bundle::archive::{
    ArchiveError, BundleReader, FRAME_CONTENT, Input, StoredEncoder, ending, member_header, stored_len,
};
use airgap_bundle::image::{Algorithm, Digest, media_type};
use bytes::Bytes;
use serde_json::json;

use super::TestImage;
use crate::support::bundles::plan;

const GIB: u64 = 1 << 30;

/// A bundle whose blobs hold, in each frame, the frame's number.
#[derive(Debug)]
struct Made {
    /// Everything but the blobs: where it stands, and its bytes.
    fixed: Vec<(u64, Vec<u8>)>,
    /// Where each blob's frames begin, and its size.
    blobs: Vec<(u64, u64)>,
    len: u64,
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
}

/// The byte that fills a frame.
fn filling(frame: u64) -> u8 {
    u8::try_from(frame % 251).unwrap()
}

impl Made {
    /// The frame of a blob that holds the file's byte `offset`, and where it begins.
    fn frame(&self, offset: u64) -> (u64, Arc<Vec<u8>>) {
        let holds = |(start, size): &&(u64, u64)| (*start..start + stored_len(*size)).contains(&offset);
        let (start, size) = self.blobs.iter().find(holds).unwrap();
        let number = (offset - start) / stored_len(FRAME_CONTENT);
        let begins = start + number * stored_len(FRAME_CONTENT);
        let mut last = self.last.lock().unwrap();
        if let Some((held, bytes)) = &*last
            && *held == begins
        {
            return (begins, Arc::clone(bytes));
        }
        let content = (size - number * FRAME_CONTENT).min(FRAME_CONTENT);
        let mut bytes = Vec::new();
        let content = vec![filling(number); usize::try_from(content).unwrap()];
        StoredEncoder::new(content.len() as u64).push(&content, &mut bytes).unwrap();
        let bytes = Arc::new(bytes);
        *last = Some((begins, Arc::clone(&bytes)));
        (begins, bytes)
    }
}

impl Input for Made {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<(), ArchiveError> {
        while !buffer.is_empty() {
            let fixed =
                self.fixed.iter().find(|(at, bytes)| (*at..at + bytes.len() as u64).contains(&offset));
            let made;
            let (at, bytes) = if let Some((at, bytes)) = fixed {
                (*at, bytes)
            } else {
                made = self.frame(offset);
                (made.0, &*made.1)
            };
            let skip = usize::try_from(offset - at).unwrap();
            let take = (bytes.len() - skip).min(buffer.len());
            let (now, later) = std::mem::take(&mut buffer).split_at_mut(take);
            now.copy_from_slice(&bytes[skip..skip + take]);
            buffer = later;
            offset += take as u64;
        }
        Ok(())
    }

    fn name(&self) -> String {
        "made".to_owned()
    }
}

/// An image of layers of these sizes, whose content is nowhere.
fn image_of(sizes: &[u64]) -> TestImage {
    let config = Bytes::from_static(br#"{"os":"linux","architecture":"amd64"}"#);
    let layers: Vec<_> = sizes
        .iter()
        .map(|size| {
            let digest = Digest::sha256(format!("of {size} bytes").as_bytes());
            json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": digest, "size": size })
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": layers,
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::sha256(&config), "size": config.len() },
    });
    let manifest = Bytes::from(manifest.to_string());
    TestImage {
        digest: Digest::of(Algorithm::Sha256, &manifest),
        media_type: media_type::OCI_MANIFEST.to_owned(),
        blobs: vec![(Digest::sha256(&config), config)],
        children: Vec::new(),
        manifest,
    }
}

#[test]
fn blobs_beyond_4_and_8_gib_have_their_places() {
    let sizes = [5 * GIB + 1, 9 * GIB + 12_345, 8 * GIB - 1, 8 * GIB, 1000];
    let mut head = Vec::new();
    let (plan, _) = plan(&[("registry.example/huge:1", image_of(&sizes))], &mut head);
    let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
    let stored = layout.stored();
    assert_eq!(stored.clone().map(|index| blobs[index].size).collect::<Vec<_>>(), sizes);

    let mut fixed = vec![(0, head)];
    let mut made = Vec::new();
    for index in stored.clone() {
        let (data, member_header) = (layout.data_offset(index), member_header(layout, blobs, index));
        // What is between two blobs is padding and a tar header, which must say the size as tar does.
        let decoded = zstd::decode_all(&member_header[..]).unwrap();
        let before = if index > stored.start { blobs[index - 1].size } else { 0 };
        let padding = usize::try_from(before.next_multiple_of(512) - before).unwrap();
        assert!(decoded[..padding].iter().all(|byte| *byte == 0));
        let mut tar = tar::Archive::new(&decoded[padding..]);
        let entry = tar.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.size(), blobs[index].size);
        assert_eq!(entry.path().unwrap().to_str().unwrap(), blobs[index].digest.layout_path());
        // BusyBox reads the main header only.
        assert_eq!(entry.header().size().unwrap(), blobs[index].size);
        let extended = decoded.len() - padding > 512;
        assert_eq!(extended, blobs[index].size >= 8 * GIB, "{}", blobs[index].size);
        fixed.push((data - member_header.len() as u64, member_header));
        made.push((data, blobs[index].size));
    }
    let end = layout.stored_end();
    let last = made.last().unwrap();
    assert_eq!(end, last.0 + stored_len(last.1));
    let ending = ending(layout, blobs, &[]).unwrap();
    let len = end + ending.len() as u64;
    assert_eq!(len, layout.max_len());
    fixed.push((end, ending));

    let input = Made { fixed, blobs: made, len, last: Mutex::default() };
    let reader = BundleReader::open(&(Arc::new(input) as Arc<dyn Input>)).unwrap();
    assert_eq!(reader.manifest(), &plan.bundle);
    for index in stored {
        let size = blobs[index].size;
        let points = [0, 4 * GIB - 3, 4 * GIB, 8 * GIB - 3, 8 * GIB, size - 1, size / 2];
        for from in points.into_iter().filter(|from| *from < size) {
            let piece = reader.content(index, from).unwrap().next().unwrap().unwrap();
            let mut first = [0];
            (&piece[..]).read_exact(&mut first).unwrap();
            assert_eq!(first[0], filling(from / FRAME_CONTENT), "byte {from} of {size}");
        }
        let left = reader.content(index, size - 1).unwrap().map(|piece| piece.unwrap().len());
        assert_eq!(left.sum::<usize>(), 1);
    }
}
