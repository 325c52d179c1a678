//! `bundle mirrors`: configuration that makes nodes pull from the destination under the names that charts use.

use std::fmt::Write as _;
use std::path::Path;

use crate::app::failure::{ExitCode, Failure};
use crate::cli::{MirrorRuntime, MirrorsArgs};
use crate::cluster_config::{MirrorError, MirrorFile, MirrorKind, Reach, mirror_files};
use crate::destination::{Destination, Mapping};
use crate::inputs::open_bundle;
use crate::session::{console, output_files};

pub(super) fn run(args: &MirrorsArgs) -> anyhow::Result<ExitCode> {
    let destination: Destination = args.destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    refuse_misplaced(args)?;
    let opened = open_bundle::open(Some(&args.bundle), &args.trust)?;
    let bundle = opened.image_store.bundle();
    let mapping = Mapping {
        keep_host: args.mapping.keep_host || bundle.keeps_host(),
        no_synthetic_tags: args.mapping.no_synthetic_tags,
    };
    let host = destination.host();
    let reach = Reach {
        plain_http: destination.plain_http || host.is_loopback() || args.plain_http.contains(host),
        tls_no_verify: args.tls_no_verify.contains(host),
        ca_file: args.node_ca_file.clone(),
    };
    let images: Vec<_> = bundle.images.iter().collect();
    let files = mirror_files(kind(args.runtime), &images, &destination, mapping, &reach, args.pin);
    let files = files.map_err(|error| match error {
        MirrorError::Nothing => Failure::usage(format!("{}: {error}", opened.image_store.name())),
        _ => Failure::new(ExitCode::Failed, error.to_string()),
    })?;
    match &args.output {
        Some(folder) => write(folder, &files, args.force)?,
        None => console::print(&joined(&files))?,
    }
    Ok(ExitCode::Done)
}

/// Refuses flags that have no effect for this runtime.
fn refuse_misplaced(args: &MirrorsArgs) -> anyhow::Result<()> {
    let renames = args.runtime == MirrorRuntime::Kustomize;
    let reaches =
        !args.plain_http.is_empty() || !args.tls_no_verify.is_empty() || args.node_ca_file.is_some();
    let why = match () {
        () if args.pin && !renames => {
            "`--pin` needs `--for kustomize`: a mirror serves whatever a manifest names"
        }
        () if reaches && renames => {
            "`--plain-http`, `--tls-no-verify` and `--node-ca-file` do not work with `--for kustomize`, which only renames images"
        }
        () => return Ok(()),
    };
    Err(Failure::usage(why).into())
}

fn kind(runtime: MirrorRuntime) -> MirrorKind {
    match runtime {
        MirrorRuntime::Containerd => MirrorKind::Containerd,
        MirrorRuntime::K3s => MirrorKind::K3s,
        MirrorRuntime::Rke2 => MirrorKind::Rke2,
        MirrorRuntime::Crio => MirrorKind::Crio,
        MirrorRuntime::Podman => MirrorKind::Podman,
        MirrorRuntime::Openshift => MirrorKind::Openshift,
        MirrorRuntime::Kustomize => MirrorKind::Kustomize,
    }
}

/// The text of one file, or of several with each file's name before it.
fn joined(files: &[MirrorFile]) -> String {
    if let [file] = files {
        return file.text.clone();
    }
    let mut text = "# Several files; -o DIR writes them.\n".to_owned();
    for file in files {
        let _ = write!(text, "\n# --- {}\n{}", file.path, file.text);
    }
    text
}

fn write(folder: &Path, files: &[MirrorFile], force: bool) -> anyhow::Result<()> {
    let failed = |path: &Path, error: &std::io::Error| Failure::io(path, error);
    // All files are checked before the first one is written.
    for file in files {
        let path = folder.join(&file.path);
        output_files::refuse_overwrite(
            &path,
            file.text.as_bytes(),
            force,
            "write into another folder with -o DIR",
        )?;
    }
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        output_files::write(&path, &file.text)?;
        console::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
