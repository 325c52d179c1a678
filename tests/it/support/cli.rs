//! Runs the program in a folder of its own, without the developer's environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

#[derive(Debug)]
pub struct Cli {
    program: PathBuf,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    pub fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_bundle").into(), TempDir::new().unwrap())
    }

    /// Another program in a folder that is there.
    pub fn of(program: PathBuf, folder: TempDir) -> Self {
        Self { program, folder, environment: Vec::new() }
    }

    /// The working directory, and `HOME`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The command, for tests that pipe into it or interrupt it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.environment_of(&self.program);
        command.args(arguments);
        command
    }

    /// Another program where `bundle` would run, and as it would.
    pub fn environment_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("XDG_RUNTIME_DIR", self.folder().join("run"))
            .env("DOCKER_CONFIG", self.folder().join(".docker"))
            .env("TMPDIR", self.folder())
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What differs from run to run, for `insta::with_settings!({filters => cli.filters()}, …)`.
    pub fn filters(&self) -> Vec<(String, &'static str)> {
        let literal = |path: &Path| {
            path.to_string_lossy().chars().fold(String::new(), |mut escaped, c| {
                if !c.is_alphanumeric() && c != '/' {
                    escaped.push('\\');
                }
                escaped.push(c);
                escaped
            })
        };
        let canonical = self.folder().canonicalize().unwrap();
        vec![
            (literal(self.folder()), "[DIR]"),
            (literal(&canonical), "[DIR]"),
            (literal(Path::new(env!("CARGO_BIN_EXE_bundle"))), "[BUNDLE]"),
            (r"(127\.0\.0\.1|localhost|\[::1\]):\d+".to_owned(), "$1:[PORT]"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(), "[TIME]"),
            (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC".to_owned(), "[TIME]"),
            (r"\bbytes \d+ to \d+\b".to_owned(), "bytes [RANGE]"),
            (r"\b\d+ bytes\b".to_owned(), "[SIZE]"),
            (r"\b\d+(\.\d+)? ?([kKMG]i?)?B/s".to_owned(), "[RATE]"),
            (r"\b\d+(\.\d+)? ?([kKMG]i?)?B\b".to_owned(), "[SIZE]"),
            (r"\b\d+(\.\d+)? ?(ms|µs|s)\b".to_owned(), "[DURATION]"),
        ]
    }
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// All of it as one text to snapshot.
    pub fn shown(&self) -> String {
        format!("code: {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}
