//! Opens the bundle that a command reads: the one that was named, or the one in the current folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bundle_name::{is_address, stem, without_number};
use super::trust;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::{
    ArchiveError, BundleReader, FileInput, ForeignLayout, FormatError, ImageStore, Input, InputError,
    LIST_SUFFIX, LayoutOptions, PipeBuffer, Rest, StoredBases, StreamedBundle, VolumeInput, VolumesError,
    Wait, WaitingVolumes, volumes_of,
};
use crate::cli::{ImportArgs, NetworkArgs, TrustArgs};
use crate::image::Digest;
use crate::report::Reporter;
use crate::session::Session;
use crate::session::output_files::plain_name;
use crate::signing::{Trust, Vouched};

/// The end of the name of an export that has not finished.
const PARTIAL: &str = ".partial";

/// An open bundle, and the stem for names of files derived from it.
pub(crate) struct Opened {
    pub(crate) image_store: Arc<dyn ImageStore>,
    /// The bundle itself, if it has the form in which it was exported.
    pub(crate) own: Option<BundleReader>,
    pub(crate) stem: String,
    pub(crate) vouched: Vouched,
}

/// A bundle to import: from a file or from a pipe.
pub(crate) struct ToImport {
    pub(crate) image_store: Arc<dyn ImageStore>,
    pub(crate) stem: String,
    pub(crate) vouched: Vouched,
    pub(crate) pipe: Option<Pipe>,
}

/// What has been read from a pipe, and the rest of it.
pub(crate) struct Pipe {
    pub(crate) at_hand: HashSet<Digest>,
    pub(crate) buffer: Arc<PipeBuffer>,
    pub(crate) rest: Rest,
}

/// Opens older bundles, whose blobs the blobs of a compact bundle refer to. Whether they are the right ones, the digests of
/// what is made from them tell.
pub(crate) fn open_bases(paths: &[PathBuf]) -> anyhow::Result<StoredBases> {
    let open = |path: &PathBuf| -> anyhow::Result<Arc<dyn ImageStore>> {
        let image_store = open_as(path, &LayoutOptions::default(), &Trust::default())?.image_store;
        if image_store.is_sequential() {
            let message = format!("{} has no random access, so it cannot be a base", image_store.name());
            return Err(Failure::new(ExitCode::Failed, message).hint("unpack it into a folder").into());
        }
        Ok(image_store)
    };
    Ok(StoredBases(paths.iter().map(open).collect::<anyhow::Result<_>>()?))
}

/// Opens the input of `bundle import`.
pub(crate) fn open_for_import(session: &Session, args: &ImportArgs) -> anyhow::Result<ToImport> {
    let options = LayoutOptions { name: args.name.clone(), platform: args.platform.clone(), nameless: false };
    if args.wait_for_volumes {
        let path = args.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
        let trust = trust::with_approval(&args.trust, &args.approval, Some(&path))?;
        let volumes = WaitingVolumes::open(&path, patience(session))?;
        return piped(StreamedBundle::open(volumes, &options, args.spool.as_deref(), &trust)?, &trust);
    }
    if args.bundle.as_deref() != Some(Path::new("-")) {
        let path = args.bundle.clone().map_or_else(the_one_here, Ok)?;
        let trust = trust::anywhere(&args.trust, &args.approval, &path, &args.network)?;
        let opened = match open_as_anywhere(&path, &options, &trust, &args.network) {
            Err(error) if args.salvage => match error.downcast::<ArchiveError>() {
                // A bundle that is not trusted must not be salvaged either.
                Ok(
                    error @ (ArchiveError::Format(FormatError::NotABundle(_)) | ArchiveError::Untrusted(_)),
                ) => {
                    return Err(error.into());
                }
                // Only a bundle in the form in which it was exported has frames that can be checked one by one.
                Ok(error) if !is_as_exported(&path) => return Err(error.into()),
                Ok(error) => open_salvaged(&path, &error, &session.reporter, &trust)?,
                Err(error) => return Err(error),
            },
            Err(error) => return Err(with_salvage(&path, error)),
            Ok(opened) => opened,
        };
        let Opened { image_store, stem, vouched, .. } = opened;
        return Ok(ToImport { image_store, stem, vouched, pipe: None });
    }
    if args.network.password_stdin {
        return Err(Failure::usage("the bundle and the password cannot both come from stdin")
            .hint("store the login first: bundle login REGISTRY")
            .into());
    }
    let trust = trust::with_approval(&args.trust, &args.approval, None)?;
    let opened = StreamedBundle::open(std::io::stdin(), &options, args.spool.as_deref(), &trust)?;
    piped(opened, &trust)
}

/// The error with the hint that part of a damaged bundle may be intact.
fn with_salvage(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let part_is_left = |error: &ArchiveError| {
        let is_damaged = matches!(
            error,
            ArchiveError::Format(FormatError::Damaged(_) | FormatError::SeekTable(_))
                | ArchiveError::Volumes(VolumesError::Incomplete { .. })
        );
        is_damaged
            && open_damaged(path)
                .is_ok_and(|(input, _)| BundleReader::salvage(&input, &Trust::default()).is_ok())
    };
    match error.downcast::<ArchiveError>() {
        Ok(error) if part_is_left(&error) => {
            Failure::of(&error).hint("or take what is intact with --salvage").into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

fn piped(
    StreamedBundle { image_store, at_hand, pipe_buffer, rest }: StreamedBundle,
    trust: &Trust,
) -> anyhow::Result<ToImport> {
    let catalog = &image_store.bundle().catalog;
    let stem = match (catalog.name.as_str(), catalog.version.as_str()) {
        ("", _) => "bundle".to_owned(),
        (name, "") => plain_name(name),
        (name, version) => plain_name(&format!("{name}-{version}")),
    };
    let vouched = trust::vouched(trust, image_store.as_ref())?;
    Ok(ToImport { image_store, stem, vouched, pipe: Some(Pipe { at_hand, buffer: pipe_buffer, rest }) })
}

/// Waits for volumes until the user interrupts, and prints once for each that it is waited for.
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

/// Opens `path`, which may be a network address, or the one bundle in the current folder, if it meets the trust that
/// the flags require.
pub(crate) fn open_anywhere(
    path: Option<&Path>,
    trust: &TrustArgs,
    network: &NetworkArgs,
) -> anyhow::Result<Opened> {
    let Some(path) = path.filter(|path| is_address(path)) else {
        return open(path, trust);
    };
    open_as_anywhere(
        path,
        &LayoutOptions::default(),
        &trust::at_address(trust::of(trust, None)?, path, network)?,
        network,
    )
}

fn open_as_anywhere(
    path: &Path,
    options: &LayoutOptions,
    trust: &Trust,
    network: &NetworkArgs,
) -> anyhow::Result<Opened> {
    if !is_address(path) {
        return open_as(path, options, trust);
    }
    options.refuse_for_bundle()?;
    let reader = open_address(path, trust, network)?;
    let vouched = trust::vouched(trust, &reader)?;
    Ok(Opened { image_store: Arc::new(reader.clone()), own: Some(reader), stem: stem(path), vouched })
}

/// Opens a bundle at a network address, if it is trusted.
pub(crate) fn open_address(
    address: &Path,
    trust: &Trust,
    network: &NetworkArgs,
) -> anyhow::Result<BundleReader> {
    let text = address.to_string_lossy();
    let path = text.split(['?', '#']).next().unwrap_or(&text);
    // A suffix such as `.2026` may be a date, not a volume number.
    let is_volume = |base: &str| [".0", LIST_SUFFIX].iter().any(|end| path[base.len()..].starts_with(end));
    if without_number(path).is_some_and(is_volume) {
        let failure = Failure::usage(format!("{path}: volumes are not read over the network"));
        return Err(failure
            .hint("download all of them into one folder, and name the first (FILE.001)")
            .into());
    }
    let input = super::clients::remote(&text, network)?;
    Ok(BundleReader::open_trusted(&input, trust)?)
}

/// Opens `path`, or the one bundle in the current folder, if it meets the trust that the flags require.
pub(crate) fn open(path: Option<&Path>, trust: &TrustArgs) -> anyhow::Result<Opened> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => the_one_here()?,
    };
    open_as(&path, &LayoutOptions::default(), &trust::of(trust, Some(&path))?)
}

/// Opens `path` if it is trusted.
fn open_as(path: &Path, options: &LayoutOptions, trust: &Trust) -> anyhow::Result<Opened> {
    let (image_store, own): (Arc<dyn ImageStore>, _) = match open_trusted(path, trust) {
        Ok(reader) => {
            options.refuse_for_bundle()?;
            (Arc::new(reader.clone()), Some(reader))
        }
        Err(ArchiveError::Format(FormatError::NotABundle(why))) => {
            (Arc::new(open_layout(path, why, options, trust)?), None)
        }
        Err(error) => return Err(error.into()),
    };
    let vouched = trust::vouched(trust, image_store.as_ref())?;
    Ok(Opened { image_store, own, stem: stem(path), vouched })
}

/// Opens a layout of another tool, or a bundle in another container. `why` is the reason why it is not a bundle in its
/// exported form; it is returned if the file is neither.
pub(crate) fn open_layout(
    path: &Path,
    why: String,
    options: &LayoutOptions,
    trust: &Trust,
) -> Result<ForeignLayout, ArchiveError> {
    ForeignLayout::open_trusted(path, options, trust).map_err(|error| match error {
        ArchiveError::Format(FormatError::NotABundle(_)) => {
            ArchiveError::Format(FormatError::NotABundle(why))
        }
        other => other,
    })
}

fn is_as_exported(path: &Path) -> bool {
    !matches!(open_bundle(path), Err(ArchiveError::Format(FormatError::NotABundle(_))))
}

/// Opens a bundle made by this program, in one file or in volumes.
pub(crate) fn open_bundle(path: &Path) -> Result<BundleReader, ArchiveError> {
    open_trusted(path, &Trust::default())
}

/// Like [`open_bundle`], if the bundle is trusted.
pub(crate) fn open_trusted(path: &Path, trust: &Trust) -> Result<BundleReader, ArchiveError> {
    let opened = open_input(path).and_then(|input| BundleReader::open_trusted(&input, trust));
    opened.map_err(|error| if_unfinished(path, error))
}

/// A file that cannot be read because its export has not finished is called by that name.
fn if_unfinished(path: &Path, error: ArchiveError) -> ArchiveError {
    let is_absent =
        matches!(&error, ArchiveError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound);
    let (path, partial) = match path.to_str().and_then(|text| text.strip_suffix(PARTIAL)) {
        Some(finished) if error.is_content() => (PathBuf::from(finished), path.to_owned()),
        _ if is_absent => {
            let mut partial = path.as_os_str().to_owned();
            partial.push(PARTIAL);
            (path.to_owned(), partial.into())
        }
        _ => return error,
    };
    if partial.exists() { ArchiveError::Input(InputError::Unfinished { path, partial }) } else { error }
}

/// Opens the readable part of a bundle that cannot be opened completely because of `why`.
fn open_salvaged(
    path: &Path,
    why: &ArchiveError,
    reporter: &Reporter,
    trust: &Trust,
) -> anyhow::Result<Opened> {
    let (input, wrong) = open_damaged(path)?;
    let reader = BundleReader::salvage(&input, trust).map_err(|error| match error {
        ArchiveError::Untrusted(_) => anyhow::Error::new(error),
        error => Failure::new(
            ExitCode::Content,
            format!("{}: its head, which lists its content, is damaged", path.display()),
        )
        .hint("copy the file or its first volume again; without the head nothing can be read from it")
        .because(anyhow::Error::new(error).context(why.to_string()))
        .into(),
    })?;
    if wrong.is_empty() {
        reporter.warn(&why.to_string());
    }
    for line in &wrong {
        reporter.warn(line);
    }
    let vouched = trust::vouched(trust, &reader)?;
    Ok(Opened { image_store: Arc::new(reader.clone()), own: Some(reader), stem: stem(path), vouched })
}

/// The bytes of a bundle: a file, or the volumes that belong to `path`.
pub(crate) fn open_input(path: &Path) -> Result<Arc<dyn Input>, ArchiveError> {
    if let Some(volumes) = VolumeInput::open(path)? {
        return Ok(Arc::new(volumes));
    }
    if path.is_dir() {
        return Err(ArchiveError::Format(FormatError::NotABundle(format!("{} is a folder", path.display()))));
    }
    Ok(Arc::new(FileInput::open(path)?))
}

/// Like [`open_input`], as far as the bundle can be read; also returns the problems with its volumes, one per line.
pub(crate) fn open_damaged(path: &Path) -> Result<(Arc<dyn Input>, Vec<String>), ArchiveError> {
    Ok(match VolumeInput::gather(path)? {
        Some((volumes, wrong)) => (Arc::new(volumes), wrong),
        None => (open_input(path)?, Vec::new()),
    })
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
        0 => Err(Failure::usage("this folder has no bundle (*.tar.zst, or its volumes)")
            .hint("name it: bundle import FILE -d REGISTRY")
            .into()),
        n => {
            let list: Vec<_> = found.iter().map(|path| format!("  {}", path.display())).collect();
            Err(Failure::new(ExitCode::Usage, format!("this folder has {n} bundles:\n{}", list.join("\n")))
                .hint("name one: bundle import FILE -d REGISTRY")
                .into())
        }
    }
}

/// A bundle that cannot be opened is still the one that the user means: opening it again reports what is wrong.
fn looks_like_one(path: &Path) -> bool {
    matches!(
        open_bundle(path),
        Err(ArchiveError::Format(
            FormatError::Damaged(_) | FormatError::UnknownVersion(_) | FormatError::Json(..)
        ) | ArchiveError::Volumes(VolumesError::Incomplete { .. }))
    )
}
