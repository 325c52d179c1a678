//! Swapped members, in a file that is correct otherwise.

use super::*;
use crate::support::bundles::piped;
use crate::support::rebuilt::{frames, rebuilt};

/// Four layers of one image, two stored and two compressed, whose frames are of equal length in pairs.
fn pairs() -> Vec<u8> {
    let stored = [Layer::gzip(1, 1024), Layer::gzip(2, 1024)];
    let noise = |seed| Layer { compressed: false, ..Layer::gzip(seed, 1024) };
    written(&[(
        "registry.example/app:1",
        ImageSpec::new(1).layers(stored).layers([noise(3), noise(4)]).build(),
    )])
}

/// Exchanges two runs of bytes of equal length.
fn exchanged(bytes: &[u8], one: std::ops::Range<usize>, two: std::ops::Range<usize>) -> Vec<u8> {
    assert_eq!(one.len(), two.len());
    let mut swapped = bytes.to_vec();
    swapped[one.clone()].copy_from_slice(&bytes[two.clone()]);
    swapped[two].copy_from_slice(&bytes[one]);
    assert_ne!(swapped, bytes);
    swapped
}

#[test]
fn two_layers_in_each_others_place_are_found() {
    let bytes = pairs();
    // Behind the head each layer has two frames, its header's and its own; the last frame is the end of the tar.
    let frames = frames(&bytes);
    let layers = &frames[frames.len() - 9..frames.len() - 1];
    let (header, content) = (|n: usize| layers[2 * n].clone(), |n: usize| layers[2 * n + 1].clone());
    let whole = |n: usize| header(n).start..content(n).end;
    for (one, two) in [(0, 1), (2, 3)] {
        for (what, damaged) in [
            ("contents", exchanged(&bytes, content(one), content(two))),
            ("headers", exchanged(&bytes, header(one), header(two))),
            ("members", exchanged(&bytes, whole(one), whole(two))),
        ] {
            let found = problems(damaged.clone());
            assert!(!found.is_empty(), "{what} of layers {one} and {two}");
            if what == "contents" {
                assert_eq!(found, ["the content is readable, but has another digest"; 2]);
            }
            let streamed = piped(&damaged).is_ok_and(|blobs| {
                blobs.iter().all(|(digest, content)| Digest::of(digest.algorithm(), content) == *digest)
            });
            assert!(!streamed, "{what} of layers {one} and {two}, through a pipe");
        }
    }
}

#[test]
fn any_two_members_of_the_head_in_each_others_place_are_found() {
    let bytes = pairs();
    let names: Vec<String> = members(&bytes).into_iter().map(|(path, _)| path).collect();
    let head = names.len() - 4;
    assert!(head >= 7 && names[head - 1].starts_with("blobs/"), "{names:?}");
    for (one, two) in (0..head).flat_map(|one| (one + 1..head).map(move |two| (one, two))) {
        let moved = rebuilt(&bytes, |members| members.swap(one, two));
        assert!(!problems(moved.clone()).is_empty(), "{} and {}", names[one], names[two]);
        assert!(piped(&moved).is_err(), "{} and {}, through a pipe", names[one], names[two]);
        // Their contents only, under the other's name.
        let renamed = rebuilt(&bytes, |members| {
            let (before, after) = members.split_at_mut(two);
            std::mem::swap(&mut before[one].1, &mut after[0].1);
        });
        assert!(!problems(renamed.clone()).is_empty(), "contents of {} and {}", names[one], names[two]);
        assert!(piped(&renamed).is_err(), "contents of {} and {}, through a pipe", names[one], names[two]);
    }
}
