//! Bundles with a forged head, in which every checksum is right.

use std::io::{Cursor, Read};

use airgap_bundle::image::Digest;

use super::bundles::open;

/// Path and content of a member.
pub type Member = (String, Vec<u8>);

/// The members of a bundle, unpacked.
pub fn members(bytes: &[u8]) -> Vec<Member> {
    of_tar(&zstd::decode_all(bytes).unwrap())
}

fn of_tar(tar: &[u8]) -> Vec<Member> {
    let mut archive = tar::Archive::new(tar);
    let member = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(member).collect()
}

/// A tar as other tools pack it.
pub fn tar(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("./{name}"), &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The bundle with `change` made to the members of its head: `SHA256SUMS`, frames and seek table are put right.
pub fn rebuilt(bytes: &[u8], change: impl FnOnce(&mut Vec<Member>)) -> Vec<u8> {
    let layout = open(bytes.to_vec()).unwrap().layout().clone();
    let (head, rest) = bytes.split_at(usize::try_from(layout.head_len()).unwrap());
    let mut members = of_tar(&zstd::decode_all(head).unwrap());
    change(&mut members);
    put_sums_right(&mut members);
    let content: Vec<u8> = members.iter().flat_map(|(path, bytes)| packed(path, bytes)).collect();
    assert!(content.len() < 1 << 20, "one frame holds it");
    let frame = framed(&content);

    let table = zeekstd::SeekTable::from_seekable(&mut Cursor::new(bytes)).unwrap();
    let lens = |index| {
        let pair = (table.frame_size_comp(index).unwrap(), table.frame_size_decomp(index).unwrap());
        (u32::try_from(pair.0).unwrap(), u32::try_from(pair.1).unwrap())
    };
    let mut new = zeekstd::SeekTable::new();
    new.log_frame(u32::try_from(frame.len()).unwrap(), u32::try_from(content.len()).unwrap()).unwrap();
    let mut skipped = 0;
    for (file, content) in (0..table.num_frames()).map(lens) {
        if skipped < head.len() {
            skipped += file as usize;
        } else {
            new.log_frame(file, content).unwrap();
        }
    }
    let blobs = usize::try_from(table.size_comp()).unwrap() - head.len();
    let mut out = [&frame, &rest[..blobs]].concat();
    let mut serializer = new.into_serializer();
    let mut encoded = vec![0; serializer.encoded_len()];
    assert_eq!(serializer.write_into(&mut encoded), encoded.len());
    out.extend(encoded);
    out
}

/// Where each frame of a bundle is, in order.
pub fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let table = zeekstd::SeekTable::from_seekable(&mut Cursor::new(bytes)).unwrap();
    let place = |index| {
        let (start, end) = (table.frame_start_comp(index).unwrap(), table.frame_end_comp(index).unwrap());
        usize::try_from(start).unwrap()..usize::try_from(end).unwrap()
    };
    (0..table.num_frames()).map(place).collect()
}

fn put_sums_right(members: &mut [Member]) {
    let sum = |(path, bytes): &Member| format!("{}  {path}\n", Digest::sha256(bytes).hex());
    let small = |(path, _): &&Member| !path.starts_with("blobs/") && path != "SHA256SUMS";
    let fresh: String = members.iter().filter(small).map(sum).collect();
    let (_, sums) = members.iter_mut().find(|(path, _)| path == "SHA256SUMS").unwrap();
    let old = String::from_utf8(sums.clone()).unwrap();
    let blobs = old.lines().filter(|line| line.contains("  blobs/")).map(|line| format!("{line}\n"));
    *sums = (fresh + &blobs.collect::<String>()).into_bytes();
}

fn packed(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    let mut member = [&header.as_bytes()[..], bytes].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// The level of the format's revision 1.
const HEAD_LEVEL: i32 = 3;

fn framed(content: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(HEAD_LEVEL).unwrap();
    compressor.include_checksum(true).unwrap();
    compressor.include_contentsize(true).unwrap();
    compressor.compress(content).unwrap()
}
