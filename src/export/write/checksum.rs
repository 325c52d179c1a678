//! The checksum of a finished file or of each of its volumes, and the sidecar files that hold them.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::error::TransferError;
use crate::app::own_file::{self, beside};
use crate::archive::{Cut, Input, LIST_SUFFIX, VolumeEntry, VolumeList, protect, remove_parity};
use crate::image::{Algorithm, Digest, Hasher};

/// Files are read in pieces of this size.
const PIECE: u64 = 1 << 20;

/// Computes the sha256 of a file, or of each of its volumes, while its bytes pass in order.
#[derive(Clone, Debug)]
pub(crate) struct Checksum {
    volume: Option<u64>,
    /// Bytes of the current volume.
    taken: u64,
    done: Vec<Digest>,
    hasher: Hasher,
}

impl Checksum {
    pub(crate) fn new(cut: Option<Cut>) -> Self {
        let hasher = Hasher::new(Algorithm::Sha256);
        Self { volume: cut.map(|cut| cut.size), taken: 0, done: Vec::new(), hasher }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while let Some(size) = self.volume.filter(|size| self.taken + bytes.len() as u64 > *size) {
            let (now, later) = bytes.split_at(usize::try_from(size - self.taken).unwrap_or(0));
            self.hasher.update(now);
            self.next_volume();
            bytes = later;
        }
        self.hasher.update(bytes);
        self.taken += bytes.len() as u64;
    }

    fn next_volume(&mut self) {
        let full = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        self.done.push(full.finish());
        self.taken = 0;
    }

    /// One digest, or one per volume.
    pub(crate) fn finish(mut self) -> Vec<Digest> {
        if self.taken > 0 || self.done.is_empty() {
            self.next_volume();
        }
        self.done
    }
}

/// Passes a range of `file` to `each`, piece by piece.
pub(crate) fn read_range(
    file: &dyn Input,
    range: std::ops::Range<u64>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), TransferError> {
    let mut buffer = vec![0; usize::try_from(PIECE).unwrap_or(0)];
    let mut at = range.start;
    while at < range.end {
        let take = usize::try_from((range.end - at).min(PIECE)).unwrap_or(0);
        file.read_at(at, &mut buffer[..take])?;
        each(&buffer[..take]);
        at += take as u64;
    }
    Ok(())
}

/// The sidecar files of a finished file: `.sha256` (if wanted), and the list of volumes.
pub(crate) struct Seal<'a> {
    pub(crate) target: &'a Path,
    pub(crate) cut: Option<Cut>,
    /// The id of the bundle.
    pub(crate) bundle: Digest,
    /// Bytes of the file, or of all volumes together.
    pub(crate) len: u64,
    pub(crate) sidecar: bool,
    /// Parity volumes that will be added.
    pub(crate) parity: usize,
}

impl Seal<'_> {
    /// Writes the files that hold `checksums` (one for the file, or one per volume); the list of volumes is written
    /// last.
    pub(crate) fn write(&self, checksums: &[Digest]) -> Result<(), TransferError> {
        let name = |index: usize| {
            let path = self.cut.map_or_else(|| self.target.to_owned(), |cut| cut.name(self.target, index));
            path.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        let files: Vec<(String, Digest)> =
            checksums.iter().enumerate().map(|(index, digest)| (name(index), *digest)).collect();
        if self.sidecar {
            sums(self.target, files.iter().map(|(name, digest)| (digest.hex(), name.as_str())))?;
        }
        if let Some(cut) = self.cut {
            let list = VolumeList::new(self.bundle, cut.size, self.len, &files).wanting_parity(self.parity);
            replace(&beside(self.target, LIST_SUFFIX), &list.to_text()?)?;
        }
        Ok(())
    }

    /// Removes them, so that the checksums of a replaced file do not remain for the new one.
    pub(crate) fn remove(target: &Path) -> Result<(), TransferError> {
        remove_parity(target, 0)?;
        for suffix in [LIST_SUFFIX, ".sha256"] {
            let path = beside(target, suffix);
            own_file::remove(&path).map_err(TransferError::io(&path))?;
        }
        Ok(())
    }
}

/// Writes the `.sha256` of a finished file if it is missing: a run may end after the rename and before this step.
pub(crate) fn complete_sidecar(target: &Path, file: &dyn Input, bundle: Digest) -> Result<(), TransferError> {
    if beside(target, ".sha256").exists() || beside(target, LIST_SUFFIX).exists() {
        return Ok(());
    }
    let mut checksum = Checksum::new(None);
    read_range(file, 0..file.len(), &mut |bytes| checksum.update(bytes))?;
    Seal { target, cut: None, bundle, len: file.len(), sidecar: true, parity: 0 }.write(&checksum.finish())
}

/// In the format of `sha256sum -c`.
fn sums<'a>(target: &Path, files: impl Iterator<Item = (String, &'a str)>) -> Result<(), TransferError> {
    let lines: Vec<String> = files.map(|(digest, name)| format!("{digest}  {name}\n")).collect();
    replace(&beside(target, ".sha256"), &lines.concat())
}

/// Adds parity volumes to the volumes of `target`, up to `count`. False when cancelled.
pub(crate) fn add_parity(
    target: &Path,
    count: usize,
    sidecar: bool,
    moved: &(dyn Fn(u64) + Sync),
    cancelled: &AtomicBool,
) -> Result<bool, TransferError> {
    let path = beside(target, LIST_SUFFIX);
    let list = VolumeList::read(&path)?;
    let are_there = || {
        let is_there = |entry: &VolumeEntry| {
            std::fs::metadata(target.with_file_name(&entry.name)).is_ok_and(|meta| meta.len() == entry.size)
        };
        list.parity.len() == count && list.parity.iter().all(is_there)
    };
    if are_there() {
        return Ok(true);
    }
    // Should the run end in between, the set does not count as finished.
    if list.parity_wanted != count {
        replace(&path, &list.clone().wanting_parity(count).to_text()?)?;
    }
    let Some(list) = protect(target, &list, count, moved, cancelled)? else {
        return Ok(false);
    };
    if sidecar {
        sums(target, list.all().map(|entry| (entry.sha256.clone(), entry.name.as_str())))?;
    }
    replace(&path, &list.to_text()?)?;
    Ok(true)
}

/// Writes a small file, completely or not at all.
fn replace(path: &Path, text: &str) -> Result<(), TransferError> {
    own_file::replace(path, text.as_bytes()).map_err(TransferError::io(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_volume_has_the_hash_of_its_own_bytes(len in 0usize..5000, size in 1u64..900, piece in 1usize..1300) {
            let content: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut checksum = Checksum::new(Some(Cut { size, digits: 3 }));
            content.chunks(piece).for_each(|piece| checksum.update(piece));
            let volumes = content.chunks(usize::try_from(size).unwrap());
            let mut expected: Vec<Digest> = volumes.map(Digest::sha256).collect();
            if expected.is_empty() {
                expected.push(Digest::sha256(b""));
            }
            prop_assert_eq!(checksum.finish(), expected);
        }
    }
}
