//! Finds the programs that tests need; a test whose program is missing is skipped with the reason.
//!
//! `scripts/interop.sh` installs Debian's; where `CI` is set, a missing one of these is a failure. Programs that are
//! built with Go or come from `PyPI` are put into a cache directory by the first test that needs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::Skip;

/// One build at a time: each of them uses all cores.
static BUILDING: Mutex<()> = Mutex::new(());

fn building() -> MutexGuard<'static, ()> {
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is in the `PATH`.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| !have(program)).collect()
}

/// Programs of Debian that CI installs: where `CI` is set, a missing one is a failure.
pub fn debian(programs: &[&str]) -> Result<(), Skip> {
    let missing = missing(programs).join(", ");
    if missing.is_empty() {
        return Ok(());
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "{missing} missing, and in CI nothing of this is skipped"
    );
    Err(Skip::because(format!("no {missing} here")))
}

/// Programs that CI may be without.
pub fn optional(programs: &[&str]) -> Result<(), Skip> {
    let missing = missing(programs).join(", ");
    if missing.is_empty() { Ok(()) } else { Err(Skip::because(format!("no {missing} here"))) }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn root(why: &str) -> Result<(), Skip> {
    if is_root() { Ok(()) } else { Err(Skip::because(format!("{why} needs root here"))) }
}

/// Downloads and builds are kept here between runs.
pub fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("bundle-interop");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The output of `command`, or the line that says why it failed. It has the user's environment, which may name proxies.
fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let words = ["403", "404", "rror:", "cannot", "requires", "replace", "dial", "no "];
    let telling = said.lines().find(|line| words.iter().any(|word| line.contains(word)));
    Err(telling.or(said.lines().last()).unwrap_or("it says nothing").trim().to_owned())
}

/// A program that is built with Go, once.
pub fn go_program(name: &str, package: &str) -> Result<PathBuf, Skip> {
    optional(&["go"])?;
    let _one = building();
    let (_, version) = package.split_once('@').expect("a package comes with its version");
    let folder = cache().join(version);
    let program = folder.join(name);
    if !program.is_file() {
        let mut install = Command::new("go");
        install
            .args(["install", package])
            .env("GOBIN", &folder)
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0");
        output_of(&mut install).map_err(|why| Skip::because(format!("{package} cannot be had: {why}")))?;
        if !program.is_file() {
            return Err(Skip::because(format!("{package} builds no {name}")));
        }
    }
    Ok(program)
}

/// Where a module of Go is, unpacked and read-only.
pub fn go_module(module: &str) -> Result<PathBuf, Skip> {
    optional(&["go"])?;
    let mut download = Command::new("go");
    download
        .args(["mod", "download", "-json", module])
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod");
    download.current_dir("/");
    let unavailable = |why: String| Skip::because(format!("{module} cannot be had: {why}"));
    let described = output_of(&mut download).map_err(unavailable)?;
    let described: serde_json::Value =
        serde_json::from_str(&described).map_err(|error| unavailable(error.to_string()))?;
    Ok(described["Dir"].as_str().ok_or_else(|| unavailable("no folder".to_owned()))?.into())
}

/// What to build of a module.
#[derive(Debug)]
pub struct GoBuild {
    pub name: &'static str,
    pub module: &'static str,
    pub package: &'static str,
    pub tags: &'static str,
    pub cgo: &'static str,
    /// Folders of the module that the program reads; they are beside it afterwards.
    pub folders: &'static [&'static str],
}

impl GoBuild {
    /// Builds in a copy of the module, because `go install` needs a list of versions, which not every proxy has.
    pub fn program(&self) -> Result<PathBuf, Skip> {
        optional(&["go"])?;
        let _one = building();
        let (_, version) = self.module.split_once('@').expect("a module comes with its version");
        let home = cache().join(format!("{}-{version}", self.name));
        let program = home.join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        let source = go_module(self.module)?;
        let copy = tempfile::TempDir::new_in(crate::processes::root()).unwrap();
        let module = copy.path().join("module");
        copy_writable(&source, &module);
        std::fs::create_dir_all(&home).unwrap();
        let mut build = Command::new("go");
        build.args(["build", "-tags", self.tags, "-o"]).arg(&program).arg(self.package).current_dir(&module);
        build.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", self.cgo);
        output_of(&mut build)
            .map_err(|why| Skip::because(format!("{} cannot be built: {why}", self.name)))?;
        for folder in self.folders {
            copy_writable(&module.join(folder), &home.join(folder));
        }
        Ok(program)
    }
}

/// Copies a directory that may be read-only; the copy can be changed.
pub fn copy_writable(from: &Path, to: &Path) {
    for (program, arguments) in [("cp", &["-r", "--no-preserve=mode"][..]), ("chmod", &["-R", "u+w"])] {
        let mut command = Command::new(program);
        command.args(arguments);
        if program == "cp" {
            command.arg(from);
        }
        let status = command.arg(to).status().unwrap();
        assert!(status.success(), "{command:?}");
    }
}

/// A virtual environment with these packages, made once. `works` says whether it is complete.
pub fn python(
    name: &str,
    interpreter: &str,
    packages: &[&str],
    works: impl Fn(&Path) -> bool,
) -> Result<PathBuf, Skip> {
    let _one = building();
    let home = cache().join(name);
    if !works(&home) {
        let unavailable = |why| Skip::because(format!("{} cannot be had: {why}", packages[0]));
        output_of(Command::new(interpreter).args(["-m", "venv"]).arg(&home)).map_err(unavailable)?;
        let mut install = Command::new(home.join("bin/pip"));
        output_of(install.args(["install", "-q"]).args(packages)).map_err(unavailable)?;
    }
    Ok(home)
}
