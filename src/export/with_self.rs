//! `--with-self`: writes this program, its checksum and a text with instructions beside a bundle.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::{self, folder_of};
use crate::app::text::typed;
use crate::image::{Algorithm, Digest, Hasher};
use crate::inputs::bundle_name::stem;
use crate::session::output_files;

/// The name of the program beside a bundle.
const NAME: &str = "bundle";

/// The files that are written for the bundle `target`: the program, its checksum, the text.
pub(crate) fn files(target: &Path) -> [PathBuf; 3] {
    let folder = folder_of(target);
    let stem = stem(target);
    [folder.join(NAME), folder.join(format!("{NAME}.sha256")), folder.join(format!("{stem}.README.txt"))]
}

/// Refuses to replace other files that have these names.
pub(crate) fn check(target: &Path, force: bool) -> anyhow::Result<()> {
    let [program, sum, _] = files(target);
    for path in [&program, &sum].into_iter().filter(|path| path.exists() && !force) {
        let is_same = if *path == program { digest(path)? == digest(&own()?)? } else { true };
        if !is_same {
            return Err(Failure::new(
                ExitCode::Failed,
                format!("{} exists and is a different file", path.display()),
            )
            .hint("replace it with --force, or write the bundle into another folder")
            .into());
        }
    }
    Ok(())
}

/// Writes the three files beside the bundle `target`; `volumes` are its files if it is cut.
pub(crate) fn write(target: &Path, first_volume: Option<&Path>) -> anyhow::Result<()> {
    let [program, sum, text] = files(target);
    let own = own()?;
    let digest = digest(&own)?;
    let is_there = program.exists() && self::digest(&program)? == digest;
    // A program that already runs from this path does not have to be copied onto itself.
    if !is_there {
        copy(&own, &program).map_err(|error| Failure::io(&program, &error))?;
    }
    output_files::write_beside(&sum, format!("{}  {NAME}\n", digest.hex()))?;
    output_files::write_beside(&text, readme(target, first_volume))
}

fn own() -> anyhow::Result<PathBuf> {
    std::env::current_exe().map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot find the path of this program: {error}")).into()
    })
}

/// Copies the program, completely or not at all, and makes it executable if the disk supports that.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut aside = own_file::aside(to, 0o755)?;
    std::io::copy(&mut std::fs::File::open(from)?, aside.as_file_mut())?;
    aside.flush()?;
    aside.as_file().sync_all()?;
    aside.persist(to).map_err(|error| error.error)?;
    Ok(())
}

fn digest(path: &Path) -> anyhow::Result<Digest> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return std::io::Result::Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    read().map_err(|error| Failure::io(path, &error).into())
}

/// The instructions for the other side, with this program and without it.
fn readme(target: &Path, first_volume: Option<&Path>) -> String {
    let name = |path: &Path| typed(Path::new(path.file_name().unwrap_or_default()));
    let file = name(target);
    let checksum = name(&own_file::beside(target, ".sha256"));
    let join = first_volume.map_or_else(String::new, |_| {
        format!("    cat {file}.[0-9]* > {file}        # the volumes, in the order of their names\n")
    });
    let named = first_volume.map_or_else(|| file.clone(), name);
    format!(
        "{file} carries container images into a registry without a network.\n\n\
         With the program beside it (Linux, {arch}):\n\n    \
         sha256sum -c {NAME}.sha256 && chmod +x {NAME}\n    \
         ./{NAME} verify {named}\n    \
         ./{NAME} import {named} -d REGISTRY\n\n\
         Without it, with zstd, tar and skopeo:\n\n\
         {join}    \
         sha256sum -c {checksum}\n    \
         mkdir layout && zstd -dc {file} | tar -x -C layout\n    \
         (cd layout && sha256sum -c SHA256SUMS)\n    \
         jq -r '.manifests[].annotations.\"org.opencontainers.image.ref.name\"' layout/index.json\n    \
         # for each NAME of that list:\n    \
         skopeo copy --all --preserve-digests oci:layout:NAME docker://REGISTRY/PATH:TAG\n\n\
         PATH and TAG are those of NAME, without its registry. Digests do not change.\n",
        arch = std::env::consts::ARCH,
    )
}
