//! The pages of the manual and the README: their code blocks and commands, compared with what the program prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::gap::Gap;

/// A code block of a page.
#[derive(Clone, Debug)]
pub struct Block {
    pub page: String,
    pub language: String,
    pub text: String,
}

/// Pages of the manual and of the project by name.
pub fn pages() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual =
        airgap_bundle::manual::PAGES.iter().map(|page| (page.topic.to_owned(), page.text.to_owned()));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    manual.chain([("README.md".to_owned(), readme)]).collect()
}

pub fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (page, text) in pages() {
        let mut open: Option<Block> = None;
        for line in text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    let (page, language) = (page.clone(), language.to_owned());
                    open = Some(Block { page, language, text: String::new() });
                }
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page} has a code block without an end");
    }
    blocks
}

/// What stands in code within text: `` `like this` ``.
pub fn inline_code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (page, text) in pages() {
        let outside = text.split("```").step_by(2).collect::<Vec<_>>().join("\n\n");
        for paragraph in outside.split("\n\n") {
            let codes = paragraph.split('`').skip(1).step_by(2);
            found.extend(
                codes.map(|code| (page.clone(), code.split_whitespace().collect::<Vec<_>>().join(" "))),
            );
        }
    }
    found
}

impl Block {
    /// The lines of a shell, and for a console what each of them printed.
    pub fn commands(&self) -> Vec<(String, Vec<String>)> {
        let mut commands: Vec<(String, Vec<String>)> = Vec::new();
        let text = self.text.replace("\\\n", " ");
        for line in text.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push((command.to_owned(), Vec::new())),
                None if self.language == "console" => commands.last_mut().unwrap().1.push(line.to_owned()),
                None => commands.push((line.to_owned(), Vec::new())),
            }
        }
        commands
    }
}

/// The arguments of every run of this program in a line of a shell, with the program's name.
pub fn runs(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_default();
    let mut runs = Vec::new();
    for part in words.split(|word| ["|", "||", "&&", ";", "&"].contains(&word.as_str())) {
        let Some(at) = part.iter().position(|word| word == "bundle") else { continue };
        let is_run = at == 0 || part[..at].iter().all(|word| word.contains('=')) || part[0] == "ssh";
        if is_run {
            runs.push(part[at..].iter().filter(|word| !word.starts_with(['<', '>'])).cloned().collect());
        }
    }
    runs
}

/// Runs a block's commands in the folder of `gap`, and compares what they print with what the page shows.
///
/// `before` is called with each command first and may change it. Figures, digests, dates and hosts may differ, and the
/// program may print more lines than the page shows, but no others and in no other order.
pub fn replay(gap: &Gap, block: &Block, mut before: impl FnMut(&str) -> Option<String>) {
    let bin = gap.path(".bin");
    std::fs::create_dir_all(&bin).unwrap();
    let program = bin.join("bundle");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bundle"), &program).unwrap();
    }
    let (source, destination) = (gap.source.host(), gap.destination.host());
    for (line, shown) in block.commands() {
        let line = before(&line).unwrap_or(line);
        let line = line.replace("127.0.0.1:43991", &source).replace("127.0.0.1:35071", &destination);
        let line = line.replace("registry.local", &destination).replace("/etc/containerd", "etc/containerd");
        let model = gap.cli.command(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("( {line}\n) 2>&1")]).current_dir(gap.cli.folder()).env_clear();
        shell.envs(model.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", bin.display())).stdin(Stdio::null());
        let output = shell.output().unwrap();
        let is_failure = shown.iter().any(|line| {
            line.starts_with("error: ") || line.contains("exit code") || line.contains(" error, ")
        }) || line.contains("--salvage");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let masked = |text: &str| mask(text, &source, &destination);
        assert!(output.status.success() || is_failure, "{}: `{line}` fails:\n{said}", block.page);
        let mut rest = said.lines().map(masked);
        for wanted in shown.iter().map(|line| mask(line, &source, &destination)) {
            assert!(
                rest.any(|line| line == wanted),
                "{}: `{line}` does not print\n  {wanted}\nbut\n{}",
                block.page,
                said.lines().map(masked).collect::<Vec<_>>().join("\n")
            );
        }
    }
}

/// A line without what differs between two runs and two machines.
fn mask(line: &str, source: &str, destination: &str) -> String {
    let line = line.replace(source, "SOURCE").replace("127.0.0.1:43991", "SOURCE");
    let line = [destination, "127.0.0.1:35071", "registry.local"]
        .iter()
        .fold(line, |line, host| line.replace(host, "DESTINATION"));
    let line =
        line.replace(env!("CARGO_BIN_EXE_bundle"), "BUNDLE").replace("/usr/local/bin/bundle", "BUNDLE");
    let line = line.replace("/etc/containerd", "etc/containerd").replace("https://", "http://");
    let words = line.split_whitespace().map(|word| {
        let (mut masked, mut run) = (String::new(), String::new());
        let end = |run: &mut String, masked: &mut String| {
            let has_digit = run.contains(|c: char| c.is_ascii_digit());
            let is_hash = run.len() >= 7 && run.chars().all(|c| c.is_ascii_hexdigit());
            *masked += &match has_digit {
                true if is_hash => "N".to_owned(),
                true => figures(run),
                false => run.clone(),
            };
            run.clear();
        };
        for c in word.chars() {
            if c.is_ascii_alphanumeric() {
                run.push(c);
            } else {
                end(&mut run, &mut masked);
                masked.push(c);
            }
        }
        end(&mut run, &mut masked);
        // Units and plurals follow the figures.
        masked
    });
    let line = words.collect::<Vec<_>>().join(" ");
    // Of a number with a fraction, or a version, one letter is left.
    let line = (0..3).fold(line, |line, _| line.replace("N.N", "N"));
    ["kB", "MB", "GB", "KiB", "MiB"].iter().fold(line, |line, unit| line.replace(&format!("N {unit}"), "N B"))
}

/// Text with one letter for each run of digits.
fn figures(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('N') => {}
            '0'..='9' => masked.push('N'),
            c => masked.push(c),
        }
    }
    masked
}
