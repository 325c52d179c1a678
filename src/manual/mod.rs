//! The manual: its pages, and the forms in which they can be read without a network.
//!
//! This module owns the text. The pages are Markdown that reads well as it stands, because `bundle help TOPIC` prints it,
//! apart from wide tables ([`Page::plain`]); [`man_page`] and [`html()`] make man pages and one HTML file of the same
//! text. Everything here is pure: who prints, pages or writes files is `commands::manual`. Help texts of commands and flags
//! belong to `cli`.
//!
//! A page refers to another one by writing `bundle help TOPIC` as code, which becomes a link where links exist.

mod html;
mod man;
mod plain;

pub use html::html;
pub use man::man_page;

/// One page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The word after `bundle help`.
    pub topic: &'static str,
    /// The heading that the text begins with.
    pub title: &'static str,
    /// What the page is about, for lists of pages.
    pub line: &'static str,
    /// Markdown.
    pub text: &'static str,
}

impl Page {
    /// The text for a terminal of 100 columns.
    pub fn plain(&self) -> String {
        plain::plain(self.text)
    }
}

/// All pages, in the order in which a new reader needs them.
pub const PAGES: [Page; 11] = [
    Page {
        topic: "first-steps",
        title: "First steps",
        line: "install on both sides, log in, export, carry, import",
        text: include_str!("first-steps.md"),
    },
    Page {
        topic: "catalogs",
        title: "Catalogs",
        line: "which images: lists, catalogs, charts, discover, lint, lock",
        text: include_str!("catalogs.md"),
    },
    Page {
        topic: "transfer",
        title: "Moving a bundle",
        line: "resume, USB sticks, volumes and parity, pipes, S3, several machines, damage",
        text: include_str!("transfer.md"),
    },
    Page {
        topic: "deltas",
        title: "Deltas, and bundles made of bundles",
        line: "send only what is new; split, merge and subset offline",
        text: include_str!("deltas.md"),
    },
    Page {
        topic: "compact",
        title: "Compact bundles",
        line: "smaller files with the same digests, and what they cost",
        text: include_str!("compact.md"),
    },
    Page {
        topic: "trust",
        title: "Trust",
        line: "verify, signatures, approvals, statements, receipts, policies, review, scanners",
        text: include_str!("trust.md"),
    },
    Page {
        topic: "cluster",
        title: "The cluster",
        line: "Helm values, mirrors, proof that nothing is missing, images without a registry",
        text: include_str!("cluster.md"),
    },
    Page {
        topic: "registries",
        title: "Registries",
        line: "logins, TLS, ECR, Harbor, Docker Hub, serve, layouts of other tools",
        text: include_str!("registries.md"),
    },
    Page {
        topic: "format",
        title: "The file",
        line: "what is in a bundle, and how to read it without this program",
        text: include_str!("format.md"),
    },
    Page {
        topic: "reference",
        title: "Reference",
        line: "exit codes, environment variables, the JSON report, limits",
        text: include_str!("reference.md"),
    },
    Page {
        topic: "troubleshooting",
        title: "Troubleshooting",
        line: "error messages, what they mean and what to do",
        text: include_str!("troubleshooting.md"),
    },
];

/// The page of that topic.
pub fn page(topic: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.topic == topic)
}

/// The pages that have `word` in a heading or in their line.
pub fn pages_about(word: &str) -> Vec<&'static Page> {
    let word = word.to_lowercase();
    // A plural is looked for by its singular.
    let word = word.strip_suffix('s').unwrap_or(&word);
    let has = |line: &str| line.to_lowercase().contains(word);
    let headings = |page: &Page| page.text.lines().any(|line| line.starts_with('#') && has(line));
    PAGES.iter().filter(|page| !word.is_empty() && (has(page.line) || headings(page))).collect()
}

/// The topics with their lines, as a section of a help text.
pub fn contents() -> String {
    let width = PAGES.iter().map(|page| page.topic.len()).max().unwrap_or_default();
    PAGES.iter().fold("Manual (bundle help TOPIC):\n".to_owned(), |text, page| {
        text + &format!("  {:width$}  {}\n", page.topic, page.line)
    })
}

/// The topic that inline code refers to, if it is `bundle help TOPIC` and nothing else.
fn referred_to(code: &str) -> Option<&'static Page> {
    page(code.strip_prefix("bundle help ")?)
}

/// Markdown as these pages use it.
fn parser(text: &str) -> pulldown_cmark::Parser<'_> {
    pulldown_cmark::Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_begins_with_its_title() {
        for page in &PAGES {
            assert!(page.text.starts_with(&format!("# {}\n\n", page.title)), "{}", page.topic);
            assert_eq!(self::page(page.topic), Some(page));
        }
    }

    #[test]
    fn contents_fit_a_terminal() {
        for line in contents().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
