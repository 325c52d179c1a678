//! What one test works with: a directory of its own, and programs run there without the user's environment and
//! settings.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::processes::{Server, root};
use crate::support::cli::{Cli, Ran};
use crate::support::gap::Running;

/// A test's directory, removed when dropped.
#[derive(Debug)]
pub struct Desk {
    cli: Cli,
}

impl Desk {
    pub fn new(name: &str) -> Self {
        // `BUNDLE` names another program than the one that was just built.
        let program = std::env::var_os("BUNDLE").unwrap_or_else(|| env!("CARGO_BIN_EXE_bundle").into());
        let program =
            std::fs::canonicalize(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        // Short, because paths of Unix sockets have to be.
        let prefix: String = name.chars().take(12).collect();
        let folder = TempDir::with_prefix_in(prefix + "-", root()).unwrap();
        let desk = Self { cli: Cli::of(program, folder) };
        // podman requires this file.
        desk.write(".docker/config.json", "{}");
        desk.write("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/podman/run\"\ngraphroot = \"{0}/podman/root\"\n",
            desk.folder().display()
        );
        desk.write("storage.conf", &storage);
        std::fs::create_dir_all(desk.path("run")).unwrap();
        desk
    }

    pub fn folder(&self) -> &Path {
        self.cli.folder()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The same as text, for a command line.
    pub fn at(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary folders have plain names").to_owned()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Writes a file, and makes the folder it is in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn folder_made(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    /// Removes a file or a folder that may be there.
    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        assert!(removed.is_ok() || !path.exists(), "{}: {removed:?}", path.display());
    }

    /// The names of what is in a folder, sorted.
    pub fn names_in(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A run of the program that is tested.
    pub fn bundle(&self, arguments: &[&str]) -> Run {
        Run::of(self.cli.command(arguments))
    }

    /// A run of another program.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Run {
        let mut command = self.cli.environment_of(program.as_ref());
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf")).args(arguments);
        Run::of(command)
    }

    /// The same from one line, split into words as a shell does. Nothing is expanded.
    pub fn line(&self, line: &str) -> Run {
        let words = shlex::split(line).unwrap_or_else(|| panic!("no words: {line}"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(words[0], &words[1..])
    }

    pub fn skopeo(&self, arguments: &[&str]) -> Run {
        let run = self.run("skopeo", &["--insecure-policy", "--tmpdir", &self.at("")]);
        run.args(arguments)
    }

    /// Copies an image with skopeo into the directory `copied`, and returns its digest there.
    pub fn copied_to_a_folder(&self, before: &[&str], from: &str) -> String {
        self.remove("copied");
        let run = self.skopeo(before).args(&[
            "copy",
            "-q",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
        ]);
        run.args(&[from, "dir:copied"]).ok();
        format!("sha256:{}", sha256(&self.path("copied/manifest.json")))
    }
}

/// A command that is about to run.
#[derive(Debug)]
#[must_use = "nothing runs before `ok`, `ends`, `ran`, `start` or `server`"]
pub struct Run {
    command: Command,
    input: Vec<u8>,
    shown: String,
}

impl Run {
    fn of(command: Command) -> Self {
        let mut run = Self { command, input: Vec::new(), shown: String::new() };
        run.show();
        run
    }

    fn show(&mut self) {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        self.shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self.show();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn envs(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads from stdin.
    pub fn fed(mut self, text: &str) -> Self {
        text.as_bytes().clone_into(&mut self.input);
        self
    }

    /// The file it has as its stdin.
    pub fn fed_from(mut self, file: &Path) -> Self {
        self.command.stdin(File::open(file).unwrap());
        self
    }

    /// Runs it with the output of `first` on its stdin; both must succeed.
    pub fn fed_by(mut self, mut first: Self) -> Ran {
        let mut writer = first.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.command.stdin(writer.stdout.take().expect("it was piped"));
        let ran = self.ran();
        let wrote = Running::waits_for(writer).wait();
        assert_eq!(wrote.code, 0, "{}: {}\nread by: {}", first.shown, wrote.shown(), ran.shown());
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran
    }

    /// Its stdout goes to a file.
    pub fn into_file(mut self, file: &Path) -> Ran {
        let output = File::create(file).unwrap();
        let output = self.command.stdout(output).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
        let ran = Ran::of(&output.unwrap());
        assert_eq!(ran.code, 0, "{}\n{}", self.shown, ran.shown());
        ran
    }

    pub fn ran(mut self) -> Ran {
        if !self.input.is_empty() {
            self.command.stdin(Stdio::piped());
        }
        let command = self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        if !self.input.is_empty() {
            // The pipe breaks when a program ends before it reads.
            let _ = std::io::Write::write_all(&mut child.stdin.take().expect("it was piped"), &self.input);
        }
        Running::waits_for(child).wait()
    }

    /// Runs it; it must succeed.
    pub fn ok(self) -> Ran {
        self.ends(0)
    }

    /// Runs it; it must end with this code.
    pub fn ends(self, code: i32) -> Ran {
        let shown = self.shown.clone();
        let ran = self.ran();
        assert_eq!(ran.code, code, "the exit code of `{shown}`\n{}", ran.shown());
        ran
    }

    /// Runs it without waiting for it.
    pub fn start(self) -> Running {
        Running::of(self.command)
    }

    /// Runs it in the background, as a server.
    pub fn server(self, log: &Path) -> Server {
        Server::start(self.command, log)
    }
}

/// The SHA-256 of a file in hex, by coreutils.
pub fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.trim_start_matches('\\').split(' ').next().unwrap_or_default().to_owned()
}

/// Two files have the same bytes.
pub fn assert_same(one: &Path, other: &Path) {
    let ran = Command::new("cmp").arg(one).arg(other).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

/// `text` has `part` in it.
pub fn assert_says(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not said:\n{text}");
}
