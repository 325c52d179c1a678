//! `bundle verify --manifests`: every image that rendered manifests name is in the bundle, and in the registry.

use std::fmt::Write as _;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::manifests::Look;
use crate::app::failure::{ExitCode, Explain, Failure};
use crate::archive::ImageStore;
use crate::catalog::discover::{Discovery, Found, Rank};
use crate::cli::VerifyArgs;
use crate::cluster_config::{Answer, Coverage};
use crate::destination::{Destination, Mapping};
use crate::image::{RawManifest, Reference, Repository};
use crate::inputs::clients;
use crate::registry::{ManifestTarget, RegistryClient};
use crate::report::count;
use crate::session::Session;

/// The result of comparing manifests with a bundle and a registry.
pub(crate) struct Covered {
    pub(crate) text: String,
    pub(crate) json: Value,
    /// Why the manifests prove nothing, if they do not.
    pub(crate) failure: Option<Failure>,
}

/// One image the manifests name, and what is wrong with it.
struct Gap<'a> {
    name: &'a Reference,
    found: &'a Found,
    why: String,
    code: ExitCode,
    /// The bundle has the image, but the registry does not.
    is_to_be_imported: bool,
}

/// Reads the manifests and compares them with the bundle, then with the registry.
pub(crate) async fn check(
    session: &Session,
    args: &VerifyArgs,
    image_store: &dyn ImageStore,
) -> anyhow::Result<Covered> {
    let given: Option<Destination> = args
        .destination
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    let found = discovered(args)?;
    let bundle = image_store.bundle();
    let mapping = Mapping {
        keep_host: args.mapping.keep_host || bundle.keeps_host(),
        no_synthetic_tags: args.mapping.no_synthetic_tags,
    };
    let coverage = Coverage::new(bundle, mapping, given.as_ref(), found.images.keys());
    let (mut gaps, mut there) = (Vec::new(), Vec::new());
    for (name, one) in &found.images {
        match coverage.answer(name, image_store)? {
            Answer::Covered { image, place } => there.push((name, one, image, place)),
            answer => {
                let (why, code) = (answer.to_string(), ExitCode::Content);
                gaps.push(Gap { name, found: one, why, code, is_to_be_imported: false });
            }
        }
    }
    if let Some(destination) = &given {
        let client = clients::for_destination(&args.network, destination, &session.reporter)?;
        session.reporter.begin_count("asking the registry", there.len() as u64);
        let asked = futures_util::stream::iter(&there).map(|(name, one, image, place)| {
            let client = &client;
            async move {
                let result = in_registry(client, image_store, name, *image, place.as_ref()).await;
                session.reporter.step();
                result.err().map(|(why, code)| Gap { name, found: one, why, code, is_to_be_imported: true })
            }
        });
        let asked = asked.buffered(usize::from(args.network.jobs)).collect::<Vec<_>>();
        let answers = session.stoppable("not every image was checked", asked).await?;
        session.reporter.end();
        clients::tell_warnings(&client, &session.reporter);
        gaps.extend(answers.into_iter().flatten());
    }
    let taken = coverage.destination().filter(|_| given.is_none());
    Ok(print_result(session, args, &found, gaps, taken))
}

fn discovered(args: &VerifyArgs) -> anyhow::Result<Discovery> {
    let mut found = Discovery::default();
    let mut look = Look { found: &mut found, own: None, passed_by: 0 };
    for path in &args.manifests {
        look.at(path)?;
    }
    if found.images.is_empty() && found.hiding_count == 0 {
        return Err(Failure::usage("the manifests name no image, so they prove nothing")
            .hint("render them first: helm template … | bundle verify BUNDLE --manifests -")
            .into());
    }
    Ok(found)
}

/// Checks that the registry has the image `name` with the digest of the bundle.
async fn in_registry(
    client: &RegistryClient,
    image_store: &dyn ImageStore,
    name: &Reference,
    image: usize,
    place: Option<&Repository>,
) -> Result<(), (String, ExitCode)> {
    let Some(place) = place else { return Ok(()) };
    let row = &image_store.bundle().images[image];
    let (target, wanted) = match (name.digest(), name.tag()) {
        (Some(digest), _) => (ManifestTarget::Digest(*digest), *digest),
        (None, Some(tag)) => (ManifestTarget::Tag(tag.clone()), row.digest),
        (None, None) => (ManifestTarget::Digest(row.digest), row.digest),
    };
    let content = |why: String| (why, ExitCode::Content);
    let found =
        client.has_manifest(place, &target).await.map_err(|error| (error.to_string(), error.exit_code()))?;
    let Some(found) = found else {
        return Err(content(format!("it is in the bundle, but not in the registry at {place}")));
    };
    let same = found == wanted
        || image_store.manifest(&wanted).is_ok_and(|bytes| {
            RawManifest::new(bytes, None, Some(&wanted)).is_ok_and(|manifest| manifest.is_named(&found))
        });
    if same {
        Ok(())
    } else {
        Err(content(format!("the registry has {found} at {place}, but the bundle has {wanted}")))
    }
}

fn print_result(
    session: &Session,
    args: &VerifyArgs,
    found: &Discovery,
    gaps: Vec<Gap<'_>>,
    taken: Option<&Destination>,
) -> Covered {
    let counts = |gap: &Gap<'_>| args.strict || gap.found.rank == Rank::Certain;
    let (lost, doubtful): (Vec<_>, Vec<_>) = gaps.into_iter().partition(counts);
    for gap in &doubtful {
        session.reporter.warn(&format!("{} may be needed: {}\n  {}", gap.name, gap.why, place(gap)));
    }
    for unclear in found.unclear.iter().filter(|unclear| unclear.hides) {
        session.reporter.warn(&unclear.to_string());
    }
    let total = found.images.len();
    let list = |gaps: &[Gap<'_>]| -> Vec<Value> {
        gaps.iter()
            .map(|gap| json!({ "image": gap.name, "why": gap.why, "places": gap.found.places }))
            .collect()
    };
    let json = json!({
        "images": total, "missing": list(&lost), "doubtful": list(&doubtful),
        "unreadable": found.unclear.iter().filter(|unclear| unclear.hides).collect::<Vec<_>>(),
        "destination": taken.map(ToString::to_string).or_else(|| args.destination.clone()),
    });
    let way = match (&args.destination, taken) {
        (Some(destination), _) => format!(" and in {destination}"),
        (None, Some(taken)) => format!(" ({taken} counted as the destination)"),
        (None, None) => String::new(),
    };
    let there = total - lost.len() - doubtful.len();
    let text = format!("manifests: {} named, {there} in the bundle{way}\n", count(total, "image"));
    Covered { text, json, failure: failure(&lost, found) }
}

fn failure(lost: &[Gap<'_>], found: &Discovery) -> Option<Failure> {
    if let Some(first) = lost.first() {
        let mut message = format!(
            "problems with {} of {} that the manifests name:",
            lost.len(),
            count(found.images.len(), "image")
        );
        for gap in lost {
            let _ = write!(message, "\n{}\n  {}\n  {}", gap.name, gap.why, place(gap));
        }
        // A missing image is reported in preference to a registry that does not answer.
        let worst = lost.iter().find(|gap| gap.code == ExitCode::Content).unwrap_or(first);
        let hint = if lost.iter().all(|gap| gap.is_to_be_imported) {
            "import the bundle into the registry: bundle import"
        } else {
            "render the manifests with the values of this bundle, or export what they need: bundle catalog discover … --diff"
        };
        return Some(Failure::new(worst.code, message).hint(hint));
    }
    (found.hiding_count > 0).then(|| {
        let places = count(found.hiding_count, "place");
        Failure::new(
            ExitCode::Content,
            format!("{places} in the manifests could not be read, so they prove nothing"),
        )
    })
}

fn place(gap: &Gap<'_>) -> String {
    let more = match gap.found.count - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    gap.found.places.first().map(|place| format!("{place}{more}")).unwrap_or_default()
}
