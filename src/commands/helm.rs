//! Runs `helm`: renders charts, or fetches them so that their files can be searched.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use crate::app::failure::{ExitCode, Failure};
use crate::app::programs;

/// Bytes of helm's stderr that are kept for an error message.
const MAX_WORDS: u64 = 64 << 10;

const ELSEWHERE: &str = "render the chart where helm is: helm template … | bundle catalog discover -";

/// A chart, as helm's arguments name it.
#[derive(Clone, Debug)]
pub(super) struct Chart<'a> {
    /// A folder, a `.tgz`, a name in a repository, or `oci://…`.
    pub(super) name: &'a str,
    pub(super) repo: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    /// Further arguments of `helm template`.
    pub(super) arguments: &'a [String],
}

impl Chart<'_> {
    /// The chart on disk, if that is what its name is.
    pub(super) fn path(&self) -> Option<&Path> {
        let path = Path::new(self.name);
        (self.repo.is_none() && path.exists()).then_some(path)
    }

    /// Renders the chart with these values files, the later over the earlier.
    pub(super) fn render(&self, values: &[&str]) -> anyhow::Result<Rendering> {
        let mut command = self.command("template")?;
        command.arg("--include-crds");
        for file in values {
            command.arg("--values").arg(file);
        }
        command.args(self.arguments);
        Rendering::start(command)
    }

    /// Fetches the packed chart into `folder`.
    pub(super) fn pull(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let mut command = self.command("pull")?;
        command.arg("--destination").arg(folder);
        let mut rendering = Rendering::start(command)?;
        std::io::copy(&mut rendering.output(), &mut std::io::sink())?;
        rendering.finish()?;
        let packed = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut packed = packed.filter(|path| path.extension().is_some_and(|ending| ending == "tgz"));
        packed.next().ok_or_else(|| {
            Failure::new(ExitCode::Failed, format!("helm pull {} wrote no chart", self.name)).into()
        })
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let helm = programs::find("helm", &path).ok_or_else(|| {
            let failure = Failure::new(ExitCode::Failed, "helm is not installed on this machine");
            failure.hint(ELSEWHERE)
        })?;
        let mut command = Command::new(helm);
        command.arg(verb).arg(self.name);
        for (flag, value) in [("--repo", self.repo), ("--version", self.version)] {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        Ok(command)
    }
}

/// A helm that is running.
pub(super) struct Rendering {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    words: std::thread::JoinHandle<String>,
    shown: String,
}

impl Rendering {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let shown = format!("helm {}", words.join(" "));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Failure::new(ExitCode::Failed, format!("{shown}: {error}")).hint(ELSEWHERE))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let words = std::thread::spawn(move || stderr.map(read_words).unwrap_or_default());
        Ok(Self { child, output: stdout.map(BufReader::new), words, shown })
    }

    pub(super) fn output(&mut self) -> Box<dyn std::io::BufRead> {
        match self.output.take() {
            Some(output) => Box::new(output),
            None => Box::new(std::io::empty()),
        }
    }

    /// Waits for helm, which must succeed: half of a rendering looks like a whole one.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        drop(self.output.take());
        let status = self.child.wait()?;
        let words = self.words.join().unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let message = format!("{} failed:\n{}", self.shown, words.trim());
        Err(Failure::new(ExitCode::Failed, message).into())
    }
}

fn read_words(stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut stderr = stderr.take(MAX_WORDS);
    let _ = stderr.read_to_end(&mut words);
    // Reads the rest too, because helm would block on a full pipe.
    let _ = std::io::copy(&mut stderr.into_inner(), &mut std::io::sink());
    String::from_utf8_lossy(&words).into_owned()
}
