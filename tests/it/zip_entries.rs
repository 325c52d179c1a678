//! Jars and zip files in layers: held inflated, and deflated again to the exact bytes.

use airgap_bundle::compact::{CompactError, Effort};
use airgap_bundle::encoders::Zlib;
use proptest::prelude::*;

use crate::compact::{made_with, random, remake_with, text};

/// Where the sizes of an entry stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    Before,
    Behind,
}

/// One entry of a zip file: local header, data, and a data descriptor if the sizes stand there.
pub(crate) fn entry(level: u8, sizes: Sizes, raw: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut zlib = Zlib::new(level).unwrap();
    zlib.write(raw, &mut data);
    zlib.end(&mut data);
    around(sizes, &data, raw.len())
}

/// The same with these deflated bytes.
fn around(sizes: Sizes, data: &[u8], len: usize) -> Vec<u8> {
    let both = [data.len(), len].map(|size| u32::try_from(size).unwrap().to_le_bytes());
    let is_behind = sizes == Sizes::Behind;
    let [made, raw] = if is_behind { [[0; 4]; 2] } else { both };
    let mut zip = b"PK\x03\x04\x14\0".to_vec();
    zip.extend([if is_behind { 8 } else { 0 }, 8, 8, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    zip.extend(made);
    zip.extend(raw);
    zip.extend([9, 0, 2, 0]);
    zip.extend(b"a/B.classxy");
    zip.extend(data);
    if is_behind {
        zip.extend(b"PK\x07\x08\0\0\0\0");
        zip.extend(both.concat());
    }
    zip
}

fn held(members: &[Vec<u8>]) -> usize {
    members.iter().map(Vec::len).sum()
}

/// Bytes that the content takes with both efforts, after it was made again.
fn sizes(raw: &[u8]) -> [usize; 2] {
    // So much repeats in it that no blob stays as it is.
    let raw = [raw, &text(70_000).repeat(8)].concat();
    [Effort::Normal, Effort::Max].map(|effort| {
        let (blob, members) = made_with(effort, &raw, &[]);
        assert!(remake_with(members.clone(), blob.len(), &[]).unwrap() == blob);
        held(&members)
    })
}

/// Classes of a jar, which have much in common.
fn classes(count: usize) -> Vec<Vec<u8>> {
    let common = text(6_000);
    (0..count)
        .map(|at| [&common[at * 7 % 3_000..], &random(at as u64, 20), &common[..at * 13 % 3_000]].concat())
        .collect()
}

#[test]
fn jars_are_held_inflated() {
    let all = classes(80);
    for (at, found) in [6_u8, 9, 1, 5].into_iter().enumerate() {
        let style = if at % 2 == 0 { Sizes::Behind } else { Sizes::Before };
        let jar: Vec<u8> = all.iter().flat_map(|class| entry(found, style, class)).collect();
        let [normal, max] = sizes(&[&b"tar header"[..], &jar, &text(50_000)].concat());
        assert!(max * 2 < normal, "{max} {normal}");
    }
}

#[test]
fn jars_in_stored_and_in_deflated_zip_files() {
    let jar: Vec<u8> = classes(80).iter().flat_map(|class| entry(6, Sizes::Behind, class)).collect();
    let (plain, max) = (text(50_000), |raw: &[u8]| sizes(raw)[1]);
    let alone = max(&[&jar[..], &plain].concat());
    let stored = max(&[b"PK\x03\x04\x14\0\0\0\0\0", &[0; 20][..], &jar, &plain].concat());
    assert!(stored < alone + 200, "{stored} {alone}");
    let mut deeper = jar;
    for _ in 0..2 {
        deeper = entry(6, Sizes::Before, &deeper);
    }
    let deep = max(&[&deeper[..], &plain].concat());
    assert!(deep < alone + 200, "{deep} {alone}");
    // The fourth is left as it is.
    let [_, too_deep] = sizes(&[&entry(6, Sizes::Before, &deeper)[..], &plain].concat());
    assert!(too_deep > alone * 3 / 2, "{too_deep} {alone}");
}

/// Headers with wrong sizes, encrypted ones, streams of another encoder, cut ones: all stay as they are.
#[test]
fn what_is_no_entry_stays_as_it_is() {
    let raw = text(3_000);
    let good = entry(6, Sizes::Before, &raw);
    let change = |at: usize, to: u8| {
        let mut changed = good.clone();
        changed[at] = to;
        changed
    };
    let mut slow = Vec::new();
    let mut zlib = Zlib::new(6).unwrap();
    for piece in raw.chunks(100) {
        zlib.write(piece, &mut slow);
    }
    zlib.end(&mut slow);
    let stored = [&[1, 184, 11, 71, 244][..], &raw[..3_000]].concat();
    let odd = [
        change(6, 1),
        change(8, 0),
        change(18, good[18] ^ 1),
        change(22, good[22] ^ 1),
        change(41, good[41] ^ 0x80),
        good[..60].to_vec(),
        good[..20].to_vec(),
        around(Sizes::Before, &stored, 3_000),
        around(Sizes::Behind, &slow, 2_999),
        around(Sizes::Before, &[], 0),
        entry(6, Sizes::Behind, b""),
        entry(6, Sizes::Behind, &random(1, 300)),
        b"PK\x03\x04".repeat(2_000),
        entry(6, Sizes::Behind, &vec![0; 17 << 20]),
    ];
    for (at, odd) in odd.iter().enumerate() {
        let [normal, max] = sizes(&[&text(40_000)[..], odd, &text(20_000)].concat());
        // The text is there twice: inflated it would cost nothing.
        assert!(max.abs_diff(normal) < 300, "{at}: {max} {normal}");
    }
    let all = [odd.concat(), text(70_000)].concat();
    sizes(&all);
}

/// More zip entries than fit into a member when they are inflated, and a blob whose content may not grow further.
#[test]
fn what_would_be_too_much_stays_deflated() {
    let [one, other] = [1, 2].map(|seed| [random(seed, 3_000), vec![0; 9 << 20]].concat());
    let zip = [entry(6, Sizes::Before, &one), entry(6, Sizes::Behind, &other)].concat().repeat(8);
    // 16 entries of 9 MiB, where a member has 64 MiB.
    sizes(&[&zip[..], &random(3, 60_000)].concat());
}

#[test]
fn an_update_of_a_jar_is_small() {
    let jar = |all: &[Vec<u8>]| -> Vec<u8> {
        all.iter().flat_map(|class| entry(6, Sizes::Behind, class)).collect()
    };
    let old: Vec<Vec<u8>> = (0..400).map(|seed| random(seed, 2_000).repeat(2)).collect();
    let mut new = old.clone();
    for class in &mut new {
        class[1_000] ^= 1;
    }
    let base = [&text(30_000)[..], &jar(&old)].concat();
    let new = [&text(30_000)[..], &jar(&new)].concat();
    let [normal, max] = [Effort::Normal, Effort::Max].map(|effort| {
        let (blob, members) = made_with(effort, &new, std::slice::from_ref(&base));
        let made = remake_with(members.clone(), blob.len(), std::slice::from_ref(&base));
        assert!(made.unwrap() == blob);
        held(&members)
    });
    assert!(max * 10 < normal, "{max} {normal}");
}

/// Jars that are larger than what of a base is looked at together: entries on the border are found as well.
#[test]
fn large_bases_are_inflated_in_blocks() {
    let old: Vec<u8> =
        (0..260).flat_map(|seed| entry(6, Sizes::Behind, &random(seed, 60_000).repeat(2))).collect();
    let new = [&text(30_000)[..], &old].concat();
    let (blob, members) = made_with(Effort::Max, &new, std::slice::from_ref(&old));
    assert!(held(&members) < 60_000, "{}", held(&members));
    assert!(remake_with(members, blob.len(), &[old]).unwrap() == blob);
}

/// Whether a large entry is inflated must not depend on where it lies, or the older one is not found.
#[test]
fn large_entries_are_found_wherever_they_lie() {
    let letters = |seed: u64| -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..6_700_000).map(|_| rng.alphanumeric() as u8).collect()
    };
    let entries: Vec<u8> = (0..2).flat_map(|seed| entry(1, Sizes::Before, &letters(seed))).collect();
    let old = [&text(30_000)[..], &entries].concat();
    let new = [&text(30_000)[..], &random(9, 3_500_000), &entries].concat();
    let (blob, members) = made_with(Effort::Max, &new, std::slice::from_ref(&old));
    assert!(held(&members) < 3_700_000, "{}", held(&members));
    assert!(remake_with(members, blob.len(), &[old]).unwrap() == blob);
}

#[test]
fn changed_members_never_hang() {
    let jar: Vec<u8> = classes(40).iter().flat_map(|class| entry(6, Sizes::Behind, class)).collect();
    let (blob, members) = made_with(Effort::Max, &[&jar[..], &jar, &text(9_000)].concat(), &[]);
    for at in 0..members[0].len().min(600) {
        for bit in [1, 0x80] {
            let mut flipped = members.clone();
            flipped[0][at] ^= bit;
            match remake_with(flipped, blob.len(), &[]) {
                Ok(made) => assert_eq!(made.len(), blob.len()),
                Err(CompactError::Read(_) | CompactError::Invalid(_) | CompactError::Encoder(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_zip_comes_back(
        entries in prop::collection::vec((1..10_u8, any::<bool>(), 0..9_000_usize, any::<u64>()), 0..20),
        cut in 0..3_000_usize,
    ) {
        let zip: Vec<u8> = entries
            .iter()
            .flat_map(|(level, behind, len, seed)| {
                let sizes = if *behind { Sizes::Behind } else { Sizes::Before };
                let raw = [&random(*seed, len / 8)[..], &text(9_000)[..*len]].concat();
                [entry(*level, sizes, &raw), random(*seed, len % 50)].concat()
            })
            .collect();
        let zip = &zip[..zip.len() - cut.min(zip.len())];
        sizes(&[zip, &text(60_000)].concat());
    }
}
