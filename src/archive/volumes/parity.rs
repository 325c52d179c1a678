//! Parity volumes (`X.p01`, `X.p02`, …): each can replace one lost or damaged volume.
//!
//! They are computed column by column: byte i of all volumes gives byte i of all parity volumes, by Reed-Solomon over
//! GF(2^16) as in Leopard-RS (crate reed-solomon-simd 3). The last volume is padded with zeros. A parity volume is as
//! long as the longest volume, whose size is a multiple of [`COLUMNS`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::VolumeList;
use super::files::{Files, Names, failed};
use super::parity_size::{COLUMNS, parity_len};
use crate::archive::{ArchiveError, VolumesError};
use crate::image::{Algorithm, Digest, Hasher};

/// Bytes of all volumes together that are in memory at once; the computation itself needs a multiple of that.
const AT_ONCE: usize = 8 << 20;
/// Longest piece of one volume that is read at once, in bytes.
const MAX_PIECE: usize = 1 << 20;

/// The name of parity volume `index`, counted from 0.
pub fn parity_name(base: &Path, index: usize) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".p{:02}", index + 1));
    name.into()
}

/// The sources of a set of volumes, and the volumes to write. Volumes are counted from 0, with the parity volumes after
/// the others.
pub(super) struct Recoding<'a> {
    pub(super) volumes: usize,
    pub(super) parity: usize,
    /// Length of a parity volume.
    pub(super) len: u64,
    /// The file that each can be read from, if any.
    pub(super) sources: Vec<Option<PathBuf>>,
    /// The volumes to write, with path and length.
    pub(super) wanted: Vec<(usize, PathBuf, u64)>,
    /// Called with bytes read.
    pub(super) moved: &'a (dyn Fn(u64) + Sync),
    pub(super) cancelled: &'a AtomicBool,
}

/// The checksums of everything that was read and written.
pub(super) struct Recoded {
    /// Of every source that was read.
    pub(super) read: Vec<(usize, Digest)>,
    /// In the order of `wanted`.
    pub(super) written: Vec<Digest>,
}

/// One volume that is read.
struct Source {
    index: usize,
    len: u64,
    hasher: Hasher,
    piece: Vec<u8>,
}

impl Recoding<'_> {
    /// Reads the sources and writes the wanted volumes, synced. None when cancelled.
    pub(super) fn run(self) -> Result<Option<Recoded>, ArchiveError> {
        let piece = AT_ONCE / (self.volumes + self.parity).max(1);
        let piece = (piece as u64).clamp(COLUMNS, MAX_PIECE as u64) / COLUMNS * COLUMNS;
        let paths = |all: &mut dyn Iterator<Item = PathBuf>| Names::Listed(all.collect(), 0);
        let from =
            Files::new(paths(&mut self.sources.iter().map(|path| path.clone().unwrap_or_default())), false);
        let to = Files::new(paths(&mut self.wanted.iter().map(|(_, path, _)| path.clone())), true);
        let mut sources = self.needed(&from)?;
        let mut written = vec![Hasher::new(Algorithm::Sha256); self.wanted.len()];
        let mut at = 0;
        while at < self.len {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let take = usize::try_from(piece.min(self.len - at)).unwrap_or(MAX_PIECE);
            sources.par_iter_mut().try_for_each(|source| source.read(&from, at, take))?;
            (self.moved)((take * sources.len()) as u64);
            let made = self.columns(&sources, take)?;
            for ((slot, (_, path, len)), bytes) in self.wanted.iter().enumerate().zip(&made) {
                let own = usize::try_from(len.saturating_sub(at)).unwrap_or(take).min(take);
                written[slot].update(&bytes[..own]);
                let file = to.file(slot).map_err(failed)?;
                std::os::unix::fs::FileExt::write_all_at(&*file, &bytes[..own], at)
                    .map_err(ArchiveError::io(path))?;
            }
            at += take as u64;
        }
        for (slot, (_, path, _)) in self.wanted.iter().enumerate() {
            to.file(slot).map_err(failed)?.sync_all().map_err(ArchiveError::io(path))?;
        }
        Ok(Some(Recoded {
            read: sources.into_iter().map(|source| (source.index, source.hasher.finish())).collect(),
            written: written.into_iter().map(Hasher::finish).collect(),
        }))
    }

    /// Normal volumes first, then only as many parity volumes as are needed.
    fn needed(&self, from: &Files) -> Result<Vec<Source>, ArchiveError> {
        let there = (0..self.sources.len()).filter(|index| self.sources[*index].is_some());
        let source = |index| {
            let file = from.file(index).map_err(failed)?;
            let len = file.metadata().map_err(ArchiveError::io(&from.path(index)))?.len();
            Ok(Source { index, len, hasher: Hasher::new(Algorithm::Sha256), piece: Vec::new() })
        };
        there.take(self.volumes).map(source).collect()
    }

    /// Computes `take` columns of the wanted volumes.
    fn columns(&self, sources: &[Source], take: usize) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let mut data: Vec<Option<&[u8]>> = vec![None; self.volumes];
        for source in sources.iter().filter(|source| source.index < self.volumes) {
            data[source.index] = Some(&source.piece);
        }
        let mut decoder;
        let restored;
        if data.contains(&None) {
            decoder = ReedSolomonDecoder::new(self.volumes, self.parity, take).map_err(not_computed)?;
            for source in sources {
                let (index, piece) = (source.index, &source.piece);
                match index.checked_sub(self.volumes) {
                    None => decoder.add_original_shard(index, piece),
                    Some(parity) => decoder.add_recovery_shard(parity, piece),
                }
                .map_err(not_computed)?;
            }
            restored = decoder.decode().map_err(not_computed)?;
            for (index, piece) in restored.restored_original_iter() {
                data[index] = Some(piece);
            }
        }
        let data: Vec<&[u8]> = data.into_iter().flatten().collect();
        let mut encoder;
        let mut parity = None;
        if self.wanted.iter().any(|(index, ..)| *index >= self.volumes) {
            encoder = ReedSolomonEncoder::new(self.volumes, self.parity, take).map_err(not_computed)?;
            for piece in &data {
                encoder.add_original_shard(piece).map_err(not_computed)?;
            }
            parity = Some(encoder.encode().map_err(not_computed)?);
        }
        let piece = |index: usize| match index.checked_sub(self.volumes) {
            None => data.get(index).copied(),
            Some(own) => parity.as_ref().and_then(|parity| parity.recovery(own)),
        };
        let wanted = self.wanted.iter().map(|(index, ..)| piece(*index).map(<[u8]>::to_vec));
        wanted.collect::<Option<_>>().ok_or_else(|| not_computed("a volume is not among the results"))
    }
}

impl Source {
    /// Reads the columns from `at` on, padded with zeros after the end.
    fn read(&mut self, from: &Files, at: u64, take: usize) -> Result<(), ArchiveError> {
        self.piece.clear();
        self.piece.resize(take, 0);
        let own = usize::try_from(self.len.saturating_sub(at)).unwrap_or(take).min(take);
        let file = from.file(self.index).map_err(failed)?;
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut self.piece[..own], at)
            .map_err(|error| failed((from.path(self.index), error)))?;
        self.hasher.update(&self.piece[..own]);
        Ok(())
    }
}

/// Each of these would be a bug in this module, but should not cause a panic.
fn not_computed(why: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Volumes(VolumesError::incomplete(format!("parity cannot be computed: {why}")))
}

/// Writes `count` parity volumes beside the volumes of `list` at `base`, and returns the list with them. The volumes
/// are compared with the list while they are read, so that parity is never made from damaged ones. None when cancelled.
pub fn protect(
    base: &Path,
    list: &VolumeList,
    count: usize,
    moved: &(dyn Fn(u64) + Sync),
    cancelled: &AtomicBool,
) -> Result<Option<VolumeList>, ArchiveError> {
    let len = parity_len(list.volume_size, list.size);
    let names: Vec<PathBuf> = (0..count).map(|index| parity_name(base, index)).collect();
    let fresh: Vec<PathBuf> = names.iter().map(|path| fresh(path)).collect();
    let volumes = list.volumes.len();
    let recoding = Recoding {
        volumes,
        parity: count,
        len,
        sources: list.volumes.iter().map(|entry| Some(base.with_file_name(&entry.name))).collect(),
        wanted: fresh.iter().enumerate().map(|(index, path)| (volumes + index, path.clone(), len)).collect(),
        moved,
        cancelled,
    };
    let recoded = recoding.run().and_then(|recoded| match recoded {
        Some(recoded) => {
            match recoded.read.iter().find(|(index, own)| list.volumes[*index].sha256 != own.hex()) {
                Some((index, _)) => {
                    let path = base.with_file_name(&list.volumes[*index].name);
                    Err(ArchiveError::Volumes(VolumesError::incomplete(format!(
                        "{} is not what the list says",
                        path.display()
                    ))))
                }
                None => Ok(Some(recoded)),
            }
        }
        None => Ok(None),
    });
    let Ok(Some(recoded)) = recoded else {
        remove(&fresh);
        return recoded.map(|_| None);
    };
    for (from, to) in fresh.iter().zip(&names) {
        std::fs::rename(from, to).map_err(ArchiveError::io(to))?;
    }
    remove_parity(base, count)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries: Vec<(String, Digest)> = names.iter().map(name).zip(recoded.written).collect();
    Ok(Some(list.clone().with_parity(&entries)))
}

/// Removes the parity volumes of `base` from number `index` on, counted from 0.
pub fn remove_parity(base: &Path, index: usize) -> Result<(), ArchiveError> {
    for path in (index..).map(|index| parity_name(base, index)).take_while(|path| path.exists()) {
        std::fs::remove_file(&path).map_err(ArchiveError::io(&path))?;
    }
    Ok(())
}

/// The name of a file while it is written.
pub(super) fn fresh(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

pub(super) fn remove(paths: &[PathBuf]) {
    for path in paths {
        // A file that cannot be removed is recognised as unfinished by its name.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Survey;

    /// Volumes of `size` bytes of fixed content, with `parity` more.
    fn set(folder: &Path, size: usize, len: usize, parity: usize) -> (PathBuf, VolumeList) {
        let base = folder.join("x.tar.zst");
        let content: Vec<u8> = (0..len).map(|i| u8::try_from(i * i % 251).unwrap()).collect();
        let name = |index: usize| format!("x.tar.zst.{:03}", index + 1);
        let mut volumes = Vec::new();
        for (index, bytes) in content.chunks(size).enumerate() {
            std::fs::write(folder.join(name(index)), bytes).unwrap();
            volumes.push((name(index), Digest::sha256(bytes)));
        }
        let list = VolumeList::new(Digest::sha256(b""), size as u64, len as u64, &volumes);
        let list = protect(&base, &list, parity, &|_| {}, &AtomicBool::new(false)).unwrap().unwrap();
        std::fs::write(folder.join("x.tar.zst.volumes.json"), list.to_text().unwrap()).unwrap();
        (base, list)
    }

    #[test]
    fn parity_is_what_it_has_always_been() {
        // Sets lie on shelves for years: a later version must still rebuild them.
        let folder = tempfile::tempdir().unwrap();
        let (_, list) = set(folder.path(), 6400, 30_011, 3);
        let sums: Vec<&str> = list.parity.iter().map(|entry| &entry.sha256[..16]).collect();
        insta::assert_snapshot!(sums.join("\n"));
    }

    #[test]
    fn every_two_of_a_set_come_back() {
        for (size, len) in [(640, 3000), (6400, 30_011), (640, 640), (64_000, 100), (128, 129)] {
            let folder = tempfile::tempdir().unwrap();
            let (base, list) = set(folder.path(), size, len, 2);
            let paths: Vec<PathBuf> = list.all().map(|entry| base.with_file_name(&entry.name)).collect();
            let whole: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
            for one in 0..paths.len() {
                for other in one..paths.len() {
                    std::fs::write(&paths[one], b"scratched").unwrap();
                    if one != other {
                        std::fs::remove_file(&paths[other]).unwrap();
                    }
                    let stop = AtomicBool::new(false);
                    let survey = Survey::of(&base, &stop).unwrap().unwrap();
                    assert!(survey.can_rebuild());
                    assert_eq!(survey.wrong().len(), if one == other { 1 } else { 2 });
                    survey.rebuild(None, &|_| {}, &stop).unwrap().unwrap();
                    for (path, bytes) in paths.iter().zip(&whole) {
                        assert!(
                            std::fs::read(path).unwrap() == *bytes,
                            "{one} {other} {size} {}",
                            path.display()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn no_parity_is_made_of_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (base, list) = set(folder.path(), 640, 3000, 1);
        std::fs::write(folder.path().join("x.tar.zst.002"), vec![0; 640]).unwrap();
        let before = std::fs::read(parity_name(&base, 0)).unwrap();
        let made = protect(&base, &list, 2, &|_| {}, &AtomicBool::new(false));
        assert!(made.unwrap_err().to_string().contains("x.tar.zst.002 is not what the list says"));
        assert_eq!(std::fs::read(parity_name(&base, 0)).unwrap(), before);
        assert!(!parity_name(&base, 1).exists() && !fresh(&parity_name(&base, 0)).exists());
        // Stopped in between, nothing is left either.
        assert!(protect(&base, &list, 2, &|_| {}, &AtomicBool::new(true)).unwrap().is_none());
        assert!(!fresh(&parity_name(&base, 0)).exists());
    }
}
