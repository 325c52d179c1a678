//! Compares every blob of a layout with its digest: in parallel for a folder or a plain tar, in order for a compressed
//! tar. Manifests were compared when the layout was opened, and the members of a bundle with what `bundle.json`
//! implies.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rayon::prelude::*;

use super::place::Place;
use crate::archive::ArchiveError;
use crate::archive::image_store::{ImageStore, StreamEvent};
use crate::archive::manifest::{BlobRow, MAX_HEAD_CONFIG};
use crate::archive::read::problem::{Problem, find_images};
use crate::image::{Digest, Hasher, ImageConfig, Role};

/// One blob that is being hashed.
struct Passing<'a> {
    blob: &'a BlobRow,
    hasher: Hasher,
    size: u64,
    /// The content of a config, which all tools must read in the same way.
    config: Vec<u8>,
}

impl<'a> Passing<'a> {
    fn of(blob: &'a BlobRow) -> Self {
        Self { blob, hasher: Hasher::for_digest(&blob.digest), size: 0, config: Vec::new() }
    }

    fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        if self.blob.role == Role::Config && self.size <= MAX_HEAD_CONFIG {
            self.config.extend_from_slice(piece);
        }
    }

    /// The problem with it, if any.
    fn finish(self) -> Option<String> {
        let (stated, found) = (self.blob.size, self.hasher.finish());
        if self.size != stated {
            return Some(format!("it has {} bytes, but its descriptor says {stated}", self.size));
        }
        if found != self.blob.digest {
            return Some(format!("the content has digest {found}"));
        }
        let is_read = self.blob.role == Role::Config && stated <= MAX_HEAD_CONFIG;
        let ambiguity = is_read.then(|| ImageConfig::ambiguity(&self.config)).flatten();
        ambiguity.map(|error| error.to_string())
    }
}

/// Checks every blob of `layout` that is not among `manifests`, which were compared with their digests already. `moved`
/// is called with the number of content bytes that have been checked.
pub(in crate::archive) fn verify(
    layout: &dyn ImageStore,
    manifests: &HashMap<Digest, Bytes>,
    place: &Place,
    cancelled: &AtomicBool,
    moved: &(dyn Fn(u64) + Sync),
) -> Vec<Problem> {
    let is_left = |blob: &&BlobRow| {
        let is_done = manifests.contains_key(&blob.digest);
        if is_done {
            moved(blob.size);
        }
        !is_done
    };
    let left: Vec<&BlobRow> = layout.bundle().blobs.iter().filter(is_left).collect();
    let mut problems = if layout.is_sequential() {
        verify_in_order(layout, &left, cancelled, moved)
    } else {
        let problems = Mutex::new(Vec::new());
        left.par_iter().with_max_len(1).for_each(|blob| {
            if !cancelled.load(Ordering::Relaxed)
                && let Some(what) = verify_blob(place, blob, moved)
            {
                let problem = problem(layout, Some(blob.digest), what);
                problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
            }
        });
        problems.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    find_images(&mut problems, layout.bundle(), layout);
    let positions = layout.bundle().index();
    problems.sort_by_key(|problem| problem.blob.and_then(|digest| positions.position(&digest)));
    problems
}

fn problem(layout: &dyn ImageStore, blob: Option<Digest>, what: String) -> Problem {
    let place = match &blob {
        Some(digest) => format!("{}, {}", layout.name(), digest.layout_path()),
        None => layout.name(),
    };
    Problem { range: None, place, blob, images: Vec::new(), what }
}

/// The problem with a blob that is read in place, if any.
fn verify_blob(place: &Place, blob: &BlobRow, moved: &(dyn Fn(u64) + Sync)) -> Option<String> {
    let mut reader = match place.open_member(&blob.digest.layout_path()) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Some("it is missing".to_owned()),
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    let (mut passing, mut buffer) = (Passing::of(blob), vec![0; 256 << 10]);
    loop {
        match io::Read::read(&mut reader, &mut buffer) {
            Ok(0) => return passing.finish(),
            Ok(read) => {
                passing.update(&buffer[..read]);
                moved(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(format!("it cannot be read: {error}")),
        }
    }
}

/// Reads the whole archive once, in its order.
fn verify_in_order(
    layout: &dyn ImageStore,
    left: &[&BlobRow],
    cancelled: &AtomicBool,
    moved: &(dyn Fn(u64) + Sync),
) -> Vec<Problem> {
    let mut wanted: HashMap<Digest, &BlobRow> = left.iter().map(|blob| (blob.digest, *blob)).collect();
    let (mut problems, mut passing) = (Vec::new(), None);
    let read = layout.stream(&mut |event| {
        if cancelled.load(Ordering::Relaxed) {
            return Err(ArchiveError::Invariant("cancelled"));
        }
        match event {
            StreamEvent::Begin(digest) => passing = wanted.get(&digest).map(|blob| Passing::of(blob)),
            StreamEvent::Piece(piece) => {
                if let Some(passing) = &mut passing {
                    passing.update(&piece);
                    moved(piece.len() as u64);
                }
            }
            StreamEvent::End => {
                if let Some(passed) = passing.take() {
                    let digest = passed.blob.digest;
                    wanted.remove(&digest);
                    problems.extend(passed.finish().map(|what| problem(layout, Some(digest), what)));
                }
            }
        }
        Ok(())
    });
    let why = match read {
        Err(_) if cancelled.load(Ordering::Relaxed) => return problems,
        Ok(()) => "it is missing".to_owned(),
        // Everything after the damage is lost with it.
        Err(error) => format!("it cannot be read: {}", error.damage()),
    };
    problems.extend(wanted.into_keys().map(|digest| problem(layout, Some(digest), why.clone())));
    problems
}
