//! All pages as one HTML file that needs nothing else: no script, no other file, no network.

use std::collections::BTreeSet;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Tag, TagEnd};

use super::{PAGES, Page};

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8886; --code: #8881; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; }
nav { padding: 1rem; border-bottom: 1px solid var(--line); font-size: 0.9rem; }
nav ul { list-style: none; margin: 0; padding-left: 1rem; }
nav > ul { padding: 0; }
nav > ul > li { margin: 0.6rem 0; font-weight: 600; }
nav ul ul { font-weight: 400; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { max-width: 56rem; padding: 0 1rem 4rem; margin: 0 auto; }
@media (min-width: 70rem) {
  nav { position: fixed; inset: 0 auto 0 0; width: 17rem; overflow: auto; border-right: 1px solid var(--line); }
  main { margin-left: 20rem; }
}
h1 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h2 { margin-top: 2.2rem; }
h3 { margin-top: 1.6rem; font-size: 1rem; }
code, pre { font: 0.875em/1.45 ui-monospace, monospace; background: var(--code); border-radius: 3px; }
code { padding: 0.1em 0.25em; overflow-wrap: anywhere; }
code.short { white-space: nowrap; }
pre { padding: 0.7rem 0.9rem; overflow-x: auto; }
pre code { padding: 0; background: none; overflow-wrap: normal; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
@media print { nav { position: static; width: auto; } main { margin: 0; } }
";

/// Code of at most this many bytes stays on one line.
const UNBROKEN: usize = 32;

/// The manual of the program of this version.
pub fn html(version: &str) -> String {
    let mut contents = String::new();
    let mut body = String::new();
    for page in &PAGES {
        let (events, headings) = linked(page);
        contents.extend(["<li>", &link(page.topic, page.title), "\n<ul>\n"]);
        for (id, text) in headings {
            contents.extend(["<li>", &link(&id, &text), "</li>\n"]);
        }
        contents += "</ul></li>\n";
        body += "<section>\n";
        pulldown_cmark::html::push_html(&mut body, events.into_iter());
        body += "</section>\n";
    }
    let title = escaped(&format!("bundle {version}: manual"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<nav>\n<p><strong>{title}</strong></p>\n<ul>\n{contents}</ul>\n\
         </nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The events of a page with an id on each heading and links to other pages; and the headings of its sections.
fn linked(page: &Page) -> (Vec<Event<'static>>, Vec<(String, String)>) {
    let mut events: Vec<Event<'static>> = Vec::new();
    let (mut headings, mut ids) = (Vec::new(), BTreeSet::new());
    // Where the heading that is being read began.
    let mut begun = None;
    for event in super::parser(page.text) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                begun = Some(events.len());
                events.push(event.into_static());
            }
            Event::End(TagEnd::Heading(level)) => {
                let at = begun.take().unwrap_or_default();
                let text = plain(&events[at..]);
                let id = match level {
                    HeadingLevel::H1 => page.topic.to_owned(),
                    _ => unused(&format!("{}-{}", page.topic, slug(&text)), &mut ids),
                };
                if let Some(Event::Start(Tag::Heading { id: place, .. })) = events.get_mut(at) {
                    *place = Some(CowStr::from(id.clone()));
                }
                if level == HeadingLevel::H2 {
                    headings.push((id, text));
                }
                events.push(Event::End(TagEnd::Heading(level)));
            }
            Event::Code(code) if begun.is_none() && super::referred_to(&code).is_some() => {
                let topic = super::referred_to(&code).map_or("", |page| page.topic);
                let link = format!("<a href=\"#{topic}\"><code>{}</code></a>", escaped(&code));
                events.push(Event::InlineHtml(link.into()));
            }
            // A browser breaks lines after hyphens, also those of a flag.
            Event::Code(code) if begun.is_none() && code.len() <= UNBROKEN => {
                let short = format!("<code class=\"short\">{}</code>", escaped(&code));
                events.push(Event::InlineHtml(short.into()));
            }
            // What looks like a tag in a page is a word in angle brackets.
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text).into_static()),
            event => events.push(event.into_static()),
        }
    }
    (events, headings)
}

fn link(id: &str, text: &str) -> String {
    format!("<a href=\"#{id}\">{}</a>", escaped(text))
}

fn plain(events: &[Event]) -> String {
    events.iter().fold(String::new(), |text, event| match event {
        Event::Text(part) | Event::Code(part) => text + part,
        _ => text,
    })
}

/// Lowercase words with hyphens between.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

fn unused(wanted: &str, ids: &mut BTreeSet<String>) -> String {
    let mut id = wanted.to_owned();
    let mut next = 2;
    while !ids.insert(id.clone()) {
        id = format!("{wanted}-{next}");
        next += 1;
    }
    id
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_page_is_text_and_topics_are_links() {
        let page = Page {
            topic: "x",
            title: "X",
            line: "",
            text: "# X\n\n## A `b`\n\n## A b\n\nSee <script>alert(1)</script> & <REG>, `bundle help trust`\n\n<div>\n",
        };
        let (events, headings) = linked(&page);
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, events.into_iter());
        assert!(!html.contains("<script") && !html.contains("<REG") && !html.contains("<div"), "{html}");
        assert!(html.contains("<h1 id=\"x\">") && html.contains("<h2 id=\"x-a-b-2\">"), "{html}");
        assert!(html.contains("<a href=\"#trust\"><code>bundle help trust</code></a>"), "{html}");
        assert_eq!(headings[0], ("x-a-b".to_owned(), "A b".to_owned()));
    }
}
