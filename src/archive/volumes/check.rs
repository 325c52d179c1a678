//! Compares volumes with their list, and describes what a wrong volume is.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{VolumeInput, VolumeList};
use crate::archive::{ArchiveError, Input, Problem};
use crate::image::{Algorithm, Digest, Hasher};

/// Volumes are read in pieces of this size.
const PIECE: u64 = 1 << 20;
/// A volume counts as one of another set if more than this part of it is wrong, in percent.
const FOREIGN: u64 = 50;

/// Hashes the `wanted` volumes and describes those that differ from the list. `found` are the known problems of the
/// content: they distinguish a damaged volume from one of another set. Without a list, nothing can be compared.
pub(in crate::archive) fn compare_with_list(
    set: &VolumeInput,
    wanted: impl IntoParallelIterator<Item = usize>,
    found: &[Problem],
    cancelled: &AtomicBool,
) -> Vec<Problem> {
    let Some(list) = set.list() else {
        return Vec::new();
    };
    let wrong = wanted.into_par_iter().filter_map(|index| match hash(set, index, list, cancelled) {
        Ok(Some(digest)) if digest.hex() != list.volumes[index].sha256 => {
            Some(problem(set, index, list, &describe(index, &digest, list, found)))
        }
        Ok(_) => None,
        Err(error) => Some(problem(set, index, list, &format!("cannot be read: {error}"))),
    });
    wrong.collect()
}

/// The volume that caused an error during opening, if the list shows it: head and seek table are in the first and the
/// last volume.
pub(in crate::archive) fn blame(set: &VolumeInput, error: ArchiveError) -> ArchiveError {
    let ends = vec![0, set.count() - 1];
    let mut problems = compare_with_list(set, ends, &[], &AtomicBool::new(false));
    problems.dedup();
    if problems.is_empty() {
        return error;
    }
    let lines = problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what));
    ArchiveError::Volumes(set.incomplete(lines.collect::<Vec<_>>().join("\n")))
}

/// The checksum of a volume; none when cancelled.
fn hash(
    set: &VolumeInput,
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
        set.read_at(at, &mut buffer[..take])?;
        hasher.update(&buffer[..take]);
        at += take as u64;
    }
    Ok(Some(hasher.finish()))
}

fn problem(set: &VolumeInput, index: usize, list: &VolumeList, is: &str) -> Problem {
    let (entry, start) = (&list.volumes[index], index as u64 * list.volume_size);
    Problem {
        place: set.path(index).display().to_string(),
        range: Some(start..start + entry.size),
        blob: None,
        images: Vec::new(),
        what: format!("volume {} {is}", entry.number),
    }
}

/// What the volume is instead.
fn describe(index: usize, digest: &Digest, list: &VolumeList, found: &[Problem]) -> String {
    let entry = &list.volumes[index];
    let start = index as u64 * list.volume_size;
    let range = start..start + entry.size;
    // Only frames that are completely in this volume count: one that spans volumes may be wrong because of another.
    let wrong: u64 = found
        .iter()
        .filter_map(|problem| problem.range.as_ref())
        .filter(|bad| bad.start >= range.start && bad.end <= range.end)
        .map(|bad| bad.end - bad.start)
        .sum();
    match list.find(digest) {
        Some(other) => format!(
            "holds volume {}: two volumes were exchanged, or one was copied twice",
            list.volumes[other].number
        ),
        None if wrong * 100 > entry.size * FOREIGN => "is of another set".to_owned(),
        None => "is damaged: its checksum is not the one in the list".to_owned(),
    }
}
