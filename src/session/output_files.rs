//! Files that a command writes: never a file that it reads, never one file for two outputs, never a bundle by mistake.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::app::failure::{ExitCode, Failure};
use crate::app::{own_file, small_file};
use crate::archive::ZSTD_MAGIC;

/// In bytes. File systems allow 255, and the suffixes of an unfinished export need some of them.
const MAX_NAME: usize = 200;
/// The mode of a secret.
const PRIVATE: u32 = 0o600;

/// Refuses if an output is also an input, or two outputs are the same file. Each comes with a description for the user.
pub(crate) fn refuse_overlaps<P: AsRef<Path>>(
    inputs: &[(&str, &Path)],
    outputs: &[(&str, P)],
) -> anyhow::Result<()> {
    let outputs: Vec<(&str, &Path)> = outputs.iter().map(|(what, path)| (*what, path.as_ref())).collect();
    for (at, (what, path)) in outputs.iter().enumerate() {
        let others = inputs.iter().chain(&outputs[..at]);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| place(other) == place(path)) {
            let message = format!("{what} and {other} are the same file, {}", path.display());
            return Err(Failure::usage(message).hint("name a different file for each").into());
        }
    }
    Ok(())
}

/// Refuses an output inside a folder that is an input, or another output. Each comes with a description for the user.
pub(crate) fn refuse_inside(folders: &[(&str, &Path)], outputs: &[(&str, &Path)]) -> anyhow::Result<()> {
    for (what, path) in outputs {
        let outer = folders.iter().find(|(_, folder)| {
            let (inside, folder) = (place(path), place(folder));
            inside != folder && inside.starts_with(folder)
        });
        if let Some((other, folder)) = outer {
            let message = format!("{what} is inside {other}, {}", folder.display());
            return Err(Failure::usage(message).hint("choose a place outside of it").into());
        }
    }
    Ok(())
}

/// Whether the path is something other than a file: a device, a pipe, a folder.
pub(crate) fn is_no_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| !meta.is_file())
}

/// Refuses to replace a file that has other content, unless `force` is set. `otherwise` is a hint where else to write.
pub(crate) fn refuse_overwrite(path: &Path, new: &[u8], force: bool, otherwise: &str) -> anyhow::Result<()> {
    // A device has no content that could be lost, and reading a pipe would never end.
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    if force || !is_file || small_file::named(path, new.len() as u64).is_ok_and(|there| there == new) {
        return Ok(());
    }
    let joint = if otherwise.is_empty() { "" } else { ", or " };
    Err(Failure::new(ExitCode::Failed, format!("{} exists and has other content", path.display()))
        .hint(format!("replace it with --force{joint}{otherwise}"))
        .into())
}

/// The file that a path leads to, even if it does not exist yet.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = match folder.canonicalize() {
        Ok(folder) => folder,
        // A folder that does not exist yet. Each step takes one name off the path.
        Err(_) if folder.parent().is_some() && folder != Path::new(".") => place(folder),
        Err(_) => folder.to_owned(),
    };
    path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}

/// Makes a file name from a name in a catalog or bundle: never a path, never hidden, and short enough for a suffix.
pub(crate) fn plain_name(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "._-+".contains(c) { c } else { '-' }
    };
    let mut name = name.chars().map(safe).collect::<String>().trim_start_matches(['.', '-']).to_owned();
    while name.len() > MAX_NAME {
        name.pop();
    }
    name
}

/// Writes a small file whose name is derived from another file's, such as a signature, completely or not at all. The
/// user has not named it, so a link with this name is not followed.
pub(crate) fn write_beside(path: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let failed = |error: io::Error| Failure::io(path, &error).into();
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            let message = format!("{} is a symbolic link", path.display());
            Err(Failure::new(ExitCode::Failed, message)
                .hint("remove the link; a sidecar file is never written through one")
                .into())
        }
        _ => own_file::replace(path, text.as_ref()).map_err(failed),
    }
}

/// Writes a small file that the user named, completely or not at all; a bundle is never replaced. A link is followed.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let failed = |error: io::Error| Failure::io(path, &error).into();
    // A device or pipe is written to directly: there is nothing to replace.
    if is_no_file(path) {
        return std::fs::write(path, &text).map_err(failed);
    }
    let mut start = [0; 4];
    let is_zstd = small_file::regular(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == ZSTD_MAGIC;
    if is_zstd {
        let message = format!("{} is a compressed file, and text must not replace it", path.display());
        return Err(Failure::new(ExitCode::Failed, message).hint("choose another name").into());
    }
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    own_file::replace(&place, text.as_ref()).map_err(failed)
}

/// Writes a secret, completely or not at all; others can never read it. An existing file stays, unless it may be
/// replaced.
pub(crate) fn write_private(path: &Path, text: &str, replace: bool) -> anyhow::Result<()> {
    let write = || {
        if replace {
            return own_file::replace_private(path, text.as_bytes());
        }
        let mut aside = own_file::aside(path, PRIVATE)?;
        aside.as_file_mut().write_all(text.as_bytes())?;
        aside.as_file().sync_all()?;
        aside.persist_noclobber(path).map(|_| ()).map_err(|error| error.error)
    };
    write().map_err(|error| Failure::io(path, &error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names_and_nothing_else() {
        for (name, expected) in [
            ("shop-2.4+x", "shop-2.4+x"),
            ("../../etc/passwd", "etc-passwd"),
            (".hidden", "hidden"),
            ("a b\u{202e}\n", "a-b--"),
            ("Größe", "Größe"),
        ] {
            assert_eq!(plain_name(name), expected);
        }
        assert_eq!(plain_name(&"ß".repeat(500)).len(), MAX_NAME);
    }
}
