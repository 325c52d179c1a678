//! Where an export writes: the file, the free space on its disk, and how that disk is written.

use std::path::{Path, PathBuf};

use super::resume::workspace::occupied;
use crate::app::failure::{ExitCode, Failure};
use crate::app::medium::{FAT_LARGEST, Medium, free_space, largest_file};
use crate::app::own_file::{beside, folder_of};
use crate::app::text::typed;
use crate::archive::{COLUMNS, Cut, parity_len};
use crate::cli::{AssumedMedium, ExportArgs, ReportArgs, WriteArgs};
use crate::plan::ExportPlan;
use crate::report::bytes;
use crate::session::{Session, output_files, sidecar};

/// Where to write; none for stdout.
pub(crate) fn output(args: &WriteArgs, file_name: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
    let target = match (&args.output, file_name) {
        (Some(path), _) if path.as_os_str() == "-" && args.volume_size.is_some() => {
            return Err(Failure::usage("a bundle written to stdout cannot be cut into volumes")
                .hint("write a file with -o FILE, or cut it later: bundle repack FILE --volume-size SIZE -o FILE")
                .into());
        }
        (Some(path), _) if path.as_os_str() == "-" && args.with_self => {
            return Err(Failure::usage(
                "`--with-self` writes files beside the bundle, but the bundle goes to stdout",
            )
            .hint("write a file with -o FILE")
            .into());
        }
        (Some(path), _) if path.as_os_str() == "-" && args.statement => {
            return Err(Failure::usage(
                "`--statement` writes a file beside the bundle, but the bundle goes to stdout",
            )
            .hint("write a file with -o FILE")
            .into());
        }
        (Some(path), _) if path.as_os_str() == "-" => return Ok(None),
        (Some(path), _) => {
            refuse_other_format(path)?;
            path.clone()
        }
        (None, Some(name)) => PathBuf::from(name),
        (None, None) => {
            return Err(Failure::usage("no default file name for several catalogs or stdin")
                .hint("name the file with -o FILE")
                .into());
        }
    };
    let folder = folder_of(&target);
    if !folder.is_dir() {
        return Err(Failure::new(
            ExitCode::Failed,
            format!("the folder {} does not exist", folder.display()),
        )
        .hint("create it first, or write elsewhere with -o FILE")
        .into());
    }
    if target.is_dir() {
        return Err(Failure::usage(format!("{} is a folder; -o names a file", target.display())).into());
    }
    refuse_special(&target)?;
    Ok(Some(target))
}

/// Endings of other formats, the longer ones first.
const OTHER_FORMATS: [&str; 18] = [
    ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.lz4", ".tar.lz", ".tgz", ".txz", ".tbz2", ".tbz", ".tar", ".zip",
    ".7z", ".rar", ".gz", ".xz", ".bz2", ".lz4", ".lz",
];

/// The ending of `name` that names another format, if it has one.
fn other_format(name: &str) -> Option<&'static str> {
    let is_ending = |ending: &&&str| {
        let start = name.len().checked_sub(ending.len());
        start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    OTHER_FORMATS.iter().find(is_ending).copied()
}

/// Whether the name of `path` ends like an archive.
pub(super) fn names_other_format(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    other_format(&name).is_some() || name.to_ascii_lowercase().ends_with(".zst")
}

/// Other tools and people trust the name: a wrong ending would only be noticed behind the gap.
fn refuse_other_format(target: &Path) -> anyhow::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let Some(ending) = other_format(&name) else { return Ok(()) };
    let stem = &name[..name.len() - ending.len()];
    let stem = stem.strip_suffix(".tar.zst").unwrap_or(stem);
    let stem = if stem.is_empty() { "bundle" } else { stem };
    let better = target.with_file_name(format!("{stem}.tar.zst"));
    let message = format!(
        "{}: a bundle is a tar compressed with zstd, but the ending {ending} names another format",
        target.display()
    );
    Err(Failure::usage(message)
        .hint(format!("name it {}; any ending that does not name another format is allowed", typed(&better)))
        .into())
}

/// The finished file is renamed to its name, which would replace a device or a link.
fn refuse_special(target: &Path) -> anyhow::Result<()> {
    let refuse = |why: String, hint: &str| Err(Failure::usage(why).hint(hint).into());
    let shown = target.display();
    if output_files::is_no_file(target) {
        return refuse(
            format!("{shown} is not a regular file"),
            "for pipes and devices, write the bundle to stdout with -o -",
        );
    }
    match std::fs::read_link(target) {
        Ok(to) => refuse(
            format!("{shown} is a link to {}", to.display()),
            "name that file with -o, since the partial file and the checksum are written beside it",
        ),
        Err(_) => Ok(()),
    }
}

/// The catalogs, the bundle with its sidecar files, and the report must be different files.
pub(crate) fn refuse_overlaps(args: &ExportArgs, target: Option<&Path>) -> anyhow::Result<()> {
    let mut inputs: Vec<_> =
        args.catalog.catalogs.iter().map(|name| ("the catalog", Path::new(name))).collect();
    inputs.extend(args.locked.iter().map(|path| ("the lock", path.as_path())));
    inputs.extend(args.write.sign.sign_key.iter().map(|path| ("the key", path.as_path())));
    inputs.extend(args.write.policy.policy.iter().map(|path| ("the policy", path.as_path())));
    inputs.extend(args.base.iter().map(|path| ("the base", path.as_path())));
    output_files::refuse_overlaps(&inputs, &files(&args.write, target, &args.report))
}

/// The files that are written, each with a description.
pub(crate) fn files(
    write: &WriteArgs,
    target: Option<&Path>,
    report: &ReportArgs,
) -> Vec<(&'static str, PathBuf)> {
    let mut files = Vec::new();
    if let Some(target) = target {
        files.push(("the bundle", target.to_owned()));
        files.extend(
            sidecar::written_with(write).iter().map(|suffix| ("a sidecar file", beside(target, suffix))),
        );
        if write.with_self {
            files.extend(super::with_self::files(target).map(|path| ("what --with-self writes", path)));
        }
    }
    files.extend(report.file.iter().map(|path| ("--report", path.clone())));
    files
}

/// The name of a compact bundle: that of the other form must not be taken for it.
pub(crate) fn compact_name(name: &str) -> String {
    const ENDING: &str = ".tar.zst";
    name.strip_suffix(ENDING).map_or_else(|| name.to_owned(), |stem| format!("{stem}.compact{ENDING}"))
}

/// Refuses to make a compact bundle with a program whose encoders write other bytes than it says.
pub(crate) fn require_encoders() -> Result<(), Failure> {
    if crate::encoders::zlib_is_stock() {
        return Ok(());
    }
    let message = "this program was built with another zlib than it needs for compact bundles";
    Err(Failure::new(ExitCode::Failed, message)
        .hint("build it from its own Cargo.lock, or leave out --compact"))
}

/// Bytes of each volume, if the bundle is cut: parity needs a multiple of [`COLUMNS`].
pub(crate) fn cut_size(write: &WriteArgs) -> Option<u64> {
    let unit = if write.parity.is_some() { COLUMNS } else { 1 };
    write.volume_size.map(|size| size / unit * unit)
}

/// Refuses a plan for which the disk of `target` has too little space, before anything is written; otherwise describes
/// the space.
pub(crate) fn check_space(target: &Path, plan: &ExportPlan, write: &WriteArgs) -> Result<String, Failure> {
    let content = plan.head.layout.max_len();
    let mut needed = content;
    if let Some(size) = cut_size(write) {
        Cut::new(size, content).map_err(|error| Failure::of(&error))?;
        needed += u64::from(write.parity.unwrap_or(0)) * parity_len(size, content);
    }
    let file = cut_size(write).map_or(content, |size| size.min(content));
    let is_fat = write.assume_medium == Some(AssumedMedium::Fat);
    let largest = if is_fat { Some(FAT_LARGEST) } else { largest_file(target) };
    if let Some(largest) = largest.filter(|largest| *largest < file) {
        let message = format!(
            "the bundle needs a file of {}, but the file system of {} holds only files up to {}",
            bytes(file),
            target.display(),
            bytes(largest)
        );
        return Err(Failure::new(ExitCode::NoSpace, message).hint(
            "cut it into volumes with --volume-size fat32, or write to a disk with another file system",
        ));
    }
    let Some(free) = free_space(target) else {
        return Ok(format!("{} for {}; free space unknown", bytes(needed), target.display()));
    };
    let usable = free.saturating_add(occupied(target));
    if usable >= needed {
        return Ok(format!("{} for {}, {} free", bytes(needed), target.display(), bytes(usable)));
    }
    Err(Failure::new(
        ExitCode::NoSpace,
        format!(
            "the bundle needs {}, but only {} are free in the folder of {}",
            bytes(needed),
            bytes(usable),
            target.display()
        ),
    )
    .hint("free some space, write to another disk with -o FILE, or keep fewer platforms with --platform"))
}

/// How `target` is written to hold `plan`: detected, unless a test assumes a medium.
pub(crate) fn medium(session: &Session, args: &WriteArgs, target: &Path, plan: &ExportPlan) -> Medium {
    let medium = match args.assume_medium {
        Some(AssumedMedium::Sparse) => Medium::Sparse,
        Some(AssumedMedium::Filling | AssumedMedium::Fat) => Medium::Filling,
        None => Medium::of(target, plan.head.layout.max_len()),
    };
    if medium == Medium::Filling {
        let parallel = if args.spool.is_some() {
            ""
        } else {
            "; with --spool DIR on another disk, downloads do not have to wait for it"
        };
        session.reporter.say(&format!(
            "the disk of {} fills gaps with zeros, so the file is written in order{parallel}",
            target.display()
        ));
    }
    medium
}
