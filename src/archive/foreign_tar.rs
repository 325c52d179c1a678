//! Members of other tools' tars: ustar, GNU long names, PAX paths.
//!
//! The extensions are read here rather than by the tar crate, which would hold a long name of any length in memory.

use std::io::{self, Read};
use std::path::Path;

use tar::{Entry, EntryType, PaxExtensions};

use super::ArchiveError;

/// A name, or a set of PAX records, is never longer.
const MAX_EXTENSION: u64 = 64 << 10;
/// Members of a foreign archive.
const MAX_MEMBERS: usize = 2_000_000;

/// Takes a member; whether it was the last one wanted.
pub(super) type Each<'a, R> = dyn FnMut(String, &mut Entry<'_, R>) -> Result<bool, ArchiveError> + 'a;

/// Gives every regular member to `each` with its name, without `./` before it, until `each` says that it is done.
pub(super) fn each_member<R: Read>(
    reader: R,
    path: &Path,
    each: &mut Each<'_, R>,
) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().map_err(|e| not_a_tar(path, &e))?.raw(true);
    let mut extended: Option<String> = None;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| not_a_tar(path, &e))?;
        if count >= MAX_MEMBERS {
            return Err(ArchiveError::Damaged(format!("there are more than {MAX_MEMBERS} members")));
        }
        match entry.header().entry_type() {
            EntryType::GNULongName => extended = Some(text(&extension(&mut entry, path)?)),
            EntryType::XHeader => {
                let records = extension(&mut entry, path)?;
                extended = pax_path(&records, path)?.or(extended);
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => drop(extension(&mut entry, path)?),
            EntryType::GNUSparse => {
                let name = text(&entry.path_bytes());
                return Err(ArchiveError::Damaged(format!(
                    "{name:?} is a sparse file, which no layout needs"
                )));
            }
            EntryType::Regular | EntryType::Continuous => {
                let name = extended.take().unwrap_or_else(|| text(&entry.path_bytes()));
                if each(name.trim_start_matches("./").to_owned(), &mut entry)? {
                    return Ok(());
                }
            }
            _ => extended = None,
        }
    }
    Ok(())
}

fn extension<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > MAX_EXTENSION {
        return Err(ArchiveError::Damaged(format!("a member's name takes {} bytes", entry.size())));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| not_a_tar(path, &e))?;
    Ok(bytes)
}

/// The path among PAX records. Sizes beyond 8 GiB stand in the header too, in base-256, in tars of today.
fn pax_path(records: &[u8], path: &Path) -> Result<Option<String>, ArchiveError> {
    let mut found = None;
    for record in PaxExtensions::new(records) {
        let record = record.map_err(|e| not_a_tar(path, &e))?;
        match record.key_bytes() {
            b"path" => found = Some(text(record.value_bytes())),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(ArchiveError::Damaged(
                    "a member is a sparse file, which no layout needs".to_owned(),
                ));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

pub(super) fn not_a_tar(path: &Path, error: &io::Error) -> ArchiveError {
    ArchiveError::NotABundle(format!("{} is no readable tar: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut found = Vec::new();
        each_member(bytes, Path::new("x.tar"), &mut |name, entry| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((name, content));
            Ok(false)
        })?;
        Ok(found)
    }

    fn with(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
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
    fn a_name_that_would_fill_memory_is_refused() {
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(MAX_EXTENSION + 1);
            header.set_cksum();
            let bytes = header.as_bytes().chain(io::repeat(b'a').take(MAX_EXTENSION + 1));
            let error = each_member(bytes, Path::new("x.tar"), &mut |_, _| Ok(false)).unwrap_err();
            assert!(error.to_string().contains("name takes"), "{error}");
        }
    }
}
