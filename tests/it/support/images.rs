//! Images made in code: the same seed makes the same bytes, everywhere.

use airgap_bundle::encoders::Encoder;
use airgap_bundle::image::{Algorithm, Digest, media_type as types};
use bytes::Bytes;
use serde_json::{Value, json};

/// An image, index or artifact with everything it refers to.
#[derive(Clone, Debug)]
pub struct TestImage {
    pub manifest: Bytes,
    pub media_type: String,
    pub digest: Digest,
    /// Config first, then the layers, in order, duplicates kept.
    pub blobs: Vec<(Digest, Bytes)>,
    /// The children of an index.
    pub children: Vec<TestImage>,
}

impl TestImage {
    fn new(value: &Value, media_type: &str, algorithm: Algorithm) -> Self {
        let manifest = Bytes::from(serde_json::to_vec_pretty(value).unwrap());
        let digest = Digest::of(algorithm, &manifest);
        Self { manifest, media_type: media_type.to_owned(), digest, blobs: Vec::new(), children: Vec::new() }
    }

    /// The same image with another manifest.
    pub fn altered(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&self.manifest).unwrap();
        change(&mut value);
        let altered = Self::new(&value, &self.media_type, self.digest.algorithm());
        Self { blobs: self.blobs, children: self.children, ..altered }
    }

    /// The same image with exactly this text as its manifest.
    pub fn with_manifest(self, text: &str) -> Self {
        let manifest = Bytes::copy_from_slice(text.as_bytes());
        Self { digest: Digest::of(self.digest.algorithm(), &manifest), manifest, ..self }
    }

    /// The same image with exactly this text as its config, under this media type.
    pub fn with_config(mut self, text: &str, media_type: &str) -> Self {
        let config = Bytes::copy_from_slice(text.as_bytes());
        let (digest, size) = (Digest::of(self.digest.algorithm(), &config), config.len());
        self.blobs[0] = (digest, config);
        self.altered(|manifest| {
            manifest["config"] = json!({ "mediaType": media_type, "digest": digest, "size": size });
        })
    }

    /// An OCI layout with this image under `name` as a folder.
    pub fn layout(&self, name: &str, folder: &std::path::Path) {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut entry = self.descriptor();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        self.put_below(folder);
    }

    fn put_below(&self, folder: &std::path::Path) {
        std::fs::write(folder.join(self.digest.layout_path()), &self.manifest).unwrap();
        for (digest, bytes) in &self.blobs {
            std::fs::write(folder.join(digest.layout_path()), bytes).unwrap();
        }
        self.children.iter().for_each(|child| child.put_below(folder));
    }

    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.manifest.len() })
    }

    /// The digests of the layers, without the config.
    pub fn layers(&self) -> Vec<Digest> {
        self.blobs.iter().skip(1).map(|(digest, _)| *digest).collect()
    }

    /// The distinct blobs of this image and its children.
    pub fn all_blobs(&self) -> std::collections::BTreeMap<Digest, Bytes> {
        let own = self.blobs.iter().cloned();
        own.chain(self.children.iter().flat_map(Self::all_blobs)).collect()
    }
}

/// A layer's bytes and how its media type ends.
#[derive(Clone, Debug)]
pub struct Layer {
    pub bytes: Bytes,
    pub compressed: bool,
    /// The tar that tools find in it, where it can be unpacked.
    pub tar: Option<Bytes>,
}

impl Layer {
    /// Looks like gzip, and no compressor makes it smaller.
    pub fn gzip(seed: u64, size: usize) -> Self {
        let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        bytes.resize(size.max(10), 0);
        fastrand::Rng::with_seed(seed).fill(&mut bytes[10..]);
        Self { bytes: bytes.into(), compressed: true, tar: None }
    }

    /// A tar of one text file of about `size` bytes, which compresses well.
    pub fn tar(seed: u64, size: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let words = ["lorem ", "ipsum ", "dolor ", "sit ", "amet\n"];
        let mut text = String::with_capacity(size + 8);
        while text.len() < size {
            text.push_str(words[rng.usize(..words.len())]);
        }
        let bytes = tar_of_one(&format!("file-{seed}.txt"), text.as_bytes());
        Self { bytes, compressed: false, tar: None }
    }

    /// Files with their folders, packed and compressed as tools expect it that unpack layers.
    pub fn of_files(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let mut archive = tar::Builder::new(Vec::new());
        archive.mode(tar::HeaderMode::Deterministic);
        archive.append_dir_all(".", folder.path()).unwrap();
        let tar = archive.into_inner().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gzip, &tar).unwrap();
        Self { bytes: gzip.finish().unwrap().into(), compressed: true, tar: Some(tar.into()) }
    }

    /// The same layer without its compression.
    pub fn unpacked(self) -> Self {
        let bytes = self.tar.expect("a layer that tools can unpack");
        Self { bytes, compressed: false, tar: None }
    }

    /// A tar of `size` bytes, as `encoder` compresses it. It repeats what is too far back for gzip.
    pub fn encoded(seed: u64, size: usize, encoder: Encoder) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let part: String = (0..size / 3).map(|_| rng.alphanumeric()).collect();
        Self::of_file(&format!("file-{seed}.txt"), part.repeat(3).as_bytes(), encoder)
    }

    /// A tar with this file, as gzip of `encoder`.
    pub fn of_file(name: &str, content: &[u8], encoder: Encoder) -> Self {
        let tar = tar_of_one(name, content);
        let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let mut encoding = encoder.start().unwrap();
        tar.chunks(32 << 10).for_each(|write| encoding.write(write, &mut bytes));
        encoding.finish(&mut bytes);
        let mut crc = flate2::Crc::new();
        crc.update(&tar);
        bytes.extend_from_slice(&crc.sum().to_le_bytes());
        bytes.extend_from_slice(&crc.amount().to_le_bytes());
        Self { bytes: bytes.into(), compressed: true, tar: Some(tar) }
    }

    /// No bytes at all.
    pub fn empty() -> Self {
        Self { bytes: Bytes::new(), compressed: true, tar: None }
    }
}

fn tar_of_one(name: &str, content: &[u8]) -> Bytes {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, content).unwrap();
    archive.into_inner().unwrap().into()
}

/// What to make an image of.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    pub seed: u64,
    pub layers: Vec<Layer>,
    pub docker: bool,
    pub algorithm: Algorithm,
    pub platform: (&'static str, &'static str),
    pub created: Option<&'static str>,
    /// The config's `config`, instead of one with a label for the seed.
    pub config: Option<Value>,
}

impl ImageSpec {
    pub fn new(seed: u64) -> Self {
        let (algorithm, platform) = (Algorithm::Sha256, ("linux", "amd64"));
        Self { seed, layers: Vec::new(), docker: false, algorithm, platform, created: None, config: None }
    }

    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    pub fn layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Docker manifest v2, schema 2.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Every descriptor in sha512.
    pub fn sha512(mut self) -> Self {
        self.algorithm = Algorithm::Sha512;
        self
    }

    pub fn platform(mut self, os: &'static str, architecture: &'static str) -> Self {
        self.platform = (os, architecture);
        self
    }

    pub fn created(mut self, date: &'static str) -> Self {
        self.created = Some(date);
        self
    }

    pub fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    pub fn build(self) -> TestImage {
        let (os, architecture) = self.platform;
        let diff_ids: Vec<Digest> = self
            .layers
            .iter()
            .map(|layer| Digest::sha256(layer.tar.as_ref().unwrap_or(&layer.bytes)))
            .collect();
        let own = json!({ "Labels": { "seed": self.seed.to_string() } });
        let mut config = json!({
            "os": os, "architecture": architecture, "config": self.config.unwrap_or(own),
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if let Some(date) = self.created {
            config["created"] = date.into();
        }
        let config = Bytes::from(config.to_string());
        let mut blobs = vec![(Digest::of(self.algorithm, &config), config)];
        let mut layers = Vec::new();
        for layer in &self.layers {
            let digest = Digest::of(self.algorithm, &layer.bytes);
            let media_type = match (self.docker, layer.compressed) {
                (true, true) => types::DOCKER_LAYER_GZIP,
                (true, false) => types::DOCKER_LAYER_TAR,
                (false, true) => types::OCI_LAYER_GZIP,
                (false, false) => types::OCI_LAYER_TAR,
            };
            layers.push(json!({ "mediaType": media_type, "digest": digest, "size": layer.bytes.len() }));
            blobs.push((digest, layer.bytes.clone()));
        }
        let (media_type, config_type) = if self.docker {
            (types::DOCKER_MANIFEST, types::DOCKER_CONFIG)
        } else {
            (types::OCI_MANIFEST, types::OCI_CONFIG)
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": { "mediaType": config_type, "digest": blobs[0].0, "size": blobs[0].1.len() },
            "layers": layers,
        });
        TestImage { blobs, ..TestImage::new(&manifest, media_type, self.algorithm) }
    }
}

/// A small image of one compressed and one uncompressed layer.
pub fn image(seed: u64) -> TestImage {
    ImageSpec::new(seed).layer(Layer::gzip(seed, 40_000)).layer(Layer::tar(seed, 20_000)).build()
}

/// Images that share their base layer.
pub fn sharing(seeds: impl IntoIterator<Item = u64>, base: &Layer) -> Vec<TestImage> {
    let one = |seed| ImageSpec::new(seed).layer(base.clone()).layer(Layer::gzip(seed, 5_000)).build();
    seeds.into_iter().map(one).collect()
}

/// An OCI index (a Docker list with `docker`) of `children` and their platforms.
pub fn index(children: Vec<((&str, &str), TestImage)>, docker: bool) -> TestImage {
    let media_type = if docker { types::DOCKER_LIST } else { types::OCI_INDEX };
    let mut manifests = Vec::new();
    let mut images = Vec::new();
    for ((os, architecture), child) in children {
        let mut descriptor = child.descriptor();
        descriptor["platform"] = json!({ "os": os, "architecture": architecture });
        manifests.push(descriptor);
        images.push(child);
    }
    let value = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    TestImage { children: images, ..TestImage::new(&value, media_type, Algorithm::Sha256) }
}

/// amd64 and arm64 over one shared layer, and the attestation that `BuildKit` adds for the first.
pub fn multi_platform(seed: u64) -> TestImage {
    multi_platform_with(seed, "application/vnd.in-toto+json")
}

/// The same; the content of its attestation has this media type.
pub fn multi_platform_with(seed: u64, statement_type: &str) -> TestImage {
    let shared = Layer::gzip(seed, 30_000);
    let child = |architecture, own| {
        let spec = ImageSpec::new(seed).platform("linux", architecture).layer(shared.clone());
        spec.layer(Layer::gzip(own, 10_000)).build()
    };
    let (amd64, arm64) = (child("amd64", seed + 1), child("arm64", seed + 2));
    let statement = Layer::tar(seed, 500);
    let attestation = ImageSpec::new(seed + 3).platform("unknown", "unknown").layer(statement).build();
    let attestation = attestation.altered(|value| value["layers"][0]["mediaType"] = json!(statement_type));
    let mut value = json!({
        "schemaVersion": 2, "mediaType": types::OCI_INDEX,
        "manifests": [amd64.descriptor(), arm64.descriptor(), attestation.descriptor()],
    });
    value["manifests"][0]["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    value["manifests"][1]["platform"] = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
    value["manifests"][2]["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    value["manifests"][2]["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd64.digest,
    });
    let children = vec![amd64, arm64, attestation];
    TestImage { children, ..TestImage::new(&value, types::OCI_INDEX, Algorithm::Sha256) }
}

/// An artifact of type `artifact_type` about `subject`, with the empty config.
pub fn artifact(subject: &TestImage, artifact_type: &str, payload: &[u8]) -> TestImage {
    let blobs: Vec<(Digest, Bytes)> = [Bytes::from_static(b"{}"), Bytes::copy_from_slice(payload)]
        .into_iter()
        .map(|bytes| (Digest::sha256(&bytes), bytes))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": types::OCI_MANIFEST, "artifactType": artifact_type,
        "config": { "mediaType": types::OCI_EMPTY, "digest": blobs[0].0, "size": 2 },
        "layers": [{ "mediaType": "text/plain", "digest": blobs[1].0, "size": payload.len() }],
        "subject": subject.descriptor(),
        "annotations": { "org.opencontainers.image.created": "2021-01-01T00:00:00Z" },
    });
    TestImage { blobs, ..TestImage::new(&manifest, types::OCI_MANIFEST, Algorithm::Sha256) }
}

/// A cosign signature of `image` in the older form, and the tag under which it is found.
pub fn signature(image: &TestImage) -> (String, TestImage) {
    let payload = json!({ "critical": { "image": { "docker-manifest-digest": image.digest } } }).to_string();
    let layer = Bytes::from(payload);
    let config = Bytes::from_static(b"{\"rootfs\":{\"type\":\"layers\"}}");
    let blobs = vec![(Digest::sha256(&config), config), (Digest::sha256(&layer), layer)];
    let manifest = json!({
        "schemaVersion": 2, "mediaType": types::OCI_MANIFEST,
        "config": { "mediaType": types::OCI_CONFIG, "digest": blobs[0].0, "size": blobs[0].1.len() },
        "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": blobs[1].0, "size": blobs[1].1.len(),
            "annotations": { "dev.cosignproject.cosign/signature": "MEUCIQ==" },
        }],
    });
    let tag = format!("{}-{}.sig", image.digest.algorithm().name(), image.digest.hex());
    (tag, TestImage { blobs, ..TestImage::new(&manifest, types::OCI_MANIFEST, Algorithm::Sha256) })
}
