//! A page as a man page of section 7.

use pulldown_cmark::{Event, HeadingLevel, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

use super::Page;

/// An empty argument of a request, which the `roff` crate would drop. A date would change with every build.
const NO_DATE: &str = "\"\"";

/// `bundle-TOPIC.7`, for the program of this version.
pub fn man_page(page: &Page, version: &str) -> String {
    let mut man = Man::default();
    let (name, source) = (format!("BUNDLE-{}", page.topic.to_uppercase()), format!("bundle {version}"));
    man.roff.control("TH", [name.as_str(), "7", NO_DATE, source.as_str(), "bundle manual"]);
    // Hyphens and stretched lines make flags and paths hard to copy.
    man.roff.control("nh", []).control("ad", ["l"]);
    man.roff.control("SH", ["NAME"]);
    man.roff.text([roman(format!("bundle-{} - {}", page.topic, page.line))]);
    let mut is_opening = true;
    for event in super::parser(page.text) {
        if let Event::Start(tag) = &event
            && !matches!(tag, Tag::Heading { level: HeadingLevel::H1, .. })
            && std::mem::take(&mut is_opening)
            && !matches!(tag, Tag::Heading { .. })
        {
            man.roff.control("SH", ["DESCRIPTION"]);
        }
        man.take(event);
    }
    man.roff.render()
}

/// What has been read and not yet written.
#[derive(Default)]
struct Man {
    roff: Roff,
    line: Vec<Inline>,
    font: Font,
    /// Of each list that is open, the number of its next item; none for bullets.
    lists: Vec<Option<u64>>,
    /// The next paragraph follows the mark of its item.
    is_after_mark: bool,
    /// The row that is being read has the heads of the columns.
    is_head: bool,
    heads: Vec<String>,
    column: usize,
}

#[derive(Clone, Copy, Default)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

impl Man {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.begin(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.push(&text),
            Event::Code(text) => self.line.push(bold(text.into_string())),
            Event::SoftBreak => self.push(" "),
            Event::HardBreak => self.line.push(Inline::LineBreak),
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        self.line.push(match self.font {
            Font::Roman => roman(text),
            Font::Bold => bold(text),
            Font::Italic => italic(text),
        });
    }

    fn begin(&mut self, tag: &Tag) {
        match tag {
            Tag::Paragraph if !std::mem::take(&mut self.is_after_mark) => {
                self.flush();
                self.roff.control("PP", []);
            }
            Tag::CodeBlock(_) => {
                self.flush();
                self.roff.control("PP", []).control("RS", ["4"]).control("nf", []);
            }
            Tag::List(first) => {
                self.flush();
                if !self.lists.is_empty() {
                    self.roff.control("RS", ["4"]);
                }
                self.lists.push(*first);
            }
            Tag::Item => {
                self.flush();
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        self.roff.control("IP", [format!("{number}.").as_str(), "4"]);
                        *number += 1;
                    }
                    _ => {
                        self.roff.control("IP", ["\\(bu", "3"]);
                    }
                }
                self.is_after_mark = true;
            }
            Tag::Strong => self.font = Font::Bold,
            Tag::Emphasis => self.font = Font::Italic,
            Tag::TableHead => {
                self.heads.clear();
                self.is_head = true;
            }
            Tag::TableRow => {
                self.column = 0;
                self.roff.control("TP", []);
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                let text = argument(&std::mem::take(&mut self.line));
                match level {
                    // The title is in the head of the page already.
                    HeadingLevel::H1 => &mut self.roff,
                    HeadingLevel::H2 => self.roff.control("SH", [text.as_str()]),
                    _ => self.roff.control("SS", [text.as_str()]),
                };
            }
            TagEnd::CodeBlock => {
                self.flush();
                self.roff.control("fi", []).control("RE", []);
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.roff.control("RE", []);
                }
            }
            TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow => self.flush(),
            TagEnd::Strong | TagEnd::Emphasis => self.font = Font::Roman,
            TagEnd::TableHead => self.is_head = false,
            TagEnd::TableCell => self.cell(),
            _ => {}
        }
    }

    /// The first cell of a row is its mark, the others follow it, each after the head of its column.
    fn cell(&mut self) {
        let cell = std::mem::take(&mut self.line);
        if self.is_head {
            self.heads.push(shown(&cell));
            return;
        }
        if self.column == 0 {
            self.roff.text(cell.into_iter().map(strong).collect::<Vec<_>>());
        } else if !shown(&cell).is_empty() {
            let head = self.heads.get(self.column).filter(|head| !head.is_empty() && self.heads.len() > 2);
            let mut line = head.map(|head| vec![italic(format!("{head}: "))]).unwrap_or_default();
            line.extend(cell);
            if self.column > 1 {
                self.roff.control("br", []);
            }
            self.roff.text(line);
        }
        self.column += 1;
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !shown(&line).is_empty() {
            self.roff.text(line);
        }
    }
}

fn shown(line: &[Inline]) -> String {
    line.iter().fold(String::new(), |text, inline| match inline {
        Inline::Roman(part) | Inline::Italic(part) | Inline::Bold(part) => text + part,
        Inline::LineBreak => text + " ",
    })
}

fn strong(inline: Inline) -> Inline {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) => Inline::Bold(text),
        other => other,
    }
}

/// Text as the argument of a request, of which the `roff` crate escapes only the spaces.
fn argument(line: &[Inline]) -> String {
    shown(line).replace('\\', "\\e").replace('"', "\\(dq").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_pages_has_its_request() {
        let text = "# X\n\nOne `two` *three*.\n\n## Say \"x\"\n\n- a\n- b `c`\n\n```sh\n.x 'y' \\\n```\n\n\
                    | flag | means | since |\n|---|---|---|\n| `-a` | all | 1 |\n\n1. z\n";
        let page = Page { topic: "x", title: "X", line: "about x", text };
        let man = man_page(&page, "1.0");
        for part in [
            ".TH BUNDLE-X 7 \"\" \"bundle 1.0\" \"bundle manual\"\n.nh\n.ad l\n.SH NAME\nbundle\\-x \\- about x\n.SH DESCRIPTION\n",
            "One \\fBtwo\\fR \\fIthree\\fR.\n",
            ".SH \"Say \\(dqx\\(dq\"\n",
            ".IP \\(bu 3\na\n.IP \\(bu 3\nb \\fBc\\fR\n",
            ".RS 4\n.nf\n\\&.x \\*(Aqy\\*(Aq \\\\\n",
            ".TP\n\\fB\\-a\\fR\n\\fImeans: \\fRall\n.br\n\\fIsince: \\fR1\n",
            ".IP 1. 4\nz\n",
        ] {
            assert!(man.contains(part), "{part:?} is not in:\n{man}");
        }
    }
}
