//! `--report FILE`: the result of each image, as JSON. Written on success, on failure and on Ctrl-C.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::app::failure::{ExitCode, Failure};
use crate::archive::{BundleManifest, Chosen};
use crate::image::{Digest, Reference};

pub(crate) use crate::provenance::ImageState;

/// Increased when a field changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// One image of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageReport {
    pub(crate) name: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
    /// If only one platform of an index is imported: that platform, and the index, which is not imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
    /// What the target's tag resolved to before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<Digest>,
    pub(crate) state: ImageState,
    /// Bytes of its distinct manifests and blobs, whether they moved in this run or not.
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// It is in the bundle, but was not selected.
    #[serde(skip)]
    unasked: bool,
    /// The reason without the place.
    #[serde(skip)]
    cause: String,
    #[serde(skip)]
    code: Option<ExitCode>,
    #[serde(skip)]
    hints: Vec<String>,
}

impl ImageReport {
    pub(crate) fn new(name: &Reference, source: Option<&Reference>) -> Self {
        Self {
            name: name.clone(),
            source: source.map(ToString::to_string),
            target: None,
            digest: None,
            platform: None,
            index: None,
            replaced: None,
            state: ImageState::NotTried,
            bytes: 0,
            reason: None,
            unasked: false,
            cause: String::new(),
            code: None,
            hints: Vec::new(),
        }
    }

    /// Marks it as not part of this run.
    pub(crate) fn not_asked_for(&mut self) {
        (self.state, self.unasked) = (ImageState::Skipped, true);
    }

    pub(crate) fn resolved(&mut self, source: &Reference, digest: &Digest) {
        self.source = Some(source.to_string());
        self.digest = Some(*digest);
    }

    /// Records a failure; only the first of an image is kept.
    pub(crate) fn failed(
        &mut self,
        code: ExitCode,
        place: &dyn std::fmt::Display,
        reason: &dyn std::fmt::Display,
        hints: Vec<String>,
    ) {
        if self.state != ImageState::Failed {
            self.state = ImageState::Failed;
            self.code = Some(code);
            let (place, reason) = (place.to_string(), reason.to_string());
            // Many errors already name the place.
            let says_where = place.is_empty() || reason.contains(&place);
            self.cause.clone_from(&reason);
            self.reason = Some(if says_where { reason } else { format!("{place}: {reason}") });
            self.hints = hints;
        }
    }
}

/// The report of one run.
#[derive(Debug)]
pub(crate) struct RunReport {
    command: &'static str,
    pub(crate) path: Option<PathBuf>,
    pub(crate) bundle: Option<Value>,
    pub(crate) images: Vec<ImageReport>,
    /// Further figures: bytes moved, requests, seconds.
    pub(crate) totals: Option<Value>,
}

impl RunReport {
    pub(crate) fn new(command: &'static str, path: Option<&Path>) -> Self {
        Self { command, path: path.map(Path::to_owned), bundle: None, images: Vec::new(), totals: None }
    }

    /// Sets the state of every image that does not have one yet.
    pub(crate) fn all_done(&mut self, state: ImageState) {
        for image in self.images.iter_mut().filter(|image| image.state == ImageState::NotTried) {
            image.state = state;
        }
    }

    /// The number of selected images in `state`.
    pub(crate) fn number(&self, state: ImageState) -> usize {
        self.images.iter().filter(|image| image.state == state && !image.unasked).count()
    }

    /// Records the bytes of each image in the bundle.
    pub(crate) fn note_sizes(&mut self, bundle: &BundleManifest) {
        for image in &bundle.images {
            if let Some(row) = self.images.iter_mut().find(|row| row.name == image.name) {
                row.bytes = image.size;
            }
        }
    }

    /// Records the images of which only one platform is imported.
    pub(crate) fn note_chosen(&mut self, chosen: &[Chosen]) {
        for chosen in chosen {
            let row = &mut self.images[chosen.image];
            (row.platform, row.index) = (Some(chosen.platform.clone()), Some(chosen.index));
        }
    }

    /// One line for each of them; `done` is the verb for what does not happen to the index.
    pub(crate) fn chosen(&self, done: &str) -> String {
        let taken = self.images.iter().filter(|image| image.state != ImageState::Skipped);
        let line = |image: &ImageReport| {
            let (platform, index, digest) = (image.platform.as_ref()?, image.index?, image.digest?);
            let name = &image.name;
            Some(format!("{name}: only {platform} ({digest}); its index {index} is not {done}\n"))
        };
        taken.filter_map(line).collect()
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &ImageReport> {
        self.images.iter().filter(|image| image.state == ImageState::Failed)
    }

    /// Whether no failure affects other images.
    pub(crate) fn failed_partly(&self) -> bool {
        self.failures().all(|image| image.code == Some(ExitCode::Partly))
    }

    /// All failed images as one error, with the class of the first in catalog order.
    pub(crate) fn failure(&self) -> Failure {
        let all: Vec<&ImageReport> = self.failures().collect();
        let code = all.first().and_then(|image| image.code).unwrap_or(ExitCode::Failed);
        // Images that failed one after another for the same reason share it.
        let list: Vec<String> = all
            .chunk_by(|one, next| one.cause == next.cause)
            .map(|same| {
                let names: Vec<String> = same.iter().map(|image| image.name.to_string()).collect();
                let why = if same.len() > 1 { Some(&same[0].cause) } else { same[0].reason.as_ref() };
                format!("{}\n  {}", names.join("\n"), why.map_or("failed", String::as_str))
            })
            .collect();
        let count = crate::report::count(all.len(), "image");
        let asked = self.images.iter().filter(|image| !image.unasked).count();
        let mut failure = Failure::new(code, format!("{count} of {asked} failed:\n{}", list.join("\n")));
        for hint in all.iter().flat_map(|image| &image.hints) {
            if !failure.hints.contains(hint) {
                failure.hints.push(hint.clone());
            }
        }
        failure
    }

    /// The same text as a warning, hints included, for a run that succeeds without these images.
    pub(crate) fn warning(&self) -> String {
        let failure = self.failure();
        let hints = failure.hints.iter().map(|hint| format!("\nhint: {hint}"));
        failure.message + &hints.collect::<String>()
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::json!({
            "schemaVersion": SCHEMA_VERSION,
            "command": self.command,
            "bundle": self.bundle,
            "images": self.images,
            "totals": self.totals,
        })
    }
}
