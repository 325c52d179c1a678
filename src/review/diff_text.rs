//! A difference in words: for a terminal, and as Markdown for a ticket.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::diff::{ConfigChange, Diff, ImageChange};
use crate::app::text::markdown as escaped;
use crate::image::shortened;
use crate::report::{bytes, count};

/// Values longer than this are cut.
const MAX_VALUE: usize = 120;

/// For a terminal.
pub(crate) fn text(diff: &Diff) -> String {
    let mut text = String::new();
    for change in &diff.changed {
        let _ = writeln!(text, "changed  {}", title(change));
        if change.old_digest != change.digest {
            let _ = writeln!(text, "    {}\n    → {}", change.old_digest, change.digest);
            let sizes = (bytes(change.old_size), bytes(change.size), bytes(change.new_bytes));
            let _ = writeln!(text, "    {} → {}, {} of it new", sizes.0, sizes.1, sizes.2);
        }
        for line in details(change) {
            let _ = writeln!(text, "    {line}");
        }
    }
    for (what, images) in [("added  ", &diff.added), ("removed", &diff.removed)] {
        for image in images {
            let _ = writeln!(text, "{what}  {}  ({})", image.name, bytes(image.size));
        }
    }
    if !diff.is_empty() {
        text.push('\n');
    }
    text + &summary(diff)
}

/// As Markdown: a table of images, then what changed in each.
pub(crate) fn markdown(diff: &Diff) -> String {
    let mut text = String::from("| | image | digest | size | new bytes |\n|---|---|---|---|---|\n");
    for change in &diff.changed {
        let digests = format!("{} → {}", change.old_digest.short(), change.digest.short());
        let sizes = format!("{} → {}", bytes(change.old_size), bytes(change.size));
        let row = [cell(&title(change)), digests, sizes, bytes(change.new_bytes)];
        let _ = writeln!(text, "| changed | {} |", row.join(" | "));
    }
    for (what, images) in [("added", &diff.added), ("removed", &diff.removed)] {
        for image in images {
            let row = [cell(&image.name.to_string()), image.digest.short(), bytes(image.size)];
            let _ = writeln!(text, "| {what} | {} | |", row.join(" | "));
        }
    }
    for change in &diff.changed {
        let lines = details(change);
        if !lines.is_empty() {
            let _ = writeln!(text, "\n**{}**\n", cell(&title(change)));
        }
        for line in lines {
            let _ = writeln!(text, "- {}", cell(&line));
        }
    }
    let _ = write!(text, "\n{}", summary(diff));
    text
}

/// The image, and what its name was.
pub(super) fn title(change: &ImageChange) -> String {
    match &change.old_name {
        Some(old) => {
            let tag = old.tag().map_or_else(|| old.to_string(), ToString::to_string);
            format!("{} (was {tag})", change.name)
        }
        None => change.name.to_string(),
    }
}

/// What has changed in it, one line each.
pub(super) fn details(change: &ImageChange) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, platforms) in
        [("now for", &change.platforms_added), ("no longer for", &change.platforms_removed)]
    {
        if !platforms.is_empty() {
            lines.push(format!("{what} {}", platforms.join(", ")));
        }
    }
    // A change that is the same on all platforms is listed once.
    let mut said: Vec<(&ConfigChange, Vec<&str>)> = Vec::new();
    let mut places = HashMap::new();
    for change in &change.config {
        let place = *places.entry((&change.field, &change.old, &change.new)).or_insert(said.len());
        match said.get_mut(place) {
            Some((_, platforms)) => platforms.push(&change.platform),
            None => said.push((change, vec![&change.platform])),
        }
    }
    for (change, platforms) in said {
        let what = match (change.old.as_deref(), change.new.as_deref()) {
            (None, Some("")) => "added".to_owned(),
            (Some(""), None) => "removed".to_owned(),
            (old, new) => {
                let shown = |value: Option<&str>| {
                    value.map_or("nothing".to_owned(), |value| shortened(value, MAX_VALUE))
                };
                format!("{} → {}", shown(old), shown(new))
            }
        };
        let platforms: Vec<&str> = platforms.into_iter().filter(|platform| !platform.is_empty()).collect();
        let on = if platforms.is_empty() { String::new() } else { format!("  [{}]", platforms.join(", ")) };
        lines.push(format!("{}: {what}{on}", change.field));
    }
    if let Some((old, new)) = &change.artifacts {
        lines.push(format!("beside it: {old} → {new}"));
    }
    lines
}

/// The figures.
pub(super) fn summary(diff: &Diff) -> String {
    if diff.is_empty() {
        return format!("no difference in {}\n", count(diff.same, "image"));
    }
    format!(
        "{} changed, {} added, {} removed, {} the same\n{} ({}) new, {} ({}) no longer used\n",
        count(diff.changed.len(), "image"),
        diff.added.len(),
        diff.removed.len(),
        diff.same,
        count(diff.new_blobs, "blob"),
        bytes(diff.new_bytes),
        count(diff.gone_blobs, "blob"),
        bytes(diff.gone_bytes)
    )
}

/// Text for Markdown; hidden characters become visible.
fn cell(text: &str) -> String {
    escaped(&crate::report::printable(text))
}
