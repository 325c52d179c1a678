//! Manifests as people name them: files, folders, stdin.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::app::failure::Failure;
use crate::app::small_file;
use crate::catalog::discover::{self, Discovery, Place, is_kustomization};
use crate::request::foreign;

/// Endings of the files that are read in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// How deeply folders may be nested.
const MAX_DEPTH: usize = 64;

/// Searches the named files and folders.
pub(super) struct Look<'a> {
    pub(super) found: &'a mut Discovery,
    /// The catalog that will be written. It is skipped: an earlier run may have left it among the manifests.
    pub(super) own: Option<PathBuf>,
    /// Files of other kinds.
    pub(super) passed_by: usize,
}

impl Look<'_> {
    /// A file, a folder, or stdin.
    pub(super) fn at(&mut self, input: &Path) -> anyhow::Result<()> {
        if input.as_os_str() == "-" {
            return self.read("stdin", small_file::stdin_stream()).map_err(Into::into);
        }
        if input.is_dir() { self.folder(input, 0) } else { self.file(input) }
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let failed = failed(path);
        let opened = small_file::stream(path).map_err(&failed)?;
        let name = path.to_string_lossy();
        let name = name.strip_prefix("./").unwrap_or(&name);
        Ok(self.read(name, opened).map_err(&failed)?)
    }

    /// Searches a text. An archive is refused, because images found in a part of it would look like all of them.
    fn read(&mut self, name: &str, input: impl Read + Send + 'static) -> std::io::Result<()> {
        match foreign::text_of(name, input)? {
            Ok(text) => discover::read(self.found, name, text),
            Err(packed) => {
                let why = format!("it is {}, which is not searched; {}", packed.what, packed.way);
                self.found.files += 1;
                self.found.unclear(Place::of(&name.into(), 0), why, true);
                Ok(())
            }
        }
    }

    /// Every manifest in a folder and its subfolders, sorted by name. Templates of a chart are not manifests yet.
    fn folder(&mut self, path: &Path, depth: usize) -> anyhow::Result<()> {
        let failed = failed(path);
        if depth > MAX_DEPTH {
            return Err(failed(std::io::Error::other("the folders are nested too deep")).into());
        }
        let entries = std::fs::read_dir(path).map_err(&failed)?;
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(&failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let is_chart = path.join("Chart.yaml").is_file();
        for entry in entries {
            let (is_folder, path) = (entry.file_type().map_err(&failed)?.is_dir(), entry.path());
            if is_folder && is_chart && entry.file_name() == "templates" {
                let place = Place::of(&path.to_string_lossy().into(), 0);
                let why = "a chart's templates, which are not rendered; --chart renders them with helm";
                self.found.unclear(place, why.to_owned(), true);
            } else if is_folder {
                self.folder(&path, depth + 1)?;
            } else if is_manifest(&path) && !path.canonicalize().is_ok_and(|path| self.own == Some(path)) {
                self.file(&path)?;
            } else {
                self.passed_by += 1;
            }
        }
        Ok(())
    }
}

pub(super) fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::usage(format!("{}: {error}", path.display()))
}

fn is_manifest(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    let is_known = ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
    (is_known || is_kustomization(&path.to_string_lossy())) && path.is_file()
}
