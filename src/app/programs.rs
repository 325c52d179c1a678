//! Finds other programs that this one runs.

use std::ffi::OsStr;
use std::path::PathBuf;

/// The file `name` in the first folder of `path`, the value of `PATH`, that has it.
///
/// Only absolute folders are searched. An empty or relative element means the current folder (POSIX.1-2024, section
/// 8.3), and anybody may have put a program there.
pub(crate) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn only_folders_named_from_the_root_are_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("helm"), "").unwrap();
        let here = std::env::current_dir().unwrap();
        let up = "../".repeat(here.components().count());
        let relative = format!("{up}{}", folder.path().strip_prefix("/").unwrap().display());
        assert!(std::path::Path::new(&relative).join("helm").is_file(), "{relative}");
        // The tests run where Cargo.toml is.
        assert_eq!(find("Cargo.toml", OsStr::new("")), None);
        assert_eq!(find("Cargo.toml", OsStr::new(":.:./:")), None);
        assert_eq!(find("helm", OsStr::new(&relative)), None);
        let absolute: OsString = format!(":{}", folder.path().display()).into();
        assert_eq!(find("helm", &absolute), Some(folder.path().join("helm")));
    }
}
