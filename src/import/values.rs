//! The Helm values file of an import. It never fails an import: a values file that was edited, or is for another
//! destination, is kept, and the new one gets a name that contains the destination.

use std::path::{Path, PathBuf};

use crate::app::failure::Failure;
use crate::app::small_file;
use crate::archive::BundleManifest;
use crate::archive::manifest::EntryRecord;
use crate::cli::ImportArgs;
use crate::cluster_config::{ValuesStyle, bundle_values, is_as_made};
use crate::destination::{Destination, Mapping};
use crate::report::Reporter;
use crate::session::output_files;

/// Files of one destination that may have been edited, before the search for a free name ends.
const MOST: usize = 100;
/// A longer file was not written by this program, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The values file that will be written.
pub(crate) struct Values {
    path: PathBuf,
    text: String,
    /// A row of the bundle's catalog says which values of a chart name its image.
    is_of_chart: bool,
}

/// The values file that was written.
pub(crate) struct WrittenValues {
    pub(crate) path: PathBuf,
    /// The file with the usual name, which was edited or is for another destination.
    pub(crate) kept: Option<PathBuf>,
    /// A row of the bundle's catalog says which values of a chart name its image.
    pub(crate) is_of_chart: bool,
}

/// The values file to write; none if the catalog contradicts itself. If values of a certain kind were requested, that
/// is an error before anything is sent.
pub(crate) fn plan(
    args: &ImportArgs,
    bundle: &BundleManifest,
    destination: &Destination,
    mapping: Mapping,
    path: PathBuf,
    reporter: &Reporter,
) -> Result<Option<Values>, Failure> {
    let style = ValuesStyle { per_image: args.style.per_image, pin: args.style.pin };
    match bundle_values(bundle, destination, mapping, style, &args.only) {
        Ok(text) => {
            let is_of_chart =
                |entry: &EntryRecord| !entry.chart.is_empty() || entry.repository_path.is_some();
            let is_of_chart = bundle.catalog.entries.iter().any(is_of_chart);
            Ok(Some(Values { path, text, is_of_chart }))
        }
        Err(error) if style.per_image || style.pin || args.mapping.keep_host => Err(error),
        Err(error) => {
            let hints = error.hints.iter().map(|hint| format!("\nhint: {hint}"));
            reporter.warn(&format!("no values file: {error}{}", hints.collect::<String>()));
            Ok(None)
        }
    }
}

/// Writes the values file under the first free name.
pub(crate) fn write(
    values: &Values,
    destination: &Destination,
    force: bool,
) -> anyhow::Result<WrittenValues> {
    let Values { path, text, is_of_chart } = values;
    let is_free = |path: &Path| force || is_free(path, text.as_bytes());
    let others = || (1..=MOST).map(|number| named_after(path, &destination.to_string(), number));
    let place = std::iter::once(path.clone()).chain(others()).find(|path| is_free(path));
    let place = place.unwrap_or_else(|| path.clone());
    output_files::write(&place, text)?;
    let kept = (place != *path).then(|| path.clone());
    Ok(WrittenValues { path: place, kept, is_of_chart: *is_of_chart })
}

/// Whether `text` can be written to `path` without losing a file that was edited or is for another destination.
fn is_free(path: &Path, text: &[u8]) -> bool {
    match std::fs::symlink_metadata(path) {
        Err(_) => true,
        // A device or a pipe has no content that could be lost.
        Ok(_) if output_files::is_no_file(path) => !path.is_dir(),
        Ok(_) => small_file::named(path, MAX_FILE)
            .is_ok_and(|there| there == text || (is_as_made(&there) && title(&there) == title(text))),
    }
}

/// The second line, which names the catalog and the destination.
fn title(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n').nth(1)
}

/// `shop.values.yaml` for a destination: `shop.registry.local-5000.values.yaml`, and with a number from the second on.
fn named_after(path: &Path, destination: &str, number: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = [".values.yaml", ".yaml", ".yml"]
        .iter()
        .find_map(|ending| Some((name.strip_suffix(ending)?, *ending)))
        .unwrap_or((&name, ""));
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    path.with_file_name(format!("{stem}.{}{number}{ending}", output_files::plain_name(destination)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_goes_before_the_ending() {
        for (path, number, expected) in [
            ("a/shop.values.yaml", 1, "a/shop.r.local-5000-m.values.yaml"),
            ("shop.values.yaml", 2, "shop.r.local-5000-m-2.values.yaml"),
            ("v.yml", 1, "v.r.local-5000-m.yml"),
            ("values", 3, "values.r.local-5000-m-3"),
        ] {
            assert_eq!(named_after(Path::new(path), "r.local:5000/m", number), Path::new(expected));
        }
    }
}
