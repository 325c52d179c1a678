//! Every help page, as a snapshot; and what holds for all of them: groups, texts, widths, one meaning per flag.

use std::collections::BTreeMap;

use airgap_bundle::cli::Cli;
use clap::{Arg, Command, CommandFactory};

use crate::support::cli::Cli as Program;

const HEADINGS: [&str; 8] = [
    "Input",
    "Selection",
    "Output",
    "Media",
    "Resume",
    "Trust",
    "Network",
    "Amazon ECR (missing repositories)",
];
/// Flags whose text says what it is in that command; the others have one text wherever they are.
const OF_THEIR_COMMAND: [&str; 15] = [
    "base",
    "by",
    "destination",
    "dir",
    "format",
    "html",
    "key",
    "keep",
    "manifests",
    "output",
    "platform",
    "policy",
    "receipt",
    "spool",
    "values",
];

/// The words of every command, with its definition.
fn commands() -> Vec<(Vec<String>, Command)> {
    let mut root = Cli::command();
    root.build();
    let (mut waiting, mut found) = (vec![(Vec::new(), root)], Vec::new());
    while let Some((words, command)) = waiting.pop() {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help" || words.is_empty())
        {
            let words = [words.clone(), vec![below.get_name().to_owned()]].concat();
            waiting.push((words, below.clone()));
        }
        found.push((words, command));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn page(words: &[String], flag: &str) -> String {
    let arguments: Vec<&str> = words.iter().map(String::as_str).chain([flag]).collect();
    let ran = Program::new().run(&arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    ran.stdout
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = |argument: &&Arg| !["help", "version"].contains(&argument.get_id().as_str());
    command.get_arguments().filter(|argument| !argument.is_positional()).filter(own)
}

#[test]
fn every_page_is_as_it_was_read_last() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots/help");
    settings.bind(|| {
        for (words, _) in commands() {
            let name = [vec!["bundle".to_owned()], words.clone()].concat().join("-");
            insta::assert_snapshot!(format!("{name}.short"), page(&words, "-h"));
            insta::assert_snapshot!(format!("{name}.long"), page(&words, "--help"));
        }
    });
}

#[test]
fn every_flag_has_a_group_and_every_argument_a_text() {
    for (words, command) in commands() {
        for argument in command.get_arguments() {
            let text =
                argument.get_help().unwrap_or_else(|| panic!("{words:?}: {} has no text", argument.get_id()));
            assert!(!text.to_string().contains('\n'), "{words:?}: {text}");
        }
        for flag in flags(&command) {
            let heading = flag.get_help_heading();
            assert!(
                heading.is_some_and(|heading| HEADINGS.contains(&heading)),
                "{words:?}: {} {heading:?}",
                flag.get_id()
            );
        }
        // In one order everywhere.
        let mut headings: Vec<_> = flags(&command).filter_map(Arg::get_help_heading).collect();
        let mut seen = std::collections::BTreeSet::new();
        headings.retain(|heading| seen.insert(*heading));
        let places: Vec<_> =
            headings.iter().map(|heading| HEADINGS.iter().position(|one| one == heading)).collect();
        assert!(places.is_sorted(), "{words:?}: {headings:?}");
    }
}

/// What is too long stands below its flag, and pushes the others apart.
#[test]
fn in_the_short_help_each_flag_takes_one_line() {
    let mut long = Vec::new();
    for (words, _) in commands() {
        let page = page(&words, "-h");
        let groups = page.split("\n\n").filter(|group| {
            group.lines().next().is_some_and(|head| {
                HEADINGS.iter().any(|one| head == format!("{one}:")) || head == "Arguments:"
            })
        });
        for line in groups.flat_map(|group| group.lines().skip(1)) {
            let is_start =
                line.trim_start().starts_with(['-', '<', '[']) && !line.trim_start().starts_with("[default");
            if !is_start || line.chars().count() > 100 {
                long.push(format!("{}: {line}", words.join(" ")));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_example_is_wrapped() {
    for (words, command) in commands() {
        let Some(text) = command.get_after_help().map(ToString::to_string) else { continue };
        let page = page(&words, "--help");
        for line in text.lines() {
            assert!(page.lines().any(|shown| shown == line), "{words:?}: wrapped: {line}");
            assert!(line.chars().count() <= 92, "{words:?}: {line}");
        }
    }
}

#[test]
fn a_flag_means_the_same_in_every_command() {
    let mut texts: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut letters: BTreeMap<char, String> = BTreeMap::new();
    for (words, command) in commands() {
        for flag in flags(&command) {
            let (name, text) = (flag.get_long().unwrap().to_owned(), flag.get_help().unwrap().to_string());
            if let Some(letter) = flag.get_short() {
                let first = letters.entry(letter).or_insert_with(|| name.clone());
                assert_eq!(*first, name, "-{letter}");
            }
            texts.entry(name).or_default().entry(text).or_default().push(words.join(" "));
        }
    }
    let differ: Vec<_> = texts
        .iter()
        .filter(|(name, texts)| texts.len() > 1 && !OF_THEIR_COMMAND.contains(&name.as_str()))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}
