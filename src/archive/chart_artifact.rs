//! A packed Helm chart as the OCI artifact that `helm push` would make from it (Helm, "Use OCI-based registries").
//!
//! The config is the chart's metadata as JSON, and the layer is the packed chart byte for byte; a provenance file
//! beside the chart is included. No date is included, so that the same chart always gives the same artifact.

use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ArchiveError, FormatError, chart_files};
use crate::app::small_file;
use crate::image::{Digest, media_type};

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// Held in memory; Helm itself refuses charts of a tenth of this size.
const MAX_CHART: u64 = 64 << 20;

/// A chart that is carried like an image.
#[derive(Clone, Debug)]
pub struct ChartArtifact {
    pub name: String,
    pub version: String,
    pub manifest: Bytes,
    /// Config and layers.
    pub blobs: Vec<Bytes>,
}

/// The fields of `Chart.yaml` that Helm keeps; texts stay as they are written, so that 1.10 stays 1.10.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    api_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keywords: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    maintainers: Vec<Maintainer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    icon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deprecated: Option<bool>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kube_version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Maintainer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Dependency {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default)]
    repository: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, rename = "import-values", skip_serializing_if = "Vec::is_empty")]
    import_values: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
}

impl ChartArtifact {
    /// The artifact of the packed chart at `path`.
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        let refuse =
            |why: String| ArchiveError::Format(FormatError::Damaged(format!("{}: {why}", path.display())));
        let files = chart_files(path, &|name| name == "Chart.yaml")?;
        let text = String::from_utf8_lossy(&files[0].bytes);
        let metadata: Metadata = serde_saphyr::from_str(&text)
            .map_err(|error| refuse(format!("Chart.yaml: {}", error.without_snippet())))?;
        let config = serde_json::to_vec(&metadata).map_err(|error| refuse(error.to_string()))?;
        let mut blobs = vec![(CONFIG, Bytes::from(config)), (CONTENT, whole(path)?)];
        let mut beside = path.as_os_str().to_owned();
        beside.push(".prov");
        let beside = Path::new(&beside);
        if beside.is_file() {
            blobs.push((PROVENANCE, whole(beside)?));
        }
        let descriptors: Vec<Value> = blobs.iter().map(|(kind, bytes)| descriptor(kind, bytes)).collect();
        let mut annotations = json!({
            "org.opencontainers.image.title": metadata.name,
            "org.opencontainers.image.version": metadata.version,
        });
        if let Some(description) = &metadata.description {
            annotations["org.opencontainers.image.description"] = description.clone().into();
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptors[0],
            "layers": descriptors[1..],
            "annotations": annotations,
        });
        Ok(Self {
            name: metadata.name,
            version: metadata.version,
            manifest: manifest.to_string().into(),
            blobs: blobs.into_iter().map(|(_, bytes)| bytes).collect(),
        })
    }

    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// The tag under which Helm finds it: a tag cannot contain `+`.
    pub fn tag(&self) -> String {
        self.version.replace('+', "_")
    }
}

fn descriptor(media_type: &str, bytes: &Bytes) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

fn whole(path: &Path) -> Result<Bytes, ArchiveError> {
    small_file::named(path, MAX_CHART).map(Bytes::from).map_err(ArchiveError::io(path))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::image::ParsedManifest;

    fn packed(chart: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop-1.10.tgz");
        let gzip =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(chart.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "shop/Chart.yaml", chart.as_bytes()).unwrap();
        tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
        (folder, path)
    }

    #[test]
    fn a_chart_is_what_helm_pushes() {
        let text = "apiVersion: v2\nname: shop\nversion: 1.10.0+build.5\nappVersion: 1.10\nunknown: x\n\
                    dependencies:\n- { name: kafka, version: 1.x, repository: 'https://c.io', import-values: [a] }\n";
        let (_folder, path) = packed(text);
        let chart = ChartArtifact::read(&path).unwrap();
        assert_eq!((chart.name.as_str(), chart.tag().as_str()), ("shop", "1.10.0_build.5"));
        let parsed = ParsedManifest::of(&chart.manifest, None).unwrap();
        assert_eq!(parsed.effective_artifact_type(), Some(CONFIG));
        let digests: Vec<Digest> = parsed.blobs().map(|blob| blob.digest).collect();
        assert_eq!(digests, chart.blobs.iter().map(|bytes| Digest::sha256(bytes)).collect::<Vec<_>>());
        assert_eq!(chart.blobs[1], std::fs::read(&path).unwrap());
        let config: Value = serde_json::from_slice(&chart.blobs[0]).unwrap();
        assert_eq!((&config["appVersion"], &config["unknown"]), (&"1.10".into(), &Value::Null));
        assert_eq!(config["dependencies"][0]["import-values"][0], "a");
        assert_eq!(ChartArtifact::read(&path).unwrap().digest(), chart.digest());
        std::fs::write(path.with_extension("tgz.prov"), "signed").unwrap();
        let signed = ChartArtifact::read(&path).unwrap();
        assert_eq!(ParsedManifest::of(&signed.manifest, None).unwrap().layers[1].media_type, PROVENANCE);
    }

    #[test]
    fn what_is_no_chart_is_named() {
        for (text, says) in [("name: [x\n", "Chart.yaml"), ("name: x\n", "missing field"), ("", "Chart.yaml")]
        {
            let (_folder, path) = packed(text);
            let error = ChartArtifact::read(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("shop-1.10.tgz"), "{text:?}: {error}");
        }
    }
}
