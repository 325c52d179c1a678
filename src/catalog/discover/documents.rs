//! The documents of one file, one after the other.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use super::discovery::{Discovery, Place};
use super::node::{self, Stop};
use super::object::look_through;
use super::text::{Text, Watch};
use super::walk::Walk;
use crate::app::foreign_text::NotText;

/// Searches the documents of `input`; `file` is its name in messages. Only read errors are returned as errors.
pub fn read(found: &mut Discovery, file: &str, input: impl BufRead) -> io::Result<()> {
    found.files += 1;
    let file: Arc<str> = file.into();
    let (mut text, watch) = (Text::new(input), Watch::default());
    if text.is_utf16()? {
        let refused = NotText::Encoding("UTF-16").of(Path::new(&*file));
        let way = refused.hint.map(|way| format!("; {way}")).unwrap_or_default();
        found.unclear(Place::of(&file, 1), refused.why + &way, true);
        return Ok(());
    }
    while let Some(first) = text.next_document(&watch)? {
        let mut walk = Walk::new(found, &file);
        let result = node::read_document(&mut text, first, &watch, &mut |object| {
            look_through(&mut walk, &object, watch.source.borrow().as_deref());
        });
        match result {
            Ok(()) => {}
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::Syntax { line, message }) => {
                let hint = if watch.has_template.get() {
                    "; it contains {{ }}: render templates first (helm template)"
                } else {
                    ""
                };
                let why = format!("the document that begins in line {first} is not YAML: {message}{hint}");
                found.unclear(Place::of(&file, line), why, true);
            }
        }
    }
    if let Some(line) = text.cut {
        let why = "what follows was not read: it does not look like manifests, or has no end".to_owned();
        found.unclear(Place::of(&file, line), why, true);
    }
    for line in std::mem::take(&mut text.garbled) {
        found.unclear(Place::of(&file, line), "the text is not UTF-8".to_owned(), true);
    }
    Ok(())
}
