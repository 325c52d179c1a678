//! Damage on its way in: whatever one flipped byte or an early end makes of a bundle, no tag names half an image.
//!
//! Each byte is flipped and each length tried in turn, in long stretches of zeros one of 32. What comes of it is imported
//! out of a pipe, and for one of three flipped bytes from a file too, as salvage where that cannot be opened otherwise.
//! These are thousands of imports, so they run in this process, from opening to the last tag, as `bundle import` does
//! it. The program itself is tried with fewer in `refusals/damage.rs`.

use airgap_bundle::archive::FormatError;
use std::collections::{BTreeMap, HashSet};
use std::io::{Cursor, Write as _};
use std::sync::Arc;

use airgap_bundle::archive::{
    ArchiveError, BundleReader, ForeignLayout, ImageStore, Input, LayoutOptions, PipeBuffer, Rest,
    StreamSink, StreamedBundle,
};
use airgap_bundle::destination::{Destination, Mapping};
use airgap_bundle::import::run::Import;
use airgap_bundle::import::{stream, upload};
use airgap_bundle::plan::{ImageTargets, ImportPlan, Missing};
use airgap_bundle::registry::{ClientOptions, Environment, RegistryClient};
use airgap_bundle::report::Reporter;
use airgap_bundle::serve::{Page, RepositoryName, Store, TagOrDigest};
use airgap_bundle::signing::Trust;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::bundles::Memory;
use crate::support::registry::TestRegistry;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Pipe,
    /// With `--salvage`, should it be no whole one.
    File,
}

/// Images out of a bundle, as far as it could be opened.
enum Opened {
    Whole(Arc<dyn ImageStore>),
    StreamedBundle(Arc<dyn ImageStore>, HashSet<Digest>, Arc<PipeBuffer>, Rest),
}

fn opened(bytes: &[u8], way: Way) -> Result<Opened, ArchiveError> {
    let (trust, input) = (Trust::default(), Arc::new(Memory(bytes.to_vec())) as Arc<dyn Input>);
    if way == Way::Pipe {
        let StreamedBundle { image_store, at_hand, pipe_buffer, rest } =
            StreamedBundle::open(Cursor::new(bytes.to_vec()), &LayoutOptions::default(), None, &trust)?;
        return Ok(Opened::StreamedBundle(image_store, at_hand, pipe_buffer, rest));
    }
    match BundleReader::open(&input) {
        Ok(reader) => Ok(Opened::Whole(Arc::new(reader))),
        Err(ArchiveError::Format(FormatError::NotABundle(_))) => {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            Ok(Opened::Whole(Arc::new(ForeignLayout::open(file.path(), None)?)))
        }
        Err(_) => Ok(Opened::Whole(Arc::new(BundleReader::salvage(&input, &trust)?))),
    }
}

/// One registry for all imports, each of which has a path of its own there.
struct Inside {
    registry: TestRegistry,
    runtime: tokio::runtime::Runtime,
    client: RegistryClient,
    images: BTreeMap<&'static str, TestImage>,
    /// How many imports have been.
    number: usize,
    /// How many of them brought each number of tags.
    brought: BTreeMap<usize, usize>,
}

impl Inside {
    fn new(images: Vec<(&'static str, TestImage)>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = ClientOptions { environment: Environment::of(&[]), ..ClientOptions::default() };
        let (registry, client) = (TestRegistry::start(), RegistryClient::new(options));
        Self {
            registry,
            runtime,
            client,
            images: images.into_iter().collect(),
            number: 0,
            brought: BTreeMap::new(),
        }
    }

    /// Imports `bytes`, and returns how many tags came of it: each names a whole image.
    fn import(&mut self, bytes: &[u8], way: Way, what: &dyn Fn() -> String) -> usize {
        self.number += 1;
        let Ok(opened) = opened(bytes, way) else {
            *self.brought.entry(0).or_default() += 1;
            return 0;
        };
        self.send(opened);
        let tags = self.tags(what);
        *self.brought.entry(tags).or_default() += 1;
        tags
    }

    fn send(&self, opened: Opened) {
        let destination: Destination = format!("{}/n{}", self.registry.host(), self.number).parse().unwrap();
        let image_store = match &opened {
            Opened::Whole(image_store) | Opened::StreamedBundle(image_store, ..) => image_store.clone(),
        };
        let bundle = image_store.bundle();
        let targets = ImageTargets::new(bundle, &destination, Mapping::default(), &|_| true);
        let Ok((ImageTargets(targets), _)) = targets else { return };
        let missing = |target| Missing { target, image: true, artifacts: Vec::new() };
        let missing = targets.into_iter().map(missing).collect();
        let Ok(plan) = ImportPlan::new(bundle, image_store.as_ref(), missing, &[]) else { return };
        let (reporter, cancel) = (Reporter::silent(), CancellationToken::new());
        let import = Import {
            client: &self.client,
            image_store: &image_store,
            plan: &plan,
            jobs: 2,
            reporter: &reporter,
            cancel: &cancel,
        };
        self.runtime.block_on(async {
            match opened {
                Opened::StreamedBundle(_, at_hand, pipe_buffer, rest) => {
                    drop(stream::run_piped(&import, &at_hand, Some(&pipe_buffer), rest, &|_, _| {}).await);
                }
                Opened::Whole(of_all) if of_all.is_sequential() => {
                    let read = move |sink: &mut StreamSink<'_>| of_all.stream(sink);
                    drop(stream::run_piped(&import, &HashSet::new(), None, read, &|_, _| {}).await);
                }
                Opened::Whole(_) => drop(upload::run(&import, &|_, _| {}).await),
            }
        });
    }

    /// The tags of the last import, each of which must name an image that is whole.
    fn tags(&self, what: &dyn Fn() -> String) -> usize {
        let (store, prefix) = (self.registry.store(), format!("n{}/", self.number));
        let mut tags = 0;
        for (name, image) in &self.images {
            let path = name.split_once('/').unwrap().1;
            let (path, tag) = path.split_once(':').unwrap();
            let repository: RepositoryName = format!("{prefix}{path}").parse().unwrap();
            let Ok(there) = store.tags(&repository, &Page::default()) else { continue };
            for found in there.items {
                assert_eq!(found, tag, "{}", what());
                let wanted = TagOrDigest::Tag(found.parse().unwrap());
                let manifest = store.manifest(&repository, &wanted).unwrap();
                assert_eq!(manifest.bytes, image.manifest, "{}", what());
                for (digest, content) in image.all_blobs() {
                    let size = content.len() as u64;
                    assert_eq!(store.blob_size(&repository, &digest).ok(), Some(size), "{}", what());
                    let mut held = Vec::new();
                    store.open_blob(&repository, &digest, 0..size).unwrap().read_to_end(&mut held).unwrap();
                    assert_eq!(held, content, "{}", what());
                }
                tags += 1;
            }
        }
        tags
    }

    /// Nothing has come to any repository but those of the images.
    fn assert_nothing_else(&self) {
        for repository in self.registry.store().repositories(&Page::default()).unwrap().items {
            let (_, path) = repository.split_once('/').unwrap();
            assert!(self.images.keys().any(|name| name.contains(&format!("/{path}:"))), "{repository:?}");
        }
    }
}

/// Two images, one with a stored layer and one with a compressed one.
fn smallest() -> Vec<(&'static str, TestImage)> {
    let one = ImageSpec::new(1).layer(Layer::gzip(1, 40)).build();
    let two = ImageSpec::new(2).layer(Layer::tar(2, 200)).build();
    vec![("registry.example/one:1", one), ("registry.example/two:1", two)]
}

/// Padding is tried at one of this many bytes.
const STRIDE: usize = 32;

/// Every place in `bytes` that is not padding, and some that are.
fn places(bytes: &[u8]) -> Vec<usize> {
    let is_padding = |at: usize| bytes[at.saturating_sub(1)..bytes.len().min(at + 2)].iter().all(|b| *b == 0);
    (0..bytes.len()).filter(|at| !is_padding(*at) || at.is_multiple_of(STRIDE)).collect()
}

/// Imports what `damage` makes of the smallest bundle, in each of `ways` at one of so many places. It is no use if nothing
/// ever arrives, or everything does.
fn each_damage(ways: &[(Way, usize)], damage: impl Fn(&[u8], usize) -> Vec<u8> + Sync) {
    const THREADS: usize = 4;
    let images = smallest();
    let bytes = written(&images);
    let places = places(&bytes);
    let part = |nth: usize| {
        let mut inside = Inside::new(images.clone());
        for &(way, _) in ways {
            let tags = inside.import(&bytes, way, &|| format!("{way:?}, undamaged"));
            assert_eq!(tags, 2, "{way:?}: undamaged, both arrive");
        }
        inside.brought.clear();
        let each = |&(way, step): &(Way, usize)| places.iter().step_by(step).map(move |at| (way, *at));
        for (way, at) in ways.iter().flat_map(each) {
            if at % THREADS == nth {
                inside.import(&damage(&bytes, at), way, &|| format!("{way:?}, at {at} of {}", bytes.len()));
            }
        }
        inside.assert_nothing_else();
        inside.brought
    };
    let mut brought: BTreeMap<usize, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let part = &part;
        let threads: Vec<_> = (0..THREADS).map(|nth| scope.spawn(move || part(nth))).collect();
        for (tags, number) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            *brought.entry(tags).or_default() += number;
        }
    });
    assert!((0..=2).all(|tags| brought.get(&tags).is_some_and(|number| *number > 100)), "{brought:?}");
}

#[test]
fn a_flipped_byte_never_becomes_half_an_image() {
    each_damage(&[(Way::Pipe, 1), (Way::File, 3)], |bytes, at| {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        damaged
    });
}

#[test]
fn an_early_end_never_becomes_half_an_image() {
    // A file that lost its end is salvaged as one with a byte flipped there.
    each_damage(&[(Way::Pipe, 1)], |bytes, at| bytes[..at].to_vec());
}
