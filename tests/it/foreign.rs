//! Layouts of other tools, and bundles that were tampered with after unpacking.

use airgap_bundle::archive::InputError;
use std::fs;
use std::path::Path;

use airgap_bundle::archive::{ArchiveError, BundleManifest, ForeignLayout, ImageStore, open_pipe};
use airgap_bundle::image::Digest;

use super::support::bundles::written;
use super::support::images::{ImageSpec, Layer};

/// A folder with one image of no layers, listed `names` times with these annotations.
fn layout(folder: &Path, annotations: &[&str]) {
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    let digest = |bytes: &[u8]| Digest::sha256(bytes);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        digest(config),
        config.len()
    );
    let entry = |annotation: &&str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"annotations":{{{annotation}}}}}"#,
            digest(manifest.as_bytes()),
            manifest.len()
        )
    };
    let entries: Vec<String> = annotations.iter().map(entry).collect();
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(
        folder.join("index.json"),
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")),
    )
    .unwrap();
    for bytes in [&config[..], manifest.as_bytes()] {
        fs::write(folder.join(digest(bytes).layout_path()), bytes).unwrap();
    }
}

const FULL: &str = r#""org.opencontainers.image.ref.name":"registry.example.com/a/full:1""#;
const TAG: &str = r#""org.opencontainers.image.ref.name":"v1","org.opencontainers.image.base.name":"docker.io/library/debian:12""#;

#[test]
fn an_image_is_never_called_after_its_base() {
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), &[TAG]);
    assert!(matches!(
        ForeignLayout::open(folder.path(), None),
        Err(ArchiveError::Input(InputError::Nameless(_)))
    ));
    let name = "r.example.com/x/y:1".parse().unwrap();
    let named = ForeignLayout::open(folder.path(), Some(&name)).unwrap();
    assert_eq!(named.bundle().images[0].name, name);
}

#[test]
fn no_image_of_several_is_left_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), &[FULL, TAG]);
    assert!(matches!(
        ForeignLayout::open(folder.path(), None),
        Err(ArchiveError::Input(InputError::Nameless(_)))
    ));
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), &[FULL, &FULL.replace("full:1", "full:2")]);
    let name = "r.example.com/x/y:1".parse().unwrap();
    assert!(matches!(
        ForeignLayout::open(folder.path(), Some(&name)),
        Err(ArchiveError::Input(InputError::NameUnused(_)))
    ));
}

#[test]
fn an_image_that_a_tool_calls_an_artifact_of_its_config_is_an_image() {
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), &[FULL]);
    let index = folder.path().join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let text = text.replace(
        "\"annotations\"",
        "\"artifactType\":\"application/vnd.oci.image.config.v1+json\",\"annotations\"",
    );
    fs::write(&index, text).unwrap();
    let opened = ForeignLayout::open(folder.path(), None).unwrap();
    assert_eq!(opened.bundle().images[0].name.to_string(), "registry.example.com/a/full:1");
}

#[test]
fn a_link_that_leads_out_of_the_folder_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path(), &[FULL]);
    let digest = Digest::sha256(b"elsewhere");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join(digest.layout_path())).unwrap();
    let opened = ForeignLayout::open(folder.path(), None).unwrap();
    assert!(opened.open(&digest, 0).is_err());
}

#[test]
fn a_bundle_that_forgets_a_layer_is_refused_also_unpacked() {
    let image = ImageSpec::new(1).layer(Layer::gzip(2, 900)).build();
    let bytes = written(&[("registry.example.com/team/app:1", image)]);
    let folder = tempfile::tempdir().unwrap();
    let tar = zstd::decode_all(&bytes[..]).unwrap();
    tar::Archive::new(&tar[..]).unpack(folder.path()).unwrap();
    let own = folder.path().join("bundle.json");
    assert!(ForeignLayout::open(folder.path(), None).unwrap().id().is_some());
    let mut bundle = BundleManifest::from_bytes(&fs::read(&own).unwrap()).unwrap();
    bundle.blobs.pop();
    fs::write(&own, bundle.to_bytes().unwrap()).unwrap();
    let error = ForeignLayout::open(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("needed by an image"), "{error}");
}

#[test]
fn a_pipe_of_something_else_is_refused_at_its_start() {
    assert!(open_pipe(&b"not a bundle at all"[..]).is_err());
    assert!(open_pipe(std::io::repeat(0)).is_err());
}
