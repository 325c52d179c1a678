//! Packed charts on this machine: each becomes the OCI artifact that Helm would push, without any registry.

use std::path::Path;

use super::resolved_request::ResolvedRequest;
use crate::app::failure::Failure;
use crate::archive::ChartArtifact;
use crate::image::Reference;

/// The repository in which a chart without a given name is placed.
const HOME: &str = "localhost/charts";

/// Whether an argument is a packed chart rather than an image.
pub(crate) fn is_packed(argument: &str) -> bool {
    Path::new(argument).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tgz"))
}

/// The name of a chart that has no name from a catalog.
pub(crate) fn name_of(path: &Path) -> anyhow::Result<Reference> {
    let chart = ChartArtifact::read(path)?;
    let name = format!("{HOME}/{}:{}", chart.name, chart.tag());
    Ok(name.parse().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?)
}

/// The artifact of the chart at `path`, whose name in the catalog is `name`.
pub(crate) fn packed(name: &Reference, path: &Path) -> anyhow::Result<ChartArtifact> {
    let chart = ChartArtifact::read(path)?;
    let last = name.repository().path().rsplit('/').next().unwrap_or_default();
    let tag = name.tag().map(crate::image::Tag::as_str).unwrap_or_default();
    // Helm finds a chart by its own name and version.
    if last != chart.name || tag != chart.tag() {
        let message = format!("{} is {} {}, but is called {name}", path.display(), chart.name, chart.version);
        let hint = format!("name it oci://…/{}:{}", chart.name, chart.version);
        return Err(Failure::usage(message).hint(hint).into());
    }
    Ok(chart)
}

/// Uses the chart at `path` as the artifact `name` in `loaded`.
pub(crate) fn pack(loaded: &mut ResolvedRequest, name: &Reference, path: &Path) -> anyhow::Result<()> {
    let chart = packed(name, path)?;
    for wanted in loaded.request.images.iter_mut().filter(|wanted| wanted.name == *name) {
        wanted.sources = vec![name.clone()];
        wanted.pin = Some(chart.digest());
        // A packed chart has no referrers.
        wanted.artifacts = Some(Vec::new());
    }
    loaded.held.extend([chart.manifest]);
    loaded.held.extend(chart.blobs);
    loaded.archives.insert(name.clone(), path.to_owned());
    Ok(())
}
