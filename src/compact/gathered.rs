//! Gathers the content of one member after the other, and inflates the zip entries in it if it should.

use super::deflation::{DEEPEST, Deflation};
use super::zip::{LARGEST, LONGEST_COMPARED, Limits, inflate};
use super::zip_levels::ZipLevels;
use super::{MEMBER_CONTENT, most_content};

/// Content bytes of a full member of a blob with bases: its window follows what the content is about.
const WITH_BASES: usize = 16 << 20;

/// What zip entries may become, as a multiple of their content, where all of them should have room. Most jars stay below 3.
const GROWTH: usize = 4;
/// Content that is looked at together at least, in bytes: an entry of more than half of it may stay as it is.
const SMALLEST_BLOCK: usize = 2 * LONGEST_COMPARED;

/// The most bytes of inflated content that are pushed together.
pub(super) const PUSHED: usize = 64 << 10;

/// The content of the current member.
#[derive(Debug)]
pub(super) struct Gathered {
    /// A member is full with so many bytes.
    full: usize,
    content: Vec<u8>,
    zip: Option<Zip>,
    /// Bytes that were pushed for it.
    pushed: usize,
    /// Content that the blob may still have before a reader would refuse it.
    left: u64,
}

/// What zip entries need.
#[derive(Debug)]
struct Zip {
    /// Content that was not looked at yet, and the most of it that is looked at together.
    block: Vec<u8>,
    block_size: usize,
    /// Bytes at its start that were left when it was looked at: an entry begins there.
    left: usize,
    /// The most that inflating may make of the content of a member.
    most: usize,
    /// The longest entry that is inflated, in deflated bytes.
    longest: usize,
    levels: ZipLevels,
    /// How the content was deflated, from outside to inside; of each, the bytes of content behind its last entry.
    deflations: [(Deflation, usize); DEEPEST],
}

impl Zip {
    /// How much is looked at together next, if the member has so much content: few enough that its entries have room.
    fn next_block(&self, content: usize) -> usize {
        let room = self.most.saturating_sub(content);
        let block = (room / GROWTH).clamp(SMALLEST_BLOCK, self.block_size);
        // Most entries that were left are complete with as much again.
        block.max((2 * self.left).min(room).min(self.block_size))
    }
}

impl Gathered {
    /// For the members of a blob of `size` bytes.
    pub(super) fn new(size: u64, has_bases: bool, inflates_zip: bool) -> Self {
        let zip = |block_size, most, longest| Zip {
            block: Vec::new(),
            block_size,
            left: 0,
            most,
            longest,
            levels: ZipLevels::default(),
            deflations: Default::default(),
        };
        let (full, zip) = match (has_bases, inflates_zip) {
            (false, false) => (MEMBER_CONTENT, None),
            (true, false) => (WITH_BASES, None),
            (false, true) => (54 << 20, Some(zip(16 << 20, MEMBER_CONTENT, LARGEST))),
            (true, true) => (WITH_BASES, Some(zip(8 << 20, 32 << 20, LONGEST_COMPARED))),
        };
        // What comes as it is has room in any case.
        let left = most_content(size).saturating_sub(size + PUSHED as u64);
        // Not filled before it is used, so that it costs no memory until then.
        Self { full, content: Vec::with_capacity(full), zip, pushed: 0, left }
    }

    /// Bytes that were pushed for this member.
    pub(super) fn pushed(&self) -> usize {
        self.pushed
    }

    /// Bytes that can be pushed together; none if the member is full.
    pub(super) fn room(&self) -> usize {
        match &self.zip {
            None => self.full - self.content.len(),
            Some(_) if self.content.len() >= self.full => 0,
            Some(zip) => zip.next_block(self.content.len()).saturating_sub(zip.block.len()),
        }
    }

    /// Whether a reader would refuse more content.
    pub(super) fn is_too_long(&self) -> bool {
        self.left == 0
    }

    /// Takes content for which there is room.
    pub(super) fn push(&mut self, more: &[u8]) {
        self.left = self.left.saturating_sub(more.len() as u64);
        self.pushed += more.len();
        let Some(zip) = &mut self.zip else { return self.content.extend_from_slice(more) };
        if zip.block.capacity() == 0 {
            zip.block.reserve_exact(zip.block_size);
        }
        zip.block.extend_from_slice(more);
        if zip.block.len() >= zip.next_block(self.content.len()) {
            self.inflate(false);
        }
    }

    /// The content of the member, and how its zip entries are deflated again, in this order. The next one begins.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<Deflation>) {
        self.inflate(true);
        self.pushed = 0;
        let mut deflations = Vec::new();
        if let Some(zip) = &mut self.zip {
            // It is empty, and compressing the member needs the memory.
            zip.block = Vec::new();
            for (deflation, behind) in zip.deflations.iter_mut().rev() {
                *behind = 0;
                let deflation = std::mem::take(deflation);
                if !deflation.entries.is_empty() {
                    deflations.push(deflation);
                }
            }
        }
        (std::mem::take(&mut self.content), deflations)
    }

    /// Gives the room of content back that was taken.
    pub(super) fn reuse(&mut self, mut content: Vec<u8>) {
        content.clear();
        self.content = content;
    }

    /// Moves the block to the content, its zip entries inflated.
    fn inflate(&mut self, is_last: bool) {
        let Some(Zip { block, left, most, longest, levels, deflations, .. }) = &mut self.zip else { return };
        let more = usize::try_from(self.left).unwrap_or(usize::MAX);
        // An entry that is not complete is left, which is at most half of the block, and may come to this member as it is.
        let later = if is_last { 0 } else { block.len() / 2 };
        let more = more.saturating_sub(later);
        let most = (*most - later).saturating_sub(self.content.len()).min(block.len().saturating_add(more));
        let limits = Limits { most, longest: *longest };
        let inflated = inflate(block, is_last, limits, &mut |made, raw| levels.of(made, raw));
        self.left = self.left.saturating_sub(inflated.content.len().saturating_sub(inflated.taken) as u64);
        self.content.extend_from_slice(&inflated.content);
        // From inside to outside, each deflation takes what the one before makes.
        let (mut len, found) = (inflated.content.len(), inflated.deflations.len());
        for (_, behind) in &mut deflations[found..] {
            *behind += len;
        }
        let taken = inflated.taken;
        for ((all, behind), mut new) in deflations[..found].iter_mut().rev().zip(inflated.deflations) {
            let raw: usize = new.entries.iter().map(|entry| entry.raw as usize).sum();
            let made: usize = new.entries.iter().map(|entry| entry.made as usize).sum();
            let before: usize = new.entries.iter().map(|entry| entry.before as usize).sum();
            if let Some(first) = new.entries.first_mut() {
                first.before += u32::try_from(*behind).unwrap_or(u32::MAX);
            }
            all.entries.append(&mut new.entries);
            *behind = len - raw - before;
            len = len - raw + made;
        }
        block.drain(..taken);
        *left = block.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoders::Zlib;

    fn header(made: usize, raw: usize) -> Vec<u8> {
        let sizes = [made, raw].map(|size| u32::try_from(size).unwrap().to_le_bytes()).concat();
        [&b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0"[..], &sizes, &[0; 4]].concat()
    }

    fn entry(raw: &[u8]) -> Vec<u8> {
        let (mut zlib, mut made) = (Zlib::new(6).unwrap(), Vec::new());
        zlib.write(raw, &mut made);
        zlib.end(&mut made);
        [header(made.len(), raw.len()), made].concat()
    }

    /// A layer full of jars that all become two and a half times as long.
    #[test]
    fn the_entries_of_a_long_blob_find_room() {
        let mut random = fastrand::Rng::with_seed(1);
        let entries: Vec<Vec<u8>> =
            (0..64).map(|_| entry(&(0..60_000).map(|_| random.u8(0..8)).collect::<Vec<u8>>())).collect();
        for has_bases in [false, true] {
            let mut gathered = Gathered::new(1 << 30, has_bases, true);
            let (mut all, mut deflated) = (0, 0);
            let mut count = |gathered: &mut Gathered| {
                let (content, deflations) = gathered.take();
                let entries = deflations.iter().flat_map(|deflation| &deflation.entries);
                deflated += entries.map(|entry| u64::from(entry.made)).sum::<u64>();
                gathered.reuse(content);
            };
            for entry in entries.iter().cycle().take(if has_bases { 600 } else { 1_300 }) {
                all += entry.len() as u64;
                let mut rest = &entry[..];
                while !rest.is_empty() {
                    if gathered.room() == 0 {
                        count(&mut gathered);
                    }
                    let (now, later) = rest.split_at(gathered.room().min(rest.len()));
                    gathered.push(now);
                    rest = later;
                }
            }
            count(&mut gathered);
            assert!(deflated * 100 > all * 98, "{deflated} of {all}");
        }
    }

    /// Entries in entries that become far larger, and an incomplete one at the end of what is looked at together.
    #[test]
    fn a_member_never_has_too_much_content() {
        let entry = entry(&entry(&vec![0; 13 << 20]));
        for (has_bases, most) in [(false, MEMBER_CONTENT), (true, 32 << 20)] {
            let mut gathered = Gathered::new(1 << 30, has_bases, true);
            let half = gathered.room() / 2 + (1 << 20);
            let mut content = entry.repeat(5);
            content.resize(half, 1);
            content.extend(header(15 << 20, 15 << 20));
            content.resize(gathered.room() * 3, 1);
            let mut rest = &content[..];
            let mut members = 0;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(gathered.room().min(rest.len()));
                gathered.push(now);
                rest = later;
                if gathered.room() == 0 || rest.is_empty() {
                    let (content, deflations) = gathered.take();
                    assert!(content.len() <= most, "{}", content.len());
                    assert_eq!(deflations.is_empty(), members > 0);
                    members += 1;
                }
            }
        }
    }
}
