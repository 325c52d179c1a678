//! Tars as tools write them, and as nobody should.

use tar::EntryType;

use super::*;

fn names(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut found = Vec::new();
    let mut members = Members::new(bytes, Path::new("x.tar"));
    while let Some(member) = members.next()? {
        found.push((member.name, members.whole(u64::MAX)?.unwrap()));
    }
    Ok(found)
}

fn with(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
}

#[test]
fn long_names_of_both_dialects_are_read() {
    let long = format!("blobs/sha512/{}", "a".repeat(128));
    let gnu = with(|b| file(b, &long, b"one"));
    assert_eq!(names(&gnu).unwrap(), [(long.clone(), b"one".to_vec())]);
    let pax = with(|b| {
        b.append_pax_extensions([("path", long.as_bytes())]).unwrap();
        file(b, "short", b"two");
        file(b, "./next", b"three");
    });
    assert_eq!(names(&pax).unwrap(), [(long, b"two".to_vec()), ("next".to_owned(), b"three".to_vec())]);
}

#[test]
fn sizes_beyond_8_gib_are_read_in_every_dialect() {
    let size = 9_u64 << 30;
    // As Python writes it: nothing in the header, all in the record.
    let pax = with(|b| {
        b.append_pax_extensions([("size", size.to_string().as_bytes())]).unwrap();
        file(b, "large", b"");
    });
    let mut gnu = Header::new_gnu();
    gnu.set_path("large").unwrap();
    gnu.set_size(size);
    gnu.set_cksum();
    let gnu = gnu.as_bytes().to_vec();
    for start in [&pax[..pax.len() - 1024], &gnu[..]] {
        let tail = with(|b| file(b, "next", b"x"));
        // Nobody reads 9 GiB of zeros for this: they are passed over without being there.
        let mut members = Members::with(start.chain(&tail[..]), Path::new("x.tar"), |reader, bytes| {
            let held = if bytes >= 8 << 30 { 0 } else { bytes };
            io::copy(&mut reader.take(held), &mut io::sink()).map(drop)
        });
        let large = members.next().unwrap().unwrap();
        assert_eq!((large.name.as_str(), large.size), ("large", size));
        assert_eq!(members.next().unwrap().unwrap().name, "next");
        assert_eq!(members.at, start.len() as u64 + size + 512);
        assert_eq!(members.next().unwrap(), None);
    }
}

#[test]
fn other_members_are_passed_over_and_sparse_ones_refused() {
    let mixed = with(|b| {
        let mut global = Header::new_ustar();
        global.set_entry_type(EntryType::XGlobalHeader);
        let record = b"20 comment=whatever\n";
        global.set_size(record.len() as u64);
        b.append_data(&mut global, "pax_global_header", &record[..]).unwrap();
        for kind in [EntryType::Directory, EntryType::Symlink, EntryType::Fifo] {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            b.append_data(&mut header, "other", io::empty()).unwrap();
        }
        file(b, "file", b"content");
    });
    assert_eq!(names(&mixed).unwrap(), [("file".to_owned(), b"content".to_vec())]);
    let pax = with(|b| {
        b.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        file(b, "holes", b"x");
    });
    let mut gnu = Header::new_gnu();
    gnu.set_entry_type(EntryType::GNUSparse);
    gnu.set_size(0);
    gnu.set_cksum();
    for bytes in [&pax[..], gnu.as_bytes()] {
        assert!(names(bytes).unwrap_err().to_string().contains("sparse"));
    }
}

#[test]
fn no_cut_is_taken_for_the_end() {
    let tar = with(|b| {
        file(b, "a", &[1; 600]);
        file(b, "b", b"x");
    });
    // Whole members without end blocks are common enough.
    let ends = [0, 512 + 1024, 512 + 1024 + 1024];
    for len in 0..tar.len() - 1024 {
        assert_eq!(names(&tar[..len]).is_ok(), ends.contains(&len), "{len}");
    }
    let mut seeking = Members::seekable(io::Cursor::new(&tar), Path::new("x.tar"));
    let first = seeking.next().unwrap().unwrap();
    assert_eq!((first.at, seeking.next().unwrap().unwrap().at), (512, 512 + 1024 + 512));
}

#[test]
fn a_name_that_would_fill_memory_is_refused() {
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(MAX_EXTENSION + 1);
        header.set_cksum();
        let bytes = header.as_bytes().chain(io::repeat(b'a').take(MAX_EXTENSION + 1));
        let error = Members::new(bytes, Path::new("x.tar")).next().unwrap_err();
        assert!(error.to_string().contains("name takes"), "{error}");
    }
}

#[test]
fn what_tools_read_in_different_ways_is_refused_with_its_name() {
    let with_content = |kind: u8| {
        let mut header = Header::new_ustar();
        header.set_path("odd").unwrap();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(512);
        header.set_cksum();
        [&header.as_bytes()[..], &[0; 512], &with(|b| file(b, "next", b"x"))].concat()
    };
    for kind in *b"123456VMNX" {
        let error = names(&with_content(kind)).unwrap_err().to_string();
        assert!(error.contains("\"odd\"") && error.contains("in different ways"), "{kind}: {error}");
    }
    let mut folder = Header::new_old();
    folder.set_path("odd/").unwrap();
    folder.set_size(512);
    folder.set_cksum();
    let error = names(&[&folder.as_bytes()[..], &[0; 2048]].concat()).unwrap_err().to_string();
    assert!(error.contains("is a folder with content"), "{error}");
    let global = with(|b| {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XGlobalHeader);
        header.set_size(10);
        b.append_data(&mut header, "pax_global_header", &b"10 path=x\n"[..]).unwrap();
        file(b, "file", b"content");
    });
    assert!(names(&global).unwrap_err().to_string().contains("global header"));
    for (record, says) in
        [("-1", "is not a number of bytes"), ("+3", "not a number"), ("1e3", "not a number")]
    {
        let sized = with(|b| {
            b.append_pax_extensions([("size", record.as_bytes())]).unwrap();
            file(b, "file", b"abc");
        });
        let error = names(&sized).unwrap_err().to_string();
        assert!(error.contains("\"file\"") && error.contains(says), "{record}: {error}");
    }
}

#[test]
fn what_follows_the_end_is_told_unless_it_is_padding() {
    let tar = with(|b| file(b, "a", b"x"));
    let leftover = |more: &[u8]| {
        let bytes = [&tar[..], more].concat();
        let mut members = Members::new(&bytes[..], Path::new("x.tar"));
        while members.next().unwrap().is_some() {}
        members.leftover().map(str::to_owned)
    };
    for padding in [&[][..], &[0; 1], &[0; 512], &[0; 10_000]] {
        assert_eq!(leftover(padding), None, "{}", padding.len());
    }
    let one = with(|b| file(b, "evil", b"x"));
    assert!(leftover(&one).unwrap().starts_with("the member \"evil\""));
    assert!(leftover(&[&[0; 512], &one[..]].concat()).unwrap().starts_with("the member \"evil\""));
    assert_eq!(
        leftover(b"junk").unwrap(),
        "bytes from byte 2048 of the tar on, after the end-of-archive marker"
    );
    // One block of zeros is an end, too.
    let lone = [&tar[..1024], &[0; 512], &one[..]].concat();
    let mut members = Members::new(&lone[..], Path::new("x.tar"));
    assert_eq!(members.next().unwrap().unwrap().name, "a");
    assert_eq!(members.next().unwrap(), None);
    assert!(members.leftover().unwrap().contains("evil"));
}

#[test]
fn a_file_that_ends_inside_a_member_is_cut_however_it_is_read() {
    let tar = with(|b| {
        file(b, "a", &[1; 600]);
        file(b, "b", &[2; 600]);
    });
    for length in 1..tar.len() - 1024 {
        let walk = |members: &mut dyn FnMut() -> Result<Option<Member>, ArchiveError>| {
            loop {
                match members() {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        };
        let mut in_order = Members::new(&tar[..length], Path::new("x.tar"));
        let mut in_place = Members::seekable(io::Cursor::new(&tar[..length]), Path::new("x.tar"));
        let ends = (walk(&mut || in_order.next()), walk(&mut || in_place.next()));
        assert_eq!(ends.0, ends.1, "{length}");
        assert_eq!(ends.0, length == 512 + 1024, "{length}");
    }
}
