//! Whether runtimes make a container of a manifest, decided as they decide it: by its type and the content of its config.
//!
//! Whatever is not known to be an artifact counts as an image: podman runs a Docker manifest whatever type its config
//! has, and Docker takes several types for that of an image (moby/moby, distribution `ImageTypes`).

use std::sync::Arc;

use super::{ConfigError, ImageConfig, ManifestKind, ParsedManifest, media_type};

/// What becomes of a manifest where it is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runnable {
    /// A container can be made of it, with this config.
    Container(Arc<ImageConfig>),
    /// It is an artifact: no runtime takes it for an image.
    Artifact,
    /// Nobody can tell what would run, and why.
    Unknown(String),
}

/// The content of a config as it was read: once for all manifests that have it.
#[derive(Clone, Debug)]
pub struct ReadConfig {
    /// Whether a runtime could take it for the config of an image.
    is_like: bool,
    config: Result<Arc<ImageConfig>, ConfigError>,
}

impl ReadConfig {
    pub fn of(bytes: &[u8]) -> Self {
        Self { is_like: ImageConfig::is_like(bytes), config: ImageConfig::of(bytes).map(Arc::new) }
    }
}

/// Config types of artifacts. An artifact of another type is judged as an image would be.
const ARTIFACT_CONFIGS: [&str; 24] = [
    media_type::OCI_EMPTY,
    "application/vnd.unknown.config.v1+json",
    "application/vnd.cncf.helm.config.v1+json",
    "application/vnd.cncf.flux.config.v1+json",
    "application/vnd.cncf.notary.signature",
    "application/vnd.cncf.notary.v2.signature",
    "application/vnd.cncf.kyverno.config.v1+json",
    "application/vnd.cncf.openpolicyagent.config.v1+json",
    "application/vnd.cncf.openpolicyagent.policy.layer.v1+rego",
    "application/vnd.cncf.kubewarden.config.v1+json",
    "application/vnd.cncf.artifacthub.config.v1+yaml",
    "application/vnd.cncf.model.config.v1+json",
    "application/vnd.cncf.falco.rulesfile.config.v1+json",
    "application/vnd.cncf.falco.plugin.config.v1+json",
    "application/vnd.aquasec.trivy.config.v1+json",
    "application/vnd.wasm.config.v0+json",
    "application/vnd.wasm.config.v1+json",
    "application/vnd.module.wasm.config.v1+json",
    "application/vnd.sylabs.sif.config.v1+json",
    "application/vnd.zarf.config.v1+json",
    "application/vnd.docker.plugin.v1+json",
    "application/vnd.cnab.config.v1+json",
    "application/vnd.devcontainers",
    "application/vnd.gitpod.config.v1+json",
];
/// Types under which signatures and attestations are stored as layers, beside those of SBOMs: `BuildKit`'s, in-toto's (spec/v1, storage
/// convention), cosign's and sigstore's. None is that of a file system.
const STATEMENTS: [&str; 13] = [
    IN_TOTO,
    "application/vnd.in-toto.provenance+dsse",
    "application/vnd.in-toto.spdx+dsse",
    "application/vnd.in-toto.cyclonedx+dsse",
    "application/vnd.in-toto.vsa+dsse",
    "application/vnd.in-toto.test-result+dsse",
    "application/vnd.in-toto.scai+dsse",
    "application/vnd.in-toto.link+dsse",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/jose+json",
    "application/cose",
];
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn is_statement(media_type: &str) -> bool {
    STATEMENTS.contains(&media_type) || media_type::SBOMS.contains(&media_type)
}

impl Runnable {
    /// What runtimes make of `manifest`, where `config` is its config, if at hand. An index is asked about child
    /// by child.
    pub fn of(manifest: &ParsedManifest, config: Option<&ReadConfig>) -> Self {
        if manifest.kind == ManifestKind::Artifact {
            return Self::Artifact;
        }
        let Some(descriptor) = &manifest.config else {
            return Self::Unknown("it has no config".to_owned());
        };
        let is_image = manifest.runs_by_type();
        let is_artifact = !is_image && ARTIFACT_CONFIGS.contains(&descriptor.media_type.as_str());
        let Some(config) = config else {
            return if is_artifact {
                Self::Artifact
            } else {
                Self::Unknown("its config is not available".to_owned())
            };
        };
        if is_image || config.is_like {
            return match &config.config {
                Ok(config) => Self::Container(config.clone()),
                Err(error) => Self::Unknown(error.to_string()),
            };
        }
        if is_artifact {
            return Self::Artifact;
        }
        let shown: String = descriptor.media_type.chars().take(120).collect();
        Self::Unknown(format!("its config has the type {shown:?}, which is not known to be an artifact's"))
    }

    /// What runtimes make of `manifest` where it is about another manifest: tools store signatures under configs of images, and
    /// artifacts under types that nobody else knows.
    pub fn beside(manifest: &ParsedManifest, config: Option<&ReadConfig>) -> Self {
        if holds_statements(manifest, config) {
            return Self::Artifact;
        }
        let cannot_run = manifest.config.is_none()
            || (!manifest.runs_by_type() && config.is_some_and(|config| !config.is_like));
        match Self::of(manifest, config) {
            Self::Unknown(_) if cannot_run => Self::Artifact,
            other => other,
        }
    }
}

/// What the config of `manifest` says in a way that tools read differently, if it does. `config` is its content.
pub fn config_ambiguity(manifest: &ParsedManifest, config: &[u8]) -> Option<ConfigError> {
    if manifest.runs_by_type() {
        ImageConfig::of(config).err().filter(ConfigError::is_ambiguous)
    } else {
        ImageConfig::ambiguity(config)
    }
}

/// Whether `manifest` holds nothing but statements about another manifest, such as attestations and signatures: by the exact
/// types of its layers, and by a config that gives nothing to run and whose layers are stored as they are. A root
/// file system under such a type would be compressed, and runtimes check its digests against the config.
pub fn holds_statements(manifest: &ParsedManifest, config: Option<&ReadConfig>) -> bool {
    let types = manifest.kind == ManifestKind::Image
        && !manifest.layers.is_empty()
        && manifest.layers.iter().all(|layer| is_statement(&layer.media_type));
    let config = config.and_then(|config| config.config.as_ref().ok());
    types
        && config.is_some_and(|config| {
            !config.is_to_run() && !config.diff_ids_cut && is_stored_as_in(manifest, &config.diff_ids)
        })
}

/// Whether the layers of `manifest` have these digests when they are not compressed, or none are given.
fn is_stored_as_in(manifest: &ParsedManifest, diff_ids: &[String]) -> bool {
    let layers = manifest.layers.iter().map(|layer| layer.digest.to_string());
    diff_ids.is_empty() || layers.eq(diff_ids.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(own: &str, config: &str) -> ParsedManifest {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let text = format!(
            r#"{{"mediaType":"{own}","config":{{"mediaType":"{config}","digest":"{digest}","size":2}},"layers":[]}}"#
        );
        ParsedManifest::of(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn whatever_could_run_is_an_image_and_only_known_types_are_artifacts() {
        let (oci, docker) = (media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST);
        let helm = "application/vnd.cncf.helm.config.v1+json";
        let (root, chart) = (r#"{"config":{},"rootfs":{}}"#, r#"{"name":"x","version":"1"}"#);
        for (own, config, content, says) in [
            (oci, media_type::OCI_CONFIG, root, "container"),
            (oci, media_type::OCI_CONFIG, "{}", "container"),
            (oci, media_type::OCI_CONFIG, "no", "not JSON"),
            (docker, media_type::DOCKER_CONFIG, root, "container"),
            // Types that podman and docker run all the same.
            (docker, "application/octet-stream", root, "container"),
            (docker, "application/octet-stream", "no", "not JSON"),
            (docker, helm, chart, "container"),
            (oci, "application/octet-stream", root, "container"),
            (oci, "application/octet-stream", "no", "not known to be an artifact"),
            (oci, "text/html", chart, "not known to be an artifact"),
            (oci, helm, chart, "artifact"),
            // The type of an artifact, and the content of an image.
            (oci, helm, root, "container"),
            (oci, helm, r#"{"Config":{}}"#, "\"Config\""),
            (oci, media_type::OCI_EMPTY, "{}", "artifact"),
            (oci, media_type::OCI_EMPTY, root, "container"),
        ] {
            let found = match Runnable::of(&manifest(own, config), Some(&ReadConfig::of(content.as_bytes())))
            {
                Runnable::Container(_) => "container".to_owned(),
                Runnable::Artifact => "artifact".to_owned(),
                Runnable::Unknown(why) => why,
            };
            assert!(found.contains(says), "{own} {config} {content}: {found}");
        }
        assert_eq!(Runnable::of(&manifest(oci, helm), None), Runnable::Artifact);
        // About another manifest, what has neither the type nor the content of an image cannot run.
        let config = "application/vnd.example.notes";
        assert_eq!(
            Runnable::beside(&manifest(oci, config), Some(&ReadConfig::of(b"{}"))),
            Runnable::Artifact
        );
        assert!(matches!(Runnable::beside(&manifest(oci, config), None), Runnable::Unknown(_)));
        for (own, config) in [(oci, config), (oci, media_type::OCI_CONFIG), (docker, helm)] {
            let found = Runnable::beside(&manifest(own, config), Some(&ReadConfig::of(root.as_bytes())));
            assert!(matches!(found, Runnable::Container(_)), "{own} {config}");
        }
        assert!(matches!(Runnable::of(&manifest(docker, helm), None), Runnable::Unknown(_)));
    }

    #[test]
    fn statements_are_known_by_exact_types_and_by_nothing_to_run() {
        let layer = super::super::Digest::sha256(b"layer");
        let holds = |media_type: &str, config: &str| {
            let mut manifest = manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG);
            let mut descriptor = manifest.config.clone().unwrap();
            (descriptor.media_type, descriptor.digest) = (media_type.into(), layer);
            manifest.layers = vec![descriptor];
            holds_statements(&manifest, Some(&ReadConfig::of(config.as_bytes())))
        };
        let build_kit = format!(
            r#"{{"architecture":"unknown","os":"unknown","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
        );
        for media_type in STATEMENTS {
            assert!(holds(media_type, &build_kit) && holds(media_type, "{}"), "{media_type}");
        }
        for media_type in [
            "application/vnd.in-toto-x.tar+gzip",
            "application/vnd.in-toto",
            "application/vnd.in-toto+json.tar",
            media_type::OCI_LAYER_TAR,
        ] {
            assert!(!holds(media_type, &build_kit), "{media_type}");
        }
        for config in [
            r#"{"config":{"User":"0"}}"#,
            r#"{"config":{"Cmd":["/f"]}}"#,
            r#"{"config":{"Entrypoint":"/f"}}"#,
            r#"{"config":{"Env":["A=1"]}}"#,
            r#"{"os":"linux","architecture":"amd64"}"#,
            &build_kit.replace(&layer.to_string(), "sha256:00"),
            "no",
        ] {
            assert!(!holds(IN_TOTO, config), "{config}");
        }
        assert!(!holds_statements(
            &manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
            Some(&ReadConfig::of(b"{}"))
        ));
    }
}
