//! A text cut into its YAML documents while it is read, in bounded memory.
//!
//! `---` at the start of a line always ends a document (YAML 1.2.2, 9.1.2), so what is wrong with one document says
//! nothing about the next.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead};

use granit_parser::{ErrorKind, InputIoError};

/// No value in a manifest is longer.
const MAX_SILENCE: u64 = 8 << 20;
/// All of an input, in bytes: more than the manifests of any cluster come to.
const MAX_INPUT: u64 = 4 << 30;
/// A document that cannot be read and is longer is the last one that is looked for: its end may never come.
const MAX_SKIPPED: u64 = 64 << 20;
/// Longest comment that is searched for `# Source:`.
const MAX_COMMENT: usize = 1 << 10;
const CHUNK: usize = 64 << 10;

/// State that the reader of characters and the reader of events share.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Characters read since the parser's last event.
    pub(super) silence: Cell<u64>,
    /// Where Helm says the document came from (`# Source: chart/templates/x.yaml`).
    pub(super) source: RefCell<Option<String>>,
    /// `{{` was seen in the document.
    pub(super) has_template: Cell<bool>,
}

#[derive(Debug)]
pub(super) struct Text<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    /// Bytes of the input that were taken.
    taken: u64,
    /// The line that is read now, counted from 1.
    line: u64,
    at_line_start: bool,
    /// The current document has ended.
    between: bool,
    last: char,
    /// Lines with bytes that are not UTF-8.
    pub(super) garbled: Vec<u64>,
    /// The line from which nothing was read, because the input does not look as if it would end.
    pub(super) cut: Option<u64>,
}

impl<R: BufRead> Text<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            at: 0,
            ended: false,
            taken: 0,
            line: 1,
            at_line_start: true,
            between: true,
            last: '\n',
            garbled: Vec::new(),
            cut: None,
        }
    }

    /// The two bytes with which UTF-16 text begins, as `PowerShell` writes it.
    pub(super) fn is_utf16(&mut self) -> io::Result<bool> {
        self.ensure(2)?;
        Ok(matches!(self.rest(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]))
    }

    /// Goes to the start of the next document; its first line, or none at the end.
    pub(super) fn next_document(&mut self, watch: &Watch) -> io::Result<Option<u64>> {
        let last = self.taken.saturating_add(MAX_SKIPPED);
        while !self.between {
            if self.next_char(watch)?.is_none() {
                break;
            }
            if self.taken > last {
                self.cut_off();
            }
        }
        watch.source.take();
        watch.has_template.set(false);
        self.ensure(4)?;
        if self.line == 1 && self.rest().starts_with("\u{feff}".as_bytes()) {
            self.at += 3;
            self.ensure(4)?;
        }
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.is_marker() {
            self.at += 3;
            self.at_line_start = false;
        }
        self.between = false;
        Ok(Some(self.line))
    }

    /// The next character of the document; none at its end.
    fn next_char(&mut self, watch: &Watch) -> io::Result<Option<char>> {
        if self.between {
            return Ok(None);
        }
        self.ensure(4)?;
        if self.at_line_start {
            if self.is_marker() {
                self.between = true;
                return Ok(None);
            }
            self.note_source(watch)?;
            // Directives are dropped, because the `---` that must follow them is removed too.
            while self.rest().first() == Some(&b'%') {
                self.skip_line()?;
            }
            self.at_line_start = false;
        }
        let Some(c) = self.decode() else {
            self.between = true;
            return Ok(None);
        };
        if c == '\n' {
            self.line += 1;
            self.at_line_start = true;
        }
        if c == '{' && self.last == '{' {
            watch.has_template.set(true);
        }
        self.last = c;
        Ok(Some(c))
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// `---`, and then a blank or nothing.
    fn is_marker(&self) -> bool {
        self.at_line_start
            && self.rest().strip_prefix(b"---").is_some_and(|after| {
                after.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            })
    }

    fn note_source(&mut self, watch: &Watch) -> io::Result<()> {
        const MARK: &[u8] = b"# Source: ";
        if self.rest().first() != Some(&b'#') {
            return Ok(());
        }
        self.ensure(MAX_COMMENT)?;
        if let Some(after) = self.rest().strip_prefix(MARK) {
            let end = after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len().min(MAX_COMMENT));
            let source = String::from_utf8_lossy(&after[..end]).trim().to_owned();
            watch.source.replace(Some(source));
        }
        Ok(())
    }

    fn skip_line(&mut self) -> io::Result<()> {
        while let Some(byte) = self.rest().first().copied() {
            self.at += 1;
            self.ensure(4)?;
            if byte == b'\n' {
                self.line += 1;
                break;
            }
        }
        Ok(())
    }

    /// Reads no further.
    fn cut_off(&mut self) {
        self.cut.get_or_insert(self.line);
        self.buffer.clear();
        (self.at, self.ended) = (0, true);
    }

    /// One character. Bytes that are not UTF-8 become `U+FFFD`, and their line is remembered.
    fn decode(&mut self) -> Option<char> {
        let first = *self.rest().first()?;
        if first.is_ascii() {
            self.at += 1;
            return Some(char::from(first));
        }
        let rest = &self.rest()[..self.rest().len().min(4)];
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => Some(text),
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).ok(),
        };
        if let Some(c) = valid.and_then(|text| text.chars().next()) {
            self.at += c.len_utf8();
            return Some(c);
        }
        self.at += 1;
        if self.garbled.last() != Some(&self.line) && self.garbled.len() < 100 {
            self.garbled.push(self.line);
        }
        Some(char::REPLACEMENT_CHARACTER)
    }

    /// Reads until `count` bytes are buffered, or the input ends.
    fn ensure(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() - self.at < count && !self.ended {
            if self.at > CHUNK {
                self.buffer.drain(..self.at);
                self.at = 0;
            }
            let more = self.input.fill_buf()?;
            let taken = more.len().min(CHUNK);
            self.buffer.extend_from_slice(&more[..taken]);
            self.ended = taken == 0;
            self.input.consume(taken);
            self.taken += taken as u64;
            if self.taken > MAX_INPUT {
                self.cut_off();
            }
        }
        Ok(())
    }
}

/// The characters of one document, as the parser's input.
pub(super) struct Characters<'a, R> {
    pub(super) text: &'a mut Text<R>,
    pub(super) watch: &'a Watch,
}

impl<R: BufRead> Iterator for Characters<'_, R> {
    type Item = Result<char, ErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let silence = self.watch.silence.get() + 1;
        self.watch.silence.set(silence);
        if silence > MAX_SILENCE {
            let limit = usize::try_from(MAX_SILENCE).unwrap_or(usize::MAX);
            return Some(Err(ErrorKind::InputByteLimitExceeded { limit }));
        }
        match self.text.next_char(self.watch) {
            Ok(c) => c.map(Ok),
            Err(error) => Some(Err(ErrorKind::InputIo { error: InputIoError::from_io(error) })),
        }
    }
}
