//! Comparing volumes with their list, and saying what a wrong one is.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{VolumeInput, VolumeList};
use crate::archive::{ArchiveError, Input, Problem};
use crate::image::{Algorithm, Digest, Hasher};

/// Volumes are read in pieces of this size.
const PIECE: u64 = 1 << 20;
/// A volume is of another set when more of it than this is wrong, in percent.
const FOREIGN: u64 = 50;

impl VolumeInput {
    /// Hashes the volumes that are in `wanted`, and describes those that are not what the list says. `found` are the
    /// problems known of the content: they tell a damaged volume from one of another set. Without a list there is
    /// nothing to compare with.
    pub(in crate::archive) fn check(
        &self,
        wanted: impl IntoParallelIterator<Item = usize>,
        found: &[Problem],
        cancelled: &AtomicBool,
    ) -> Result<Vec<Problem>, ArchiveError> {
        let Some(list) = self.list() else {
            return Ok(Vec::new());
        };
        let wrong = wanted.into_par_iter().filter_map(|index| match self.hash(index, list, cancelled) {
            Ok(Some(digest)) if digest.hex() != list.volumes[index].sha256 => Some(Ok((index, digest))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let wrong: Vec<(usize, Digest)> = wrong.collect::<Result<_, ArchiveError>>()?;
        Ok(wrong.into_iter().map(|(index, digest)| self.describe(index, &digest, list, found)).collect())
    }

    /// Of an error met while opening, the volume that is to blame, where the list tells: head and seek table stand in the
    /// first and the last.
    pub(in crate::archive) fn blame(&self, error: ArchiveError) -> ArchiveError {
        let ends = vec![0, self.count() - 1];
        match self.check(ends, &[], &AtomicBool::new(false)) {
            Ok(mut problems) if !problems.is_empty() => {
                problems.dedup();
                let lines: Vec<String> = problems
                    .into_iter()
                    .map(|problem| format!("{}: {}", problem.place, problem.what))
                    .collect();
                ArchiveError::Volumes(lines.join("\n"))
            }
            _ => error,
        }
    }

    /// The checksum of a volume; none when cancelled.
    fn hash(
        &self,
        index: usize,
        list: &VolumeList,
        cancelled: &AtomicBool,
    ) -> Result<Option<Digest>, ArchiveError> {
        let start = index as u64 * list.volume_size;
        let end = start + list.volumes[index].size;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; usize::try_from(PIECE).unwrap_or(0)];
        let mut at = start;
        while at < end {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let take = usize::try_from((end - at).min(PIECE)).unwrap_or(0);
            self.read_at(at, &mut buffer[..take])?;
            hasher.update(&buffer[..take]);
            at += take as u64;
        }
        Ok(Some(hasher.finish()))
    }

    fn describe(&self, index: usize, digest: &Digest, list: &VolumeList, found: &[Problem]) -> Problem {
        let (entry, path) = (&list.volumes[index], self.path(index));
        let start = index as u64 * list.volume_size;
        let range = start..start + entry.size;
        // Frames that stand in it as a whole: one that spans volumes may be wrong for another's sake.
        let wrong: u64 = found
            .iter()
            .filter_map(|problem| problem.range.as_ref())
            .filter(|bad| bad.start >= range.start && bad.end <= range.end)
            .map(|bad| bad.end - bad.start)
            .sum();
        let is = match list.find(digest) {
            Some(other) => format!(
                "holds volume {}: two were exchanged, or one was copied twice",
                list.volumes[other].number
            ),
            None if wrong * 100 > entry.size * FOREIGN => "is of another set".to_owned(),
            None => "is damaged: its checksum is not the one in the list".to_owned(),
        };
        let what = format!("volume {} {is}", entry.number);
        Problem {
            place: path.display().to_string(),
            range: Some(range),
            blob: None,
            images: Vec::new(),
            what,
        }
    }
}
