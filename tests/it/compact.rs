//! The compact form of a blob gives its exact bytes back, whatever the blob is, and refuses everything that is not one.

use std::io::Read;

use airgap_bundle::compact::{BaseContent, Bases, CompactError, Compactor, Effort, Members, Packed, Remake};
use airgap_bundle::encoders::{Encoder, PGZIP_BLOCK, Variant};
use proptest::prelude::*;

use crate::encoders::inputs::Random;

/// The members of a blob in memory.
struct InMemory(std::vec::IntoIter<Vec<u8>>);

impl Members for InMemory {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        Some(Ok(Box::new(std::io::Cursor::new(self.0.next()?))))
    }

    fn base(&mut self, _: u32) -> Result<BaseContent, CompactError> {
        panic!("a blob without bases reads one")
    }
}

/// The members of a blob and the contents of its bases.
struct WithBases(InMemory, Vec<Vec<u8>>);

impl Members for WithBases {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        self.0.next()
    }

    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        let content = self.1.get(number as usize).ok_or(CompactError::Base(number))?;
        Ok(Box::new(std::io::Cursor::new(content.clone())))
    }
}

struct Contents(Vec<Vec<u8>>);

impl Bases for Contents {
    fn open(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        Ok(Box::new(std::io::Cursor::new(self.0[number as usize].clone())))
    }

    fn left_out(&mut self, _: u32, why: CompactError) -> Result<(), CompactError> {
        Err(why)
    }
}

/// The compact form of gzip of `raw`, which may refer to `bases`; the blob, and the bytes of its members.
fn against(raw: &[u8], bases: &[Vec<u8>]) -> (Vec<u8>, Vec<Vec<u8>>) {
    made_with(Effort::Normal, raw, bases)
}

/// The same with this effort.
pub(crate) fn made_with(effort: Effort, raw: &[u8], bases: &[Vec<u8>]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let blob = gzip(Encoder::Go126 { level: 1 }, raw);
    let mut members = Vec::new();
    let mut sink = |packed| match packed {
        Packed::Plain(_) => panic!("it stays as it is"),
        Packed::Member(member) => members.push(member),
    };
    let numbers = (0..u32::try_from(bases.len()).unwrap()).collect();
    let mut compactor =
        Compactor::new(blob.len() as u64, effort).with_bases(Box::new(Contents(bases.to_vec())), numbers);
    compactor.push(&blob, &mut sink).unwrap();
    compactor.finish(&mut sink).unwrap();
    (blob, members)
}

/// The blob of `size` bytes that the members make.
pub(crate) fn remake_with(
    members: Vec<Vec<u8>>,
    size: usize,
    bases: &[Vec<u8>],
) -> Result<Vec<u8>, CompactError> {
    let members = WithBases(InMemory(members.into_iter()), bases.to_vec());
    let pieces: Result<Vec<_>, _> = Remake::new(members, size as u64).collect();
    Ok(pieces?.concat())
}

/// Bytes that do not compress.
pub(crate) fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

#[test]
fn what_a_base_has_costs_next_to_nothing() {
    let old = random(1, 3_000_000);
    let mut new = old[..1_000_000].to_vec();
    new.extend(random(2, 5_000));
    new.extend_from_slice(&old[1_200_000..]);
    new.extend(random(3, 1_000));
    let (blob, members) = against(&new, std::slice::from_ref(&old));
    let held: usize = members.iter().map(Vec::len).sum();
    assert!(held < 8_000, "{held}");
    assert!(remake_with(members, blob.len(), &[old]).unwrap() == blob);
}

#[test]
fn what_moved_and_what_is_in_several_bases_is_found() {
    let bases = [random(1, 700_000), random(2, 900_000), b"short".to_vec(), random(4, 300_000), random(5, 1)];
    let new = [&bases[1][500_000..], &bases[0][..], &bases[1][..500_000], &bases[3][..]].concat();
    let (blob, members) = against(&new, &bases);
    let held: usize = members.iter().map(Vec::len).sum();
    assert!(held < 4_000, "{held}");
    assert!(remake_with(members, blob.len(), &bases).unwrap() == blob);
}

/// Larger than a window, and in another order: bases are begun anew.
#[test]
fn a_window_slides_over_large_bases() {
    const PART: usize = 9 << 20;
    let old = random(1, 5 * PART);
    let order = [3, 0, 4, 1, 2];
    let new: Vec<u8> = order.iter().flat_map(|at| &old[at * PART..(at + 1) * PART]).copied().collect();
    let (blob, members) = against(&new, std::slice::from_ref(&old));
    assert_eq!(members.len(), (5 * PART).div_ceil(16 << 20));
    let held: usize = members.iter().map(Vec::len).sum();
    // For less than 4 MiB a base is not begun anew.
    assert!(held < new.len() / 20, "{held}");
    assert!(remake_with(members, blob.len(), &[old]).unwrap() == blob);
}

#[test]
fn nothing_known_is_as_without_a_base() {
    let mut rng = fastrand::Rng::with_seed(3);
    let part: String = (0..200_000).map(|_| rng.alphanumeric()).collect();
    let text = part.repeat(3).into_bytes();
    let (blob, members) = against(&text, &[random(1, 300_000)]);
    assert_eq!(members, compact(&blob, blob.len()).unwrap());
}

#[test]
fn another_base_gives_another_blob_or_an_error() {
    let old = random(1, 500_000);
    let mut new = old.clone();
    new[250_000] ^= 1;
    let (blob, members) = against(&new, std::slice::from_ref(&old));
    let mut other = old.clone();
    other[100] ^= 1;
    if let Ok(made) = remake_with(members.clone(), blob.len(), &[other]) {
        assert!(made != blob);
    }
    let short = remake_with(members.clone(), blob.len(), &[old[..400_000].to_vec()]);
    assert!(matches!(short, Err(CompactError::Base(0))), "{short:?}");
    // Every flip in the members gives an error, another blob, or the same.
    for at in 0..members[0].len().min(400) {
        let mut flipped = members.clone();
        flipped[0][at] ^= 0x10;
        let _ = remake_with(flipped, blob.len(), &[old.clone(), old.clone(), old.clone(), old.clone()]);
    }
}

/// The compact form of a blob; none if it stays as it is, which must then be all of it.
fn compact(blob: &[u8], cut: usize) -> Option<Vec<Vec<u8>>> {
    let (mut plain, mut members) = (Vec::new(), Vec::new());
    let mut sink = |packed| match packed {
        Packed::Plain(bytes) => plain.extend(bytes),
        Packed::Member(member) => members.push(member),
    };
    let mut compactor = Compactor::new(blob.len() as u64, Effort::Normal);
    for piece in blob.chunks(cut) {
        compactor.push(piece, &mut sink).unwrap();
    }
    compactor.finish(&mut sink).unwrap();
    if members.is_empty() {
        assert!(plain == blob, "a blob that stays as it is");
        return None;
    }
    assert!(plain.is_empty(), "both forms at once");
    Some(members)
}

fn remake(members: Vec<Vec<u8>>, size: usize) -> Result<Vec<u8>, CompactError> {
    let mut blob = Vec::new();
    for piece in Remake::new(InMemory(members.into_iter()), size as u64) {
        blob.extend_from_slice(&piece?);
    }
    Ok(blob)
}

/// Compacts and remakes `blob`; returns the bytes of its compact form, or none if it stays as it is.
fn through(blob: &[u8], cut: usize) -> Option<usize> {
    let members = compact(blob, cut)?;
    let len = members.iter().map(Vec::len).sum();
    assert!(remake(members, blob.len()).unwrap() == blob);
    Some(len)
}

/// `raw` as a gzip member of `encoder`.
fn gzip(encoder: Encoder, raw: &[u8]) -> Vec<u8> {
    let mut blob = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut encoding = encoder.start().unwrap();
    for write in raw.chunks(32 << 10) {
        encoding.write(write, &mut blob);
    }
    encoding.finish(&mut blob);
    let mut crc = flate2::Crc::new();
    crc.update(raw);
    blob.extend_from_slice(&crc.sum().to_le_bytes());
    blob.extend_from_slice(&u32::try_from(raw.len()).unwrap().to_le_bytes());
    blob
}

/// Text that compresses as well as the content of layers does.
pub(crate) fn text(count: usize) -> Vec<u8> {
    Random(7).text(count)
}

/// Blobs that are shorter than what an encoder is looked for in.
#[test]
fn encoders_are_recognised() {
    // What repeats is too far back for gzip.
    let raw = text(70_000).repeat(2);
    // Those that tools use.
    let used = Encoder::all(PGZIP_BLOCK).into_iter().filter(|encoder| [1, 5, 6].contains(&encoder.level()));
    for encoder in used {
        let blob = gzip(encoder, &raw);
        let len = through(&blob, 40_000).unwrap_or_else(|| panic!("{encoder} is not recognised"));
        assert!(len * 100 < blob.len() * 97, "{encoder}: {len} of {}", blob.len());
    }
}

/// A blob of several blocks, whose size is found at the first marker.
#[test]
fn blocks_of_other_sizes() {
    let raw = text(1_300_000);
    let pgzip = |level, block_size| Encoder::Pgzip { variant: Variant::V1_18_0, level, block_size };
    for (level, block_size) in [(5, PGZIP_BLOCK), (5, 100_000), (1, 20_000)] {
        let blob = gzip(pgzip(level, block_size), &raw);
        assert!(through(&blob, 512 << 10).is_some(), "{level}, {block_size}");
    }
}

#[test]
fn the_cut_of_a_blob_does_not_matter() {
    let mut blob = gzip(Encoder::Go126 { level: 1 }, &text(900_000).repeat(2));
    // Another level does not match from somewhere on.
    blob.extend(gzip(Encoder::Go126 { level: 6 }, &text(400_000)));
    let whole = compact(&blob, blob.len()).unwrap();
    for cut in [1, 1000, 77_777, 1 << 20] {
        assert!(compact(&blob, cut).unwrap() == whole, "{cut}");
    }
}

#[test]
fn content_that_is_not_compressed() {
    assert!(through(&text(300_000), 512 << 10).is_some());
    assert!(through(&Random(1).bytes(300_000, 0xff), 512 << 10).is_none());
}

#[test]
fn small_blobs_and_unknown_encoders_stay_as_they_are() {
    let raw = text(400_000);
    assert!(through(&gzip(Encoder::Zlib { level: 6 }, &raw[..60_000]), 4096).is_none());
    // No encoder writes a block as it is although it could be shorter, except for level 0.
    let mut blob = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in raw.chunks(1000) {
        blob.push(0);
        blob.extend_from_slice(&1000_u16.to_le_bytes());
        blob.extend_from_slice(&(!1000_u16).to_le_bytes());
        blob.extend_from_slice(block);
    }
    assert!(through(&blob, 4096).is_none());
    for blob in [&b""[..], b"\x1f", b"\x1f\x8b\x08\0\0\0\0\0\0\xff"] {
        assert!(through(blob, 1).is_none());
    }
}

/// Tools write one gzip member for each file (eStargz), pad, or append.
#[test]
fn many_gzip_members_and_what_follows_them() {
    let raw = text(1_500_000);
    let encoder = Encoder::Go126 { level: 6 };
    let mut blob = Vec::new();
    for (at, member) in raw.chunks(50_000).enumerate() {
        blob.extend(gzip(encoder, member));
        // One without content, as a footer.
        if at % 3 == 0 {
            blob.extend(gzip(encoder, b""));
        }
    }
    let clean = through(&blob, 10_000).unwrap();
    assert!(clean * 10 < blob.len() * 9, "{clean} of {}", blob.len());
    for after in [&b"\0"[..], &[0; 3000], b"\x1f\x8b", b"\x1f\x8b\x08\x08name", b"something else"] {
        let mut longer = blob.clone();
        longer.extend_from_slice(after);
        let len = through(&longer, 10_000).unwrap();
        assert!(len < clean + after.len() + 100);
    }
}

/// From where the encoder differs, the bytes are carried as they are.
#[test]
fn a_stream_that_differs_somewhere() {
    let raw = text(3_600_000);
    let blob = gzip(Encoder::Go126 { level: 1 }, &raw);
    let other = gzip(Encoder::Go126 { level: 6 }, &raw);
    let (clean, mut random) = (through(&blob, 65_536).unwrap(), Random(3));
    // The encoder is found in the first MiB.
    let sample = 1 << 20;
    for _ in 0..2 {
        let mut damaged = blob.clone();
        let at = sample + random.below(damaged.len() - sample);
        damaged[at] ^= 1 << random.below(8);
        let len = through(&damaged, 65_536).unwrap();
        assert!(len >= clean);
        let mut cut = blob.clone();
        cut.truncate(at);
        through(&cut, 65_536);
        // The end of another encoder's.
        let mut mixed = blob[..at].to_vec();
        mixed.extend_from_slice(&other[at.min(other.len())..]);
        through(&mixed, 65_536);
    }
}

/// More than one member, and nothing gained in the first: then the blob stays as it is, although a later one would gain.
#[test]
fn the_first_member_decides() {
    let full = 64 << 20;
    let mut blob = Random(5).bytes(1 << 20, 0xff).repeat(65);
    // Long matches within the repeated content would make it worth it.
    let mut random = Random(9);
    for at in (0..blob.len()).step_by(8) {
        let bytes = random.next().to_le_bytes();
        let end = blob.len().min(at + 8);
        blob[at..end].copy_from_slice(&bytes[..end - at]);
    }
    blob.extend(vec![0; full]);
    assert!(compact(&blob, 1 << 20).is_none());
    blob.rotate_left(full);
    let members = compact(&blob, 1 << 20).unwrap();
    assert!(members.len() > 2, "{}", members.len());
    assert!(remake(members, blob.len()).unwrap() == blob);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_blob_comes_back(
        seed in 1_u64..,
        members in prop::collection::vec((0..20_usize, 0..200_000_usize), 1..5),
        junk in prop::collection::vec(any::<u8>(), 0..40),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        cut in 1..100_000_usize,
    ) {
        let all = Encoder::all(PGZIP_BLOCK);
        let mut random = Random(seed);
        let mut blob = Vec::new();
        for (encoder, len) in members {
            blob.extend(gzip(all[encoder], &random.text(len)));
        }
        blob.extend(junk);
        for flip in flips {
            let at = flip.index(blob.len());
            blob[at] ^= 1;
        }
        through(&blob, cut);
    }

    /// A changed form is an error or gives bytes of the right length, which their digest then refuses.
    #[test]
    fn a_changed_form_is_never_longer_and_never_hangs(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        shorter: bool,
    ) {
        let raw = text(200_000);
        let blob = gzip(Encoder::Go126 { level: 1 }, &raw);
        let mut members = compact(&blob, 1 << 20).unwrap();
        let member = &mut members[0];
        for (at, with) in flips {
            // Mostly in the head, where the parts are.
            let at = at.index(if with < 128 { 64 } else { member.len() });
            member[at] ^= with;
        }
        if shorter {
            member.truncate(cut.index(member.len()));
        }
        if let Ok(made) = remake(members, blob.len()) {
            prop_assert_eq!(made.len(), blob.len());
        }
    }
}

/// Many parts that each take little of what an encoder made at once.
#[test]
fn many_parts_take_no_time() {
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        while value > 127 {
            bytes.push(u8::try_from(value & 127).unwrap() | 128);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    };
    let (content, count) = (20 << 20, 40_000);
    let blob = gzip(Encoder::Go126 { level: 0 }, &vec![0; content]);
    let mut member = [number(0), number(0), number(content), number(0), number(0), number(count)].concat();
    member.extend([3, 7]);
    member.extend_from_slice(b"go126:0");
    member.extend([number(content), number(0)].concat());
    for _ in 1..count {
        member.extend([1, 0, 1]);
    }
    member.extend(zstd::encode_all(&vec![0; content][..], 1).unwrap());
    let made = remake(vec![member], count - 1).unwrap();
    assert!(blob[10..].starts_with(&made));
}

#[test]
fn members_that_do_not_belong_together_are_refused() {
    let blob = gzip(Encoder::Zlib { level: 6 }, &text(300_000));
    let members = compact(&blob, 1 << 20).unwrap();
    let refused = |members: Vec<Vec<u8>>, size: usize, says: &str| {
        let error = remake(members, size).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    };
    refused(Vec::new(), blob.len(), "fewer bytes");
    refused(members.clone(), blob.len() + 1, "fewer bytes");
    refused(members.clone(), blob.len() - 1, "more bytes");
    refused([members.clone(), members.clone()].concat(), blob.len() * 2, "does not follow");
    let mut longer = members.clone();
    longer[0].push(0);
    refused(longer, blob.len(), "bytes follow");
    let mut cut = members;
    cut[0].pop();
    assert!(remake(cut, blob.len()).is_err());
}
