//! The state of a walk through an object: position, context, and findings.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use super::discovery::{Discovery, Place, Rank};
use super::guess::{self, Guess};
use super::node::{Node, Value};
use super::parts::Whole;
use super::scope::Defaults;
use super::under::Under;
use crate::image::Reference;

/// Values looked at in one object; only aliases of aliases make more of them than the object has.
const MAX_STEPS: usize = 1_000_000;
/// Deeper than the parser allows; only aliases can reach it.
const MAX_DEPTH: usize = 600;
/// The pseudo key for the services of a Compose file.
pub(super) const COMPOSED: &str = "services of compose";

/// What an object is, as far as that says which images are pulled as they are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A workload of Kubernetes itself: what its containers name is certain.
    Workload,
    /// A workflow or task, which has containers of its own kind.
    Workflow,
    /// A Compose file.
    Compose,
    Other,
}

impl Sort {
    /// A Compose file has services, and each says what it is run from.
    pub(super) fn is_compose(node: &Node) -> bool {
        let Some(Value::Map(services)) = node.get("services").map(|services| &services.value) else {
            return false;
        };
        !services.is_empty()
            && services.iter().all(|service| {
                ["image", "build", "extends"].iter().any(|key| service.value.get(key).is_some())
            })
    }
}

/// Looking through the objects of a document.
pub(super) struct Walk<'a> {
    pub(super) out: &'a mut Discovery,
    pub(super) file: &'a Arc<str>,
    pub(super) object: Arc<str>,
    pub(super) chart: Option<Arc<str>>,
    pub(super) path: String,
    pub(super) sort: Sort,
    /// A variable, an argument, an annotation or configuration: a name without a tag may be completed by the program
    /// that reads it, so it does not say that an image is missing.
    pub(super) is_loose: bool,
    /// What enclosing maps say for the images in them.
    pub(super) defaults: Rc<Defaults>,
    /// Variables of the container that is looked at.
    pub(super) known: HashMap<String, String>,
    pub(super) steps: usize,
    /// Whether it was reported that the object is not searched completely.
    pub(super) is_exhausted: bool,
    pub(super) embedded: usize,
    /// Lines before an embedded text.
    pub(super) before: u64,
    /// The embedded text has no lines of its own in the file: all of it is in the one after `before`.
    pub(super) is_in_one_line: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(out: &'a mut Discovery, file: &'a Arc<str>) -> Self {
        Self {
            out,
            file,
            object: "".into(),
            chart: None,
            path: String::new(),
            sort: Sort::Other,
            is_loose: false,
            defaults: Rc::default(),
            known: HashMap::new(),
            steps: 0,
            is_exhausted: false,
            embedded: 0,
            before: 0,
            is_in_one_line: false,
        }
    }

    pub(super) fn image(&mut self, reference: Reference, rank: Rank, line: u64) {
        let place = self.place(line);
        self.out.image(reference, rank, place);
    }

    pub(super) fn unclear(&mut self, line: u64, why: String, hides: bool) {
        let place = self.place(line);
        self.out.unclear(place, why, hides);
    }

    fn place(&self, line: u64) -> Place {
        Place {
            file: self.file.clone(),
            line: if self.is_in_one_line { self.before + 1 } else { self.before + line },
            object: self.object.clone(),
            path: self.path.clone(),
            chart: self.chart.clone(),
        }
    }

    /// Whether this is neither an object nor inside of one, but a chart's values.
    pub(super) fn is_in_values(&self) -> bool {
        self.object.is_empty() && self.embedded == 0
    }

    /// Whether the limit of values per object is reached; reports it once.
    pub(super) fn is_over(&mut self, node: &Node, depth: usize) -> bool {
        let is_over = self.steps > MAX_STEPS || depth > MAX_DEPTH;
        if is_over && !std::mem::replace(&mut self.is_exhausted, true) {
            self.unclear(node.line, "its aliases expand to more than can be searched".to_owned(), true);
        }
        is_over
    }

    /// Whether the `image` here goes into a pod unchanged, so that a name without a tag means `latest`.
    pub(super) fn is_pulled_as_it_is(&self, Under { key, is_item }: Under<'_>) -> bool {
        let key = key.to_ascii_lowercase();
        if is_item {
            key.ends_with("containers") || matches!(key.as_str(), "steps" | "sidecars" | COMPOSED)
        } else {
            let is_of_workflow = matches!(key.as_str(), "container" | "script" | "steptemplate");
            key == "containerdisk" || (self.sort == Sort::Workflow && is_of_workflow)
        }
    }

    /// The image of a container that is not a workload's own.
    pub(super) fn pulled(&mut self, text: &str, line: u64) {
        match guess::whole(text, true) {
            Guess::Untagged(reference) => self.image(reference, Rank::Probable, line),
            guess => self.guess(guess, line, "image"),
        }
    }

    pub(super) fn each(&mut self, items: &[Rc<Node>], mut look: impl FnMut(&mut Self, &Node)) {
        let length = self.path.len();
        for (at, item) in items.iter().enumerate() {
            let _ = write!(self.path, "[{at}]");
            look(self, item);
            self.path.truncate(length);
        }
    }

    pub(super) fn enter(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.extend(key.chars().filter(|c| !c.is_control()).take(100));
    }

    pub(super) fn certain(&mut self, image: &Node, container: &Node) {
        let length = self.path.len();
        self.enter("image");
        let text = image.text().unwrap_or_default().trim();
        let is_injected =
            text == "auto" && container.text_of("name").is_some_and(|name| name.starts_with("istio"));
        if is_injected {
            self.unclear(image.line, "Istio puts the image of its proxy here".to_owned(), false);
        } else {
            match text.parse::<Reference>() {
                Ok(reference) => self.image(reference, Rank::Certain, image.line),
                Err(error) => self.unclear(image.line, error.to_string(), true),
            }
        }
        self.path.truncate(length);
    }

    /// Records what a text under `key` was taken for.
    pub(super) fn guess(&mut self, guess: Guess, line: u64, key: &str) {
        match guess {
            Guess::Image(reference) => self.image(reference, Rank::Probable, line),
            Guess::Untagged(reference) => {
                let why = format!("{} has neither tag nor digest here", reference.repository());
                self.unclear(line, why, !self.is_loose);
            }
            Guess::Artifact(why) => self.unclear(line, why, false),
            // The value of the key `image` itself is pulled; other keys only have a similar name.
            Guess::Unclear(why) => self.unclear(line, why, key == "image"),
            Guess::Nothing => {}
        }
    }

    /// Records the image that parts give.
    pub(super) fn whole(&mut self, whole: &Whole<'_>) {
        match &whole.result {
            Ok(reference) => self.image(reference.clone(), Rank::Probable, whole.name.line),
            Err(why) => self.unclear(whole.name.line, why.clone(), !self.is_loose),
        }
    }
}
