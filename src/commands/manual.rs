//! `bundle help`, `bundle man` and `bundle completions`: the manual, and what is generated from the command line's
//! definition.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;

use crate::app::failure::{ExitCode, Failure};
use crate::app::programs;
use crate::cli::Cli;
use crate::manual;
use crate::session::{console, output_files};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Options of less: quit when the text fits the screen, show colours, leave the text on the screen.
const LESS: &str = "FRX";

pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bundle", &mut text);
    console::write(&text)?;
    Ok(ExitCode::Done)
}

pub(super) fn man(dir: Option<&Path>, html: Option<&Path>, force: bool) -> anyhow::Result<ExitCode> {
    if let Some(dir) = dir {
        write_man_pages(dir).map_err(|error| Failure::io(dir, &error))?;
    } else if let Some(path) = html {
        let text = manual::html(VERSION);
        if path == Path::new("-") {
            console::write(text.as_bytes())?;
        } else {
            output_files::refuse_overwrite(path, text.as_bytes(), force, "choose another name")?;
            output_files::write(path, text)?;
        }
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        console::write(&page)?;
    }
    Ok(ExitCode::Done)
}

fn write_man_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    for page in &manual::PAGES {
        std::fs::write(dir.join(format!("bundle-{}.7", page.topic)), manual::man_page(page, VERSION))?;
    }
    Ok(())
}

/// Without `words`, all commands and topics; otherwise the help of a command or a page of the manual.
pub(super) fn help(words: &[String]) -> anyhow::Result<ExitCode> {
    if let [topic] = words
        && let Some(page) = manual::page(topic)
    {
        show(&page.plain())?;
        return Ok(ExitCode::Done);
    }
    let mut command = Cli::command();
    command.build();
    let mut command = &mut command;
    for word in words {
        command = command.find_subcommand_mut(word).ok_or_else(|| unknown(words))?;
    }
    let text = command.render_long_help();
    let text = if styles() { text.ansi().to_string() } else { text.to_string() };
    let contents = if words.is_empty() { format!("\n{}", manual::contents()) } else { String::new() };
    console::write(format!("{text}{contents}").as_bytes())?;
    Ok(ExitCode::Done)
}

fn unknown(words: &[String]) -> Failure {
    let words = words.join(" ");
    let failure = Failure::usage(format!("no command or page of the manual is called {words:?}"));
    let pages = manual::pages_about(&words);
    if pages.is_empty() {
        return failure.hint("bundle help lists both");
    }
    let pages: Vec<String> = pages.iter().map(|page| format!("bundle help {}", page.topic)).collect();
    failure.hint(format!("these pages are about it: {}", pages.join(", ")))
}

fn styles() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Shows the text in a pager if stdout is a terminal; otherwise prints it.
fn show(text: &str) -> Result<(), Failure> {
    let pager = if io::stdout().is_terminal() { pager() } else { None };
    let Some(mut child) = pager.and_then(|mut pager| pager.stdin(Stdio::piped()).spawn().ok()) else {
        return console::write(text.as_bytes());
    };
    if let Some(mut input) = child.stdin.take() {
        // The write fails when the pager is quit early, which is not an error.
        let _ = input.write_all(text.as_bytes());
    }
    let _ = child.wait();
    Ok(())
}

/// `$PAGER`, or less. An empty `$PAGER` or `cat` means no pager.
fn pager() -> Option<Command> {
    let wanted = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    let words = shlex::split(&wanted)?;
    let (program, arguments) = words.split_first().filter(|(program, _)| *program != "cat")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = if program.contains('/') { program.into() } else { programs::find(program, &path)? };
    let mut command = Command::new(program);
    command.args(arguments);
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    Some(command)
}
