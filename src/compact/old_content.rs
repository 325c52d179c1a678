//! Chooses what of old content a member refers to.
//!
//! The content of all bases is read once and cut into chunks at places that the content itself decides (`FastCDC`, Xia et
//! al., 2020), so that equal content gives equal chunks wherever it lies. The chunks of a member that are known
//! vote for *tiles* of 256 KiB of old content; those with most votes become its window, then their neighbours. Whatever is
//! chosen, the bytes are compared before they are copied: a wrong choice costs size and nothing else.

use std::collections::HashMap;

use fastcdc::v2020::{Chunk, FastCDC, StreamCDC};

use super::WINDOW;
use super::error::CompactError;
use super::inflated_base::view;
use super::member::{Added, Segment, WindowStep};
use super::pack;
use super::window::{BaseContent, MOST_BASES, Window};

/// Bytes of old content that are in a window together.
const TILE: u64 = 256 << 10;
const TILES: usize = (WINDOW / TILE) as usize;
/// Bytes that are known in what lies before the place in a base, for which it is begun anew.
const WORTH_A_REWIND: u64 = 4 << 20;
/// Shorter matches are left to zstd, which knows the window too.
const SHORTEST_COPY: usize = 16 << 10;
/// Chunks have about this many bytes; at least a quarter, at most four times.
const CHUNK: usize = 512;
/// Chunks of all bases that are known together: what lies behind them is as if it were not there.
const MOST_CHUNKS: usize = 6 << 20;

/// Opens the contents of bases.
pub trait Bases: Send {
    /// The content of the base with this number, from its start.
    fn open(&mut self, number: u32) -> Result<BaseContent, CompactError>;

    /// The content of this base cannot be read, so nothing will refer to it. An error ends the work.
    fn left_out(&mut self, number: u32, why: CompactError) -> Result<(), CompactError>;
}

/// The content of the bases of one blob.
pub(super) struct OldContent {
    bases: Box<dyn Bases>,
    index: Index,
    window: Window,
    /// The tiles in the window, in order.
    tiles: Vec<usize>,
    /// Where the next content would lie if it were the same.
    expected: u64,
    /// Whether zip entries are inflated.
    is_inflated: bool,
}

/// What a member is made from.
pub(super) struct Windowed {
    pub(super) step: WindowStep,
    pub(super) frame: Vec<u8>,
}

impl std::fmt::Debug for OldContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldContent").field("window", &self.window).finish_non_exhaustive()
    }
}

impl OldContent {
    /// Reads the bases with these numbers, at most [`MOST_BASES`]. One that cannot be read is left out; none if that leaves
    /// nothing.
    pub(super) fn read(
        mut bases: Box<dyn Bases>,
        numbers: &[u32],
        is_inflated: bool,
    ) -> Result<Option<Self>, CompactError> {
        let mut index = Index::default();
        for number in numbers.iter().take(MOST_BASES) {
            let read = bases.open(*number).and_then(|content| index.add(*number, view(content, is_inflated)));
            if let Err(why) = read {
                bases.left_out(*number, why)?;
            }
        }
        index.chunks.sort_unstable();
        let (window, tiles) = (Window::default(), Vec::new());
        let is_empty = index.chunks.is_empty();
        Ok((!is_empty).then_some(Self { bases, index, window, tiles, expected: 0, is_inflated }))
    }

    /// Makes a member of content, and moves the window on. None, and nothing is moved, if nothing in it is known.
    pub(super) fn pack(&mut self, content: &[u8]) -> Result<Option<Windowed>, CompactError> {
        let anchors = self.anchors(content);
        if anchors.is_empty() {
            return Ok(None);
        }
        let chosen = self.choose(&anchors);
        if !chosen.contains(&true) {
            // All of it lies behind the places in the bases.
            return Ok(None);
        }
        let mut step = self.advance(&chosen)?;
        let literals;
        (step.segments, literals) = self.segments(content, &anchors);
        if literals.is_empty() {
            return Ok(Some(Windowed { step, frame: Vec::new() }));
        }
        let frame = pack::compress_with(self.window.bytes(), &literals)?;
        if pack::decompress(&frame, literals.len(), self.window.bytes())? != literals {
            return Err(CompactError::Invalid("zstd gives other bytes back"));
        }
        Ok(Some(Windowed { step, frame }))
    }

    /// The chunks of content that are known.
    fn anchors(&mut self, content: &[u8]) -> Vec<Anchor> {
        let mut anchors = Vec::new();
        for Chunk { offset: at, length: len, .. } in FastCDC::new(content, CHUNK / 4, CHUNK, CHUNK * 4) {
            if let Some(old) = self.index.nearest(hash(&content[at..at + len]), self.expected) {
                anchors.push(Anchor { at, old, len });
                self.expected = old;
            }
            self.expected += len as u64;
        }
        anchors
    }

    /// The tiles of the next window.
    fn choose(&self, anchors: &[Anchor]) -> Vec<bool> {
        let tiles = self.index.tiles.len();
        let mut votes = vec![0_u64; tiles];
        for anchor in anchors {
            votes[tile(anchor.old)] += anchor.len as u64;
        }
        let in_window = self.in_window();
        // A tile before the place in its base can be had only by beginning the base anew.
        let mut behind = HashMap::<u32, u64>::new();
        let is_behind = |at: usize| {
            let Tile { base, at: from, .. } = self.index.tiles[at];
            !in_window[at] && from < self.window.position(base)
        };
        for at in (0..tiles).filter(|at| votes[*at] > 0 && is_behind(*at)) {
            *behind.entry(self.index.tiles[at].base).or_default() += votes[at];
        }
        let mut begun_anew: Vec<(u32, u64)> =
            behind.into_iter().filter(|(_, known)| *known >= WORTH_A_REWIND).collect();
        begun_anew.sort_unstable_by_key(|(base, known)| (std::cmp::Reverse(*known), *base));
        begun_anew.truncate(self.window.rewinds_left() as usize);
        let may_take = |at: usize| {
            !is_behind(at) || begun_anew.iter().any(|(base, _)| *base == self.index.tiles[at].base)
        };
        let mut chosen = vec![false; tiles];
        let mut order: Vec<usize> = (0..tiles).filter(|at| votes[*at] > 0 && may_take(*at)).collect();
        order.sort_by_key(|at| std::cmp::Reverse(votes[*at]));
        let mut left = TILES;
        for at in order.into_iter().take(TILES) {
            chosen[at] = true;
            left -= 1;
        }
        // Neighbours in the same base are added on both sides, round by round.
        let base = |at: usize| self.index.tiles.get(at).map(|tile| tile.base);
        loop {
            let before = chosen.clone();
            let is_chosen = |at: usize, of: usize| base(at) == base(of) && before[at];
            let is_beside = |at: usize| (at > 0 && is_chosen(at - 1, at)) || is_chosen(at + 1, at);
            for at in (0..tiles).filter(|at| !before[*at] && is_beside(*at) && may_take(*at)) {
                if left > 0 {
                    chosen[at] = true;
                    left -= 1;
                }
            }
            if left == 0 || before == chosen {
                return chosen;
            }
        }
    }

    fn in_window(&self) -> Vec<bool> {
        let mut in_window = vec![false; self.index.tiles.len()];
        for at in &self.tiles {
            in_window[*at] = true;
        }
        in_window
    }

    /// Moves the window to the chosen tiles.
    fn advance(&mut self, chosen: &[bool]) -> Result<WindowStep, CompactError> {
        let (mut step, mut at, in_window) = (WindowStep::default(), 0, self.in_window());
        let mut tiles = Vec::new();
        for old in std::mem::take(&mut self.tiles) {
            let end = at + self.index.tiles[old].len;
            if chosen[old] {
                tiles.push(old);
                match step.kept.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => step.kept.push(at..end),
                }
            }
            at = end;
        }
        for new in (0..chosen.len()).filter(|at| chosen[*at] && !in_window[*at]) {
            tiles.push(new);
            let Tile { base, at, len } = self.index.tiles[new];
            match step.added.last_mut() {
                Some(last) if last.base == base && last.at + last.len == at => last.len += len,
                _ => step.added.push(Added { base, is_inflated: self.is_inflated, at, len }),
            }
        }
        self.tiles = tiles;
        let bases = &mut self.bases;
        self.window.step(&step, &mut |number| bases.open(number))?;
        Ok(step)
    }

    /// What of the content is copied from the window, and the rest.
    fn segments(&self, content: &[u8], anchors: &[Anchor]) -> (Vec<Segment>, Vec<u8>) {
        let mut places = HashMap::new();
        let mut at = 0;
        for held in &self.tiles {
            places.insert(*held, at);
            at += self.index.tiles[*held].len;
        }
        let window = self.window.bytes();
        let (mut segments, mut literals, mut done) = (Vec::new(), Vec::new(), 0);
        for anchor in anchors {
            let place = places.get(&tile(anchor.old)).filter(|_| anchor.at >= done);
            let Some(place) = place else { continue };
            let in_window =
                usize::try_from(place + anchor.old % TILE).unwrap_or(usize::MAX).min(window.len());
            let back = content[done..anchor.at].iter().rev().zip(window[..in_window].iter().rev());
            let back = back.take_while(|(new, old)| new == old).count();
            let on = content[anchor.at..].iter().zip(&window[in_window..]);
            let on = on.take_while(|(new, old)| new == old).count();
            if back + on < SHORTEST_COPY {
                continue;
            }
            let from = anchor.at - back;
            literals.extend_from_slice(&content[done..from]);
            segments.push(Segment {
                literals: (from - done) as u64,
                at: (in_window - back) as u64,
                copied: (back + on) as u64,
            });
            done = anchor.at + on;
        }
        if done < content.len() {
            literals.extend_from_slice(&content[done..]);
            segments.push(Segment { literals: (content.len() - done) as u64, at: 0, copied: 0 });
        }
        (segments, literals)
    }
}

/// A chunk of new content that old content has too.
struct Anchor {
    at: usize,
    old: u64,
    len: usize,
}

/// The tile with this old content.
fn tile(old: u64) -> usize {
    usize::try_from(old / TILE).unwrap_or(usize::MAX)
}

/// The chunks of all bases. Their contents lie one behind the other, each from the beginning of a tile.
#[derive(Debug, Default)]
struct Index {
    /// Hash and place of each.
    chunks: Vec<(u64, u64)>,
    tiles: Vec<Tile>,
}

/// Where a tile lies.
#[derive(Clone, Copy, Debug)]
struct Tile {
    base: u32,
    at: u64,
    len: u64,
}

impl Index {
    /// Reads a base to its end; of one that cannot be read, nothing stays.
    fn add(&mut self, number: u32, content: BaseContent) -> Result<(), CompactError> {
        let (tiles, chunks) = (self.tiles.len(), self.chunks.len());
        let read = self.read(number, content);
        if read.is_err() {
            self.tiles.truncate(tiles);
            self.chunks.truncate(chunks);
        }
        read
    }

    fn read(&mut self, number: u32, content: BaseContent) -> Result<(), CompactError> {
        let (start, mut at) = (self.tiles.len() as u64 * TILE, 0);
        for chunk in StreamCDC::new(content, CHUNK / 4, CHUNK, CHUNK * 4) {
            if self.chunks.len() == MOST_CHUNKS {
                break;
            }
            let data = chunk.map_err(std::io::Error::from)?.data;
            self.chunks.push((hash(&data), start + at));
            at += data.len() as u64;
        }
        for from in (0..at.div_ceil(TILE)).map(|tile| tile * TILE) {
            self.tiles.push(Tile { base: number, at: from, len: TILE.min(at - from) });
        }
        Ok(())
    }

    /// Of the places with such a chunk, the one nearest to `expected`.
    fn nearest(&self, hash: u64, expected: u64) -> Option<u64> {
        let at = self.chunks.partition_point(|chunk| *chunk < (hash, expected));
        let around = [at.checked_sub(1), Some(at)].into_iter().flatten();
        let known = around.filter_map(|at| self.chunks.get(at)).filter(|(known, _)| *known == hash);
        known.map(|(_, place)| *place).min_by_key(|place| place.abs_diff(expected))
    }
}

/// A hash of a chunk. It need not be safe: bytes are compared before they are used.
fn hash(chunk: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(chunk, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Vec<u8>);

    impl Bases for One {
        fn open(&mut self, _: u32) -> Result<BaseContent, CompactError> {
            Ok(Box::new(std::io::Cursor::new(self.0.clone())))
        }

        fn left_out(&mut self, _: u32, why: CompactError) -> Result<(), CompactError> {
            Err(why)
        }
    }

    /// What is known lies before the place in the base, and is too little to begin it anew.
    #[test]
    fn a_member_of_which_only_little_is_known_has_no_window() {
        let mut base = vec![0; 60 << 20];
        fastrand::Rng::with_seed(1).fill(&mut base);
        let mut old = OldContent::read(Box::new(One(base.clone())), &[0], false).unwrap().unwrap();
        let first = old.pack(&base[44 << 20..58 << 20]).unwrap().unwrap();
        assert!(first.frame.len() < 1_000 && first.step.len() > 0);
        assert!(old.pack(&base[1 << 20..2 << 20]).unwrap().is_none());
        let next = old.pack(&base[50 << 20..51 << 20]).unwrap().unwrap();
        assert!(next.frame.len() < 1_000);
    }
}
