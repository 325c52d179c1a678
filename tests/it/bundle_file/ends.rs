//! The end of the file: nothing follows it but padding, nothing hides before it, no frame is longer than it has to be.

use super::*;
use crate::support::gap::Gap;
use crate::support::rebuilt::frames;

#[test]
fn what_follows_a_bundle_as_it_was_exported_is_an_error_with_its_place() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let host = gap.destination.host();
    let piped = |input: &[u8]| gap.fed(&["import", "-", "-d", &host, "--force"], input);
    let bytes = gap.read("out.tar.zst");
    let end = bytes.len();
    let says = format!("bytes {end} to {}", end + 4);
    std::fs::write(gap.path("more.tar.zst"), [&bytes[..], b"more"].concat()).unwrap();
    let ran = gap.try_import("more.tar.zst", &[]);
    assert!(ran.code == 3 && ran.stderr.contains(&says), "{}", ran.shown());
    assert!(ran.stderr.contains("4 bytes follow the end of the bundle"), "{}", ran.shown());
    assert!(gap.destination.manifest("team/app", "1").is_none());
    let ran = gap.cli.run(&["verify", "more.tar.zst"]);
    assert!(ran.code == 3 && ran.stderr.contains(&says), "{}", ran.shown());
    assert!(ran.stderr.contains("damaged in 1 place"), "{}", ran.shown());
    assert!(ran.stderr.contains("bytes follow the end of the bundle"), "{}", ran.shown());
    let ran = piped(&[&bytes[..], b"more"].concat());
    let says = format!("bytes follow the end of the bundle, after byte {end}");
    assert!(ran.code == 3 && ran.stderr.contains(&says), "{}", ran.shown());
    let ran = piped(&[bytes, vec![0; 70_000]].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn nothing_hides_between_the_last_frame_and_the_seek_table() {
    let image = ImageSpec::new(1).layer(Layer::tar(2, 3_000)).build();
    let bytes = written(&[("registry.example/one:1", image)]);
    assert_eq!(problems(bytes.clone()), Vec::<String>::new());
    let tail = frames(&bytes).pop().unwrap();
    // The last frame once more before the table, so that the end of the file looks as it should.
    let hidden = zstd::encode_all(&b"hidden"[..], 1).unwrap();
    let file = [&bytes[..tail.end], &hidden, &bytes[tail.start..]].concat();
    assert!(open(file.clone()).is_err());
    assert!(!problems(file).is_empty());
}

#[test]
fn a_compressed_frame_is_never_longer_than_its_content() {
    let image = ImageSpec::new(1).layer(Layer::tar(2, 3_000)).build();
    let bytes = written(&[("registry.example/one:1", image)]);
    let frames = frames(&bytes);
    let data = frames[frames.len() - 2].clone();
    let content = zstd::decode_all(&bytes[data.clone()]).unwrap();
    // Blocks of one byte, each with a header: a frame that every zstd reads.
    let mut long = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 7 << 3];
    long.extend_from_slice(&(content.len() as u64).to_le_bytes());
    for (at, byte) in content.iter().enumerate() {
        let last = u8::from(at + 1 == content.len());
        long.extend_from_slice(&[(1 << 3) | last, 0, 0, *byte]);
    }
    assert_eq!(zstd::decode_all(&long[..]).unwrap(), content);
    let mut table = zeekstd::SeekTable::new();
    for frame in &frames {
        let held = zstd::decode_all(&bytes[frame.clone()]).unwrap().len();
        let length = if *frame == data { long.len() } else { frame.len() };
        table.log_frame(u32::try_from(length).unwrap(), u32::try_from(held).unwrap()).unwrap();
    }
    let mut file = [&bytes[..data.start], &long, &bytes[data.end..frames.last().unwrap().end]].concat();
    let mut serializer = table.into_serializer();
    let mut encoded = vec![0; serializer.encoded_len()];
    serializer.write_into(&mut encoded);
    file.extend(encoded);
    assert!(open(file.clone()).unwrap_err().to_string().contains("contradicts"));
    assert!(piped(&file).unwrap_err().to_string().contains("longer than its content"));
}
