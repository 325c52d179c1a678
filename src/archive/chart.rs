//! Packed Helm charts (`.tgz`): reads the few files of one that are needed, into memory.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::foreign::foreign_tar::Members;
use super::{ArchiveError, FormatError};
use crate::app::small_file;

/// Maximum size of one file of a chart, in bytes. Helm's own limit is 5 MiB.
pub const MAX_CHART_FILE: u64 = 5 << 20;
/// Maximum size of all files that are read together, in bytes.
pub const MAX_CHART_FILES: u64 = 16 << 20;
/// Maximum size of a whole unpacked chart, in bytes. Helm's own limit is 100 MiB.
const MAX_CHART: u64 = 100 << 20;

/// A file of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartFile {
    /// Relative to the chart's own folder: `Chart.yaml`, `charts/kafka/values.yaml`.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// The files of the packed chart at `path` that are `wanted`, in the order of the archive.
pub fn chart_files(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<ChartFile>, ArchiveError> {
    let file = small_file::regular(path).map_err(ArchiveError::io(path))?;
    let unpacked = MultiGzDecoder::new(std::io::BufReader::new(file)).take(MAX_CHART);
    let (mut files, mut left): (Vec<ChartFile>, _) = (Vec::new(), MAX_CHART_FILES);
    let damaged = |name: &str, why: &str| {
        ArchiveError::Format(FormatError::Damaged(format!("{}: {name}{why}", path.display())))
    };
    let mut members = Members::new(unpacked, path);
    let no_chart = |error| match error {
        ArchiveError::Format(FormatError::NotABundle(_)) => damaged("", "not a packed chart (a gzipped tar)"),
        other => other,
    };
    while let Some(member) = members.next().map_err(no_chart)? {
        let Some((_, inner)) = member.name.split_once('/').filter(|(_, inner)| wanted(inner)) else {
            continue;
        };
        if files.iter().any(|file| file.path == inner) {
            return Err(damaged(&member.name, " appears in it twice"));
        }
        let bytes =
            members.whole(left.min(MAX_CHART_FILE))?.ok_or_else(|| damaged(&member.name, " is too large"))?;
        left -= bytes.len() as u64;
        files.push(ChartFile { path: inner.to_owned(), bytes });
    }
    if !files.iter().any(|file| file.path == "Chart.yaml") && wanted("Chart.yaml") {
        return Err(ArchiveError::Format(FormatError::Damaged(format!(
            "{} has no Chart.yaml, so it is not a chart",
            path.display()
        ))));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&tar.into_inner().unwrap().finish().unwrap()).unwrap();
        file
    }

    #[test]
    fn the_files_asked_for_are_read_and_what_is_no_chart_is_refused() {
        let chart = packed(&[
            ("shop/Chart.yaml", b"name: shop"),
            ("shop/templates/x.yaml", b"{{ x }}"),
            ("shop/charts/kafka/Chart.yaml", b"name: kafka"),
        ]);
        let files = chart_files(chart.path(), &|name| name.ends_with("Chart.yaml")).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["Chart.yaml", "charts/kafka/Chart.yaml"]);
        assert_eq!(files[0].bytes, b"name: shop");
        let all = |_: &str| true;
        let other = packed(&[("x/y.yaml", b"a: 1")]);
        assert!(chart_files(other.path(), &all).unwrap_err().to_string().contains("no Chart.yaml"));
        let large = packed(&[("x/Chart.yaml", &vec![b' '; (8 << 20) + 1])]);
        assert!(chart_files(large.path(), &all).unwrap_err().to_string().contains("too large"));
        let mut text = tempfile::NamedTempFile::new().unwrap();
        text.write_all(b"no chart at all, but long enough to be one").unwrap();
        assert!(chart_files(text.path(), &all).unwrap_err().to_string().contains("not a packed chart"));
        assert!(chart_files(Path::new("/nowhere.tgz"), &all).is_err());
    }
}
