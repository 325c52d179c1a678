//! A page for the terminal: its Markdown, with tables that are too wide written as lists.

/// Columns of a usual terminal window.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

pub(super) fn plain(text: &str) -> String {
    let (mut shown, mut table, mut is_code) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if line.starts_with('|') && !is_code {
            table.push(line);
            continue;
        }
        shown += &finished(&std::mem::take(&mut table));
        shown += line;
        shown.push('\n');
    }
    shown + &finished(&table)
}

fn finished(table: &[&str]) -> String {
    if table.iter().all(|line| line.chars().count() <= WIDTH) {
        return table.iter().fold(String::new(), |text, line| text + line + "\n");
    }
    let mut rows = table.iter().map(|line| cells(line));
    let heads = rows.next().unwrap_or_default();
    // The second line is the rule below the heads.
    rows.skip(1).fold(String::new(), |mut text, row| {
        for (at, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let head = heads.get(at).filter(|head| heads.len() > 2 && !head.is_empty());
            text += &match (at, head) {
                (0, _) => wrapped(&format!("- {cell}"), "", "  "),
                (_, Some(head)) => wrapped(&format!("{head}: {cell}"), INDENT, INDENT),
                (_, None) => wrapped(cell, INDENT, INDENT),
            };
        }
        text
    })
}

fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\0");
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

fn wrapped(text: &str, first: &str, others: &str) -> String {
    let (mut shown, mut line) = (String::new(), first.to_owned());
    for word in text.split(' ') {
        let is_full = line.chars().count() + word.chars().count() >= WIDTH && !line.trim().is_empty();
        if is_full {
            shown += line.trim_end();
            shown.push('\n');
            others.clone_into(&mut line);
        }
        line += word;
        line.push(' ');
    }
    shown + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_that_are_too_wide_change() {
        let narrow = "# X\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nText.\n";
        assert_eq!(plain(narrow), narrow);
        let words = ["word"; 30].join(" ");
        let code = format!("```\n| {words} | x | y |\n```\n");
        assert_eq!(plain(&code), code);
        let wide = plain(&format!("| a | b | c |\n|---|---|---|\n| `x \\| y` | {words} | |\n\nText.\n"));
        assert!(wide.starts_with("- `x | y`\n    b: word word"), "{wide}");
        assert!(wide.lines().all(|line| line.chars().count() <= WIDTH), "{wide}");
        assert!(wide.ends_with("word\n\nText.\n"), "{wide}");
    }
}
