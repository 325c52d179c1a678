//! Whole bundles: opened, verified, salvaged, and read as from a pipe. What opens and verifies has every byte it lists.

#![no_main]

use airgap_bundle::archive::FormatError;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use airgap_bundle::archive::{ArchiveError, BundleReader, ImageStore, Input, StreamEvent, open_pipe};
use airgap_bundle::image::Hasher;
use airgap_bundle::signing::Trust;
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Memory(Vec<u8>);

impl Input for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| self.0.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(range.ok_or_else(|| ArchiveError::Format(FormatError::Damaged("the end".to_owned())))?);
        Ok(())
    }

    fn name(&self) -> String {
        "input".to_owned()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let input: Arc<dyn Input> = Arc::new(Memory(bytes.to_vec()));
    if let Ok(reader) = BundleReader::open(&input) {
        let problems = reader.verify(&AtomicBool::new(false), &|_| {}).unwrap_or_default();
        for blob in &reader.manifest().blobs {
            let mut hasher = Hasher::for_digest(&blob.digest);
            let whole = reader.open(&blob.digest, 0).and_then(|pieces| {
                pieces.into_iter().try_for_each(|piece| piece.map(|piece| hasher.update(&piece)))
            });
            assert!(!problems.is_empty() || (whole.is_ok() && hasher.finish() == blob.digest));
        }
    }
    let _ = BundleReader::salvage(&input, &Trust::default()).map(|reader| reader.verify(&AtomicBool::new(false), &|_| {}));
    if let Ok((_, content)) = open_pipe(bytes) {
        let mut held = 0;
        let _ = content.stream(&mut |event| {
            if let StreamEvent::Piece(piece) = event {
                held += piece.len();
            }
            Ok(())
        });
    }
});
