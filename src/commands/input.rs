//! Which bundle a command reads: the one named, or the one in the current folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::import_salvage;
use super::outputs::plain_name;
use crate::archive::{
    ArchiveError, BundleReader, FileInput, Holdings, Input, LIST_SUFFIX, Piped, Rest, Stash, VolumeInput,
    Wait, WaitingVolumes, volumes_of,
};
use crate::cli::{ImportArgs, NetworkArgs};
use crate::failure::{ExitCode, Failure};
use crate::image::{Digest, Reference};
use crate::session::Session;

/// An open bundle, and what files derived from it are called after.
pub(super) struct Opened {
    pub(super) holdings: Arc<dyn Holdings>,
    /// The bundle itself, when it is as it was exported.
    pub(super) own: Option<BundleReader>,
    pub(super) stem: String,
}

/// A bundle to import: from a file, or out of a pipe.
pub(super) struct ToImport {
    pub(super) holdings: Arc<dyn Holdings>,
    pub(super) stem: String,
    pub(super) pipe: Option<Pipe>,
}

/// What of a pipe has come, and the rest of it.
pub(super) struct Pipe {
    pub(super) at_hand: HashSet<Digest>,
    pub(super) stash: Arc<Stash>,
    pub(super) rest: Rest,
}

/// Opens what `bundle import` was given.
pub(super) fn open_for_import(session: &Session, args: &ImportArgs) -> anyhow::Result<ToImport> {
    if args.wait_for_volumes {
        let path = args.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
        let volumes = WaitingVolumes::open(&path, patience(session))?;
        return Ok(piped(Piped::open(volumes, None, args.spool.as_deref())?));
    }
    if args.bundle.as_deref() != Some(Path::new("-")) {
        let path = args.bundle.clone().map_or_else(the_one_here, Ok)?;
        let Opened { holdings, stem, .. } =
            match open_anywhere(Some(&path), args.name.as_ref(), &args.network) {
                Err(error) if args.salvage => match error.downcast::<ArchiveError>() {
                    Ok(error) if !matches!(error, ArchiveError::NotABundle(_)) => {
                        import_salvage::open(&path, &error, &session.reporter)?
                    }
                    Ok(error) => return Err(error.into()),
                    Err(error) => return Err(error),
                },
                opened => opened?,
            };
        return Ok(ToImport { holdings, stem, pipe: None });
    }
    if args.network.password_stdin {
        return Err(Failure::usage("the bundle and the password cannot both come from stdin")
            .hint("store the login first: bundle login REGISTRY")
            .into());
    }
    Ok(piped(Piped::open(std::io::stdin(), args.name.as_ref(), args.spool.as_deref())?))
}

fn piped(Piped { holdings, at_hand, stash, rest }: Piped) -> ToImport {
    let catalog = &holdings.bundle().catalog;
    let stem = match (catalog.name.as_str(), catalog.version.as_str()) {
        ("", _) => "bundle".to_owned(),
        (name, "") => plain_name(name),
        (name, version) => plain_name(&format!("{name}-{version}")),
    };
    ToImport { holdings, stem, pipe: Some(Pipe { at_hand, stash, rest }) }
}

/// Waits for volumes until the user wants no more, and says once for each that it is waited for.
fn patience(session: &Session) -> Wait {
    const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);
    let (reporter, cancel) = (session.reporter.clone(), session.cancel.clone());
    let mut said = String::new();
    Box::new(move |path, entry| {
        if said != entry.name {
            said.clone_from(&entry.name);
            reporter.say(&format!("waiting for {} (volume {})", path.display(), entry.number));
        }
        std::thread::sleep(LOOK_AGAIN);
        !cancel.is_cancelled()
    })
}

/// Opens `path`, which may be an address on the network, or the one bundle in the current folder.
pub(super) fn open_anywhere(
    path: Option<&Path>,
    name: Option<&Reference>,
    network: &NetworkArgs,
) -> anyhow::Result<Opened> {
    let Some(path) = path.filter(|path| is_address(path)) else {
        return open(path, name);
    };
    let reader = open_bundle_anywhere(path, network)?;
    Ok(Opened { holdings: Arc::new(reader.clone()), own: Some(reader), stem: stem(path) })
}

/// Opens a bundle of this program's own making, in one file, in volumes, or at an address on the network.
pub(super) fn open_bundle_anywhere(path: &Path, network: &NetworkArgs) -> anyhow::Result<BundleReader> {
    match path.to_str().filter(|_| is_address(path)) {
        Some(address) => Ok(BundleReader::open(&super::network::remote(address, network)?)?),
        None => Ok(open_bundle(path)?),
    }
}

/// Whether `path` is one on the network.
pub(super) fn is_address(path: &Path) -> bool {
    let starts = |scheme: &&str| path.to_str().is_some_and(|text| text.starts_with(scheme));
    ["https://", "http://", "s3://"].iter().any(starts)
}

/// Opens `path`, or the one bundle in the current folder.
pub(super) fn open(path: Option<&Path>, name: Option<&Reference>) -> anyhow::Result<Opened> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => the_one_here()?,
    };
    let stem = stem(&path);
    match open_bundle(&path) {
        Ok(reader) => Ok(Opened { holdings: Arc::new(reader.clone()), own: Some(reader), stem }),
        Err(ArchiveError::NotABundle(why)) => {
            let foreign = crate::archive::ForeignLayout::open(&path, name).map_err(|error| match error {
                ArchiveError::NotABundle(_) => ArchiveError::NotABundle(why),
                other => other,
            })?;
            Ok(Opened { holdings: Arc::new(foreign), own: None, stem })
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a bundle of this program's own making, in one file or in volumes.
pub(super) fn open_bundle(path: &Path) -> Result<BundleReader, ArchiveError> {
    BundleReader::open(&open_input(path)?)
}

/// The bytes of a bundle: a file, or the volumes that `path` names.
pub(super) fn open_input(path: &Path) -> Result<Arc<dyn Input>, ArchiveError> {
    if let Some(volumes) = VolumeInput::open(path)? {
        return Ok(Arc::new(volumes));
    }
    if path.is_dir() {
        return Err(ArchiveError::NotABundle(format!("{} is a folder", path.display())));
    }
    Ok(Arc::new(FileInput::open(path)?))
}

/// The same as far as it can be read: with what is wrong with its volumes, one a line.
pub(super) fn open_damaged(path: &Path) -> Result<(Arc<dyn Input>, Vec<String>), ArchiveError> {
    Ok(match VolumeInput::gather(path)? {
        Some((volumes, wrong)) => (Arc::new(volumes), wrong),
        None => (open_input(path)?, Vec::new()),
    })
}

/// The file name without the endings of a bundle, and without those of volumes.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(LIST_SUFFIX).map(str::to_owned).unwrap_or(name);
    let number = name.rsplit_once('.').filter(|(_, n)| n.len() >= 3 && n.bytes().all(|b| b.is_ascii_digit()));
    let name = number.map(|(name, _)| name.to_owned()).unwrap_or(name);
    let endings = [".tar.zst", ".tar.gz", ".tgz", ".tar"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    if stem.is_empty() { "bundle".to_owned() } else { stem.to_owned() }
}

fn the_one_here() -> anyhow::Result<PathBuf> {
    let files = std::fs::read_dir(".")?
        .filter_map(|entry| Some(entry.ok()?.file_name().into()))
        .filter(|path: &PathBuf| path.to_string_lossy().ends_with(".tar.zst"));
    let sets = volumes_of(Path::new("."))?.into_iter();
    let sets = sets.filter_map(|base| base.file_name().map(PathBuf::from));
    let mut found: Vec<PathBuf> =
        files.chain(sets).filter(|path| open_bundle(path).is_ok() || looks_like_one(path)).collect();
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::usage("there is no bundle (*.tar.zst, or its volumes) in this folder")
            .hint("name it: bundle import FILE -d REGISTRY")
            .into()),
        n => {
            let list: Vec<_> = found.iter().map(|path| format!("  {}", path.display())).collect();
            Err(Failure::new(
                ExitCode::Usage,
                format!("{n} bundles are in this folder:\n{}", list.join("\n")),
            )
            .hint("name one: bundle import FILE -d REGISTRY")
            .into())
        }
    }
}

/// A bundle that cannot be opened is still the one the user means: opening it again tells what is wrong.
fn looks_like_one(path: &Path) -> bool {
    matches!(
        open_bundle(path),
        Err(ArchiveError::Damaged(_)
            | ArchiveError::Volumes(_)
            | ArchiveError::UnknownVersion(_)
            | ArchiveError::Json(..))
    )
}

/// Whether `name` matches one of `patterns`; no patterns match everything. `*` and `?` as in a shell, and a pattern
/// may leave out the registry host.
pub(super) fn matches(patterns: &[String], name: &Reference) -> bool {
    let full = name.to_string();
    let short = full.split_once('/').map_or(full.as_str(), |(_, rest)| rest);
    patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, &full) || glob(pattern, short))
}

/// Shell matching without classes, in linear space and no recursion, so that no pattern is slow.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_with_and_without_the_host() {
        let name: Reference = "quay.io/stackstate/stackstate-server:sts-v4.1.4".parse().unwrap();
        for pattern in
            ["*", "*server*", "stackstate/*", "quay.io/*", "stackstate/stackstate-server:sts-v4.1.?"]
        {
            assert!(matches(&[pattern.to_owned()], &name), "{pattern}");
        }
        for pattern in ["", "server", "docker.io/*", "stackstate/?"] {
            assert!(!matches(&[pattern.to_owned()], &name), "{pattern}");
        }
        assert!(matches(&[], &name));
        assert!(!glob(&"*a".repeat(2000), &"a".repeat(1000)));
    }

    #[test]
    fn stems_lose_their_endings() {
        for (path, expected) in [
            ("a/b-1.0.tar.zst", "b-1.0"),
            ("b-1.0.tar.zst.001", "b-1.0"),
            ("b-1.0.tar.zst.volumes.json", "b-1.0"),
            ("x.tgz", "x"),
            ("dir", "dir"),
            (".tar", "bundle"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }
}
