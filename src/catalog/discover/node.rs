//! Reads objects from YAML (JSON is YAML too) one at a time, each as a tree with line numbers.
//!
//! Of a list of objects, as `kubectl get -o yaml` prints it, one item is held at a time. Aliases share what they
//! name. What one object may cost is bounded; one that costs more is read past and named.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::text::{Characters, Text, Watch};

/// Values, and bytes of text, of one object. The largest real ones (definitions of custom resources) have a tenth.
const MAX_NODES: usize = 500_000;
const MAX_TEXT: usize = 16 << 20;
/// Maps merged into maps (`<<`) that are followed: how deep, and how many pairs of them.
const MAX_MERGES: usize = 8;
const MAX_MERGED: usize = 100_000;
/// Repeated keys that are reported for one object.
const MAX_REPEATED: usize = 20;

#[derive(Debug)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: u64,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Pair>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Without quotes, `true`, `12` and `null` are not texts.
    pub(super) is_plain: bool,
    /// For a literal block, whose lines are lines of the file: the first of them.
    pub(super) first_line: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Rc<Node>,
}

impl Node {
    /// The value of `key`: the last one if it appears twice, otherwise one that is merged in (`<<`).
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(pairs) = &self.value else { return None };
        if let Some(pair) = pairs.iter().rev().find(|pair| pair.key == key) {
            return Some(&pair.value);
        }
        let mut found = None;
        self.merged(MAX_MERGES, &mut MAX_MERGED.clone(), &mut |pair| {
            if pair.key == key {
                found.get_or_insert(&*pair.value);
            }
        });
        found
    }

    /// Shows every pair, and those that are merged in (`<<`). Where a key comes several times, the one that counts
    /// comes first.
    pub(super) fn each_pair<'n>(&'n self, look: &mut dyn FnMut(&'n Pair)) {
        if let Value::Map(pairs) = &self.value {
            pairs.iter().rev().for_each(&mut *look);
        }
        self.merged(MAX_MERGES, &mut MAX_MERGED.clone(), look);
    }

    /// The pairs of the maps that are merged into this one. `left` is how many may still be looked at: aliases of
    /// aliases stand for more of them than the object has.
    fn merged<'n>(&'n self, depth: usize, left: &mut usize, look: &mut dyn FnMut(&'n Pair)) {
        let Value::Map(pairs) = &self.value else { return };
        let Some(depth) = depth.checked_sub(1) else { return };
        for pair in pairs.iter().filter(|pair| pair.key == "<<") {
            let one = std::slice::from_ref(&pair.value);
            for map in pair.value.list().unwrap_or(one) {
                let Value::Map(pairs) = &map.value else { continue };
                let Some(rest) = left.checked_sub(1 + pairs.len()) else { return };
                *left = rest;
                pairs.iter().rev().for_each(&mut *look);
                map.merged(depth, left, look);
            }
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text of `key`, if it has one that is not empty.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text().filter(|text| !text.is_empty())
    }

    /// How many values stand in it directly.
    pub(super) fn size(&self) -> usize {
        match &self.value {
            Value::Map(pairs) => pairs.len(),
            Value::List(items) => items.len(),
            Value::Text(_) => 0,
        }
    }

    pub(super) fn list(&self) -> Option<&[Rc<Node>]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }
}

/// One object, or another value in its place.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) node: Rc<Node>,
    /// Its place in a list of objects: `items[3]`.
    pub(super) place: String,
    /// What the list it comes from says of itself, where its items do not say it: version and kind.
    pub(super) list: Option<(String, String)>,
    /// Keys that come twice, with their lines.
    pub(super) repeated: Vec<(u64, String)>,
    /// The line of a key that is a map or a list: an object has none, and `{{ … }}` reads as one.
    pub(super) odd_key: Option<u64>,
    /// It is too large to be looked at, and `node` is empty.
    pub(super) is_too_large: bool,
    /// It refers to an anchor that is not in memory any more.
    pub(super) has_lost_alias: bool,
}

/// Why a document cannot be read to its end.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    Syntax { line: u64, message: String },
}

/// Reads the document that `text` is at, which begins in line `first`, and hands over its objects.
pub(super) fn read_document<R: BufRead>(
    text: &mut Text<R>,
    first: u64,
    watch: &Watch,
    sink: &mut dyn FnMut(Object),
) -> Result<(), Stop> {
    let options = granit_parser::options! { emit_comments: false };
    let characters = Characters { text, watch };
    let parser = Parser::new_from_fallible_iter_with_options(characters, options);
    let mut reader = Reader {
        parser,
        watch,
        before: first - 1,
        anchors: HashMap::new(),
        anchored: 0,
        cost: Cost::default(),
    };
    reader.stream(sink)
}

/// The cost of the current object so far, and what has to be reported about it.
#[derive(Debug, Default)]
struct Cost {
    nodes: usize,
    text: usize,
    repeated: Vec<(u64, String)>,
    odd_key: Option<u64>,
    has_anchor: bool,
    has_lost_alias: bool,
}

impl Cost {
    fn is_over(&self) -> bool {
        self.nodes > MAX_NODES || self.text > MAX_TEXT
    }
}

struct Reader<'a, P> {
    parser: P,
    watch: &'a Watch,
    /// Lines before the document.
    before: u64,
    anchors: HashMap<usize, Rc<Node>>,
    /// Nodes that anchors keep alive.
    anchored: usize,
    cost: Cost,
}

impl<P> Reader<'_, P>
where
    P: Iterator<Item = Result<(Event<'static>, Span), ScanError>>,
{
    fn stream(&mut self, sink: &mut dyn FnMut(Object)) -> Result<(), Stop> {
        while let Some((event, line)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::MappingStart(_, anchor, _) => self.root(anchor, line, sink)?,
                Event::SequenceStart(..) => self.items("", None, sink)?,
                other => {
                    let node = self.node(other, line)?;
                    let is_nothing = matches!(&node.value, Value::Text(scalar) if scalar.is_nothing());
                    if !is_nothing {
                        let object = self.object(node, String::new(), None);
                        sink(object);
                    }
                }
            }
        }
        Ok(())
    }

    /// A map at the top: an object, or a list of objects under `items`.
    fn root(&mut self, anchor: usize, line: u64, sink: &mut dyn FnMut(Object)) -> Result<(), Stop> {
        let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
        self.cost.has_anchor |= anchor != 0;
        while let Some(key) = self.key(&mut seen)? {
            let Some((event, value_line)) = self.next()? else { break };
            let value = if key == "items" && matches!(event, Event::SequenceStart(_, 0, _)) {
                let list = list_kind(&pairs);
                let own = std::mem::take(&mut self.cost);
                self.items("items", list.as_ref(), sink)?;
                self.cost = own;
                Rc::new(Node { line: value_line, value: Value::List(Vec::new()) })
            } else {
                self.node(event, value_line)?
            };
            self.push(&mut pairs, key, value);
        }
        let node = Rc::new(Node { line, value: Value::Map(pairs) });
        self.keep(anchor, &node);
        let object = self.object(node, String::new(), None);
        sink(object);
        Ok(())
    }

    /// The items of a list, each an object.
    fn items(
        &mut self,
        name: &str,
        list: Option<&(String, String)>,
        sink: &mut dyn FnMut(Object),
    ) -> Result<(), Stop> {
        let mut at = 0;
        while let Some((event, line)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let node = self.node(event, line)?;
            let object = self.object(node, format!("{name}[{at}]"), list.cloned());
            sink(object);
            at += 1;
        }
        Ok(())
    }

    /// Ends an object: what comes next has its own cost.
    fn object(&mut self, node: Rc<Node>, place: String, list: Option<(String, String)>) -> Object {
        let cost = std::mem::take(&mut self.cost);
        if cost.has_anchor {
            self.anchored = self.anchored.saturating_add(cost.nodes);
            if self.anchored > MAX_NODES {
                self.anchors.clear();
                self.anchored = 0;
            }
        }
        let is_too_large = cost.is_over();
        Object {
            place,
            list,
            is_too_large,
            has_lost_alias: cost.has_lost_alias,
            repeated: cost.repeated,
            odd_key: cost.odd_key,
            node: if is_too_large { empty(node.line) } else { node },
        }
    }

    fn node(&mut self, event: Event<'static>, line: u64) -> Result<Rc<Node>, Stop> {
        self.cost.nodes += 1;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                self.cost.text += text.len();
                let text = if self.cost.is_over() { String::new() } else { text.into_owned() };
                // The parser is at the first line with something in it.
                let blank = text.bytes().take_while(|byte| *byte == b'\n').count() as u64;
                let first_line = (style == ScalarStyle::Literal).then(|| line.saturating_sub(blank));
                (Value::Text(Scalar { text, is_plain: style == ScalarStyle::Plain, first_line }), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list()?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map()?), anchor),
            Event::Alias(id) => {
                let known = self.anchors.get(&id).cloned();
                self.cost.has_lost_alias |= known.is_none();
                return Ok(known.unwrap_or_else(|| empty(line)));
            }
            _ => return Ok(empty(line)),
        };
        let node = Rc::new(Node { line, value });
        self.keep(anchor, &node);
        Ok(node)
    }

    fn list(&mut self) -> Result<Vec<Rc<Node>>, Stop> {
        let mut items = Vec::new();
        while let Some((event, line)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let item = self.node(event, line)?;
            if !self.cost.is_over() {
                items.push(item);
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<Pair>, Stop> {
        let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
        while let Some(key) = self.key(&mut seen)? {
            let Some((event, line)) = self.next()? else { break };
            let value = self.node(event, line)?;
            self.push(&mut pairs, key, value);
        }
        Ok(pairs)
    }

    /// The next key of a map; none at its end. One that was there already is noted.
    fn key(&mut self, seen: &mut HashSet<String>) -> Result<Option<String>, Stop> {
        let Some((event, line)) = self.next()? else { return Ok(None) };
        if matches!(event, Event::MappingEnd) {
            return Ok(None);
        }
        let node = self.node(event, line)?;
        if node.text().is_none() {
            self.cost.odd_key.get_or_insert(line);
        }
        let key = node.text().unwrap_or("?").to_owned();
        // Maps may be merged into a map several times.
        let is_new = seen.insert(key.clone()) || key == "<<";
        if !is_new && self.cost.repeated.len() < MAX_REPEATED {
            self.cost.repeated.push((line, key.clone()));
        }
        Ok(Some(key))
    }

    fn push(&mut self, pairs: &mut Vec<Pair>, key: String, value: Rc<Node>) {
        if !self.cost.is_over() {
            pairs.push(Pair { key, value });
        }
    }

    fn keep(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor != 0 {
            self.cost.has_anchor = true;
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'static>, u64)>, Stop> {
        self.watch.silence.set(0);
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, self.before + span.start.line() as u64))),
            Some(Err(error)) => Err(self.stop(&error)),
        }
    }

    fn stop(&self, error: &ScanError) -> Stop {
        let line = self.before + error.marker().line() as u64;
        match error.kind() {
            ErrorKind::InputIo { error } => Stop::Io(match error.io_error() {
                Some(error) => io::Error::new(error.kind(), error.to_string()),
                None => io::Error::other(error.message().to_owned()),
            }),
            ErrorKind::InputByteLimitExceeded { limit } => {
                Stop::Syntax { line, message: format!("one value is larger than {} MiB", limit >> 20) }
            }
            _ => Stop::Syntax { line, message: error.info() },
        }
    }
}

impl Scalar {
    /// Empty, `~` or `null`.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The kind of the items of a list, where the list says it before them: `PodList` has Pods.
fn list_kind(pairs: &[Pair]) -> Option<(String, String)> {
    let text = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.text());
    let kind = text("kind")?.strip_suffix("List").filter(|kind| !kind.is_empty())?;
    Some((text("apiVersion").unwrap_or_default().to_owned(), kind.to_owned()))
}

fn empty(line: u64) -> Rc<Node> {
    let scalar = Scalar { text: String::new(), is_plain: true, first_line: None };
    Rc::new(Node { line, value: Value::Text(scalar) })
}
