//! The images of a small, typical application in a registry outside, and a bundle of them. Made once for all tests.
//!
//! Two services share a base and a runtime, one of them as a Docker schema 2 image; one image has two platforms; the
//! layer of a small tool is not compressed. A test that changes a registry uses its own, or its own prefix in the
//! registry inside.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::json;

use crate::desk::{Desk, Run};
use crate::harness::Skip;
use crate::look::Look;
use crate::programs;
use crate::push;
use crate::registries::Registry;
use crate::support::images::{ImageSpec, Layer, TestImage, index};

/// One image of the shop.
#[derive(Debug)]
pub struct Ware {
    pub repository: &'static str,
    pub tag: &'static str,
    pub image: TestImage,
}

impl Ware {
    /// `repository:tag`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    pub fn digest(&self) -> String {
        self.image.digest.to_string()
    }

    /// Docker schema 2: skopeo and podman do not find such images in any OCI layout, and zot does not accept them.
    pub fn is_docker_schema_2(&self) -> bool {
        self.repository == "shop/worker"
    }
}

#[derive(Debug)]
pub struct Shop {
    pub wares: Vec<Ware>,
    /// The registry that has all of them.
    pub outside: String,
    /// A registry that is empty at first.
    pub inside: String,
    /// The bundle.
    pub file: String,
    /// The bundle, unpacked with zstd and tar.
    pub unpacked: String,
    /// Names below `registry.example.com`, for exports.
    list: String,
    source: String,
    _registries: [Registry; 2],
    desk: Desk,
}

/// The host that the names of the shop have.
pub const HOST: &str = "registry.example.com";

/// The shop; skipped where its programs are missing.
pub fn shop() -> Result<&'static Shop, Skip> {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    programs::debian(&["docker-registry", "skopeo", "curl", "zstd", "openssl", "sha256sum"])?;
    Ok(SHOP.get_or_init(Shop::make))
}

impl Shop {
    fn make() -> Self {
        let desk = Desk::new("shop");
        let registries = [Registry::start(&desk, "outside"), Registry::start(&desk, "inside")];
        let [outside, inside] = registries.each_ref().map(|registry| registry.address.clone());
        let wares = wares();
        for ware in &wares {
            push::image(&format!("{outside}/{}", ware.repository), ware.tag, &ware.image);
        }
        let names: Vec<String> = wares.iter().map(|ware| format!("{HOST}/{}\n", ware.name())).collect();
        desk.write("list.txt", &names.concat());
        desk.folder_made("out");
        let unpacked = desk.folder_made("unpacked");
        let shop = Self {
            wares,
            source: format!("{HOST}={outside}"),
            outside,
            inside,
            file: desk.at("out/shop.tar.zst"),
            unpacked: desk.at("unpacked"),
            list: desk.at("list.txt"),
            _registries: registries,
            desk,
        };
        let desk = &shop.desk;
        shop.export(desk, &["-o", &shop.file]).ok();
        desk.run("tar", &["-x", "-C", &unpacked.to_string_lossy()])
            .fed_by(desk.run("zstd", &["-q", "-dc", &shop.file]));
        shop
    }

    pub fn file(&self) -> &Path {
        self.file.as_ref()
    }

    /// `bundle export` of the shop.
    pub fn export(&self, desk: &Desk, arguments: &[&str]) -> Run {
        self.export_from(desk, &self.source, arguments)
    }

    /// The same from elsewhere.
    pub fn export_at(&self, desk: &Desk, registry: &str, arguments: &[&str]) -> Run {
        self.export_from(desk, &format!("{HOST}={registry}"), arguments)
    }

    fn export_from(&self, desk: &Desk, source: &str, arguments: &[&str]) -> Run {
        desk.bundle(&["export", &self.list, "--source", source]).args(arguments)
    }

    /// Every image is at `place`, a registry with or without a prefix, with the digest of the source.
    pub fn arrived(&self, place: &str, look: &Look) {
        for ware in &self.wares {
            assert_eq!(
                look.digest(&format!("{place}/{}", ware.repository), ware.tag),
                ware.digest(),
                "{place}/{}",
                ware.name()
            );
        }
    }

    /// skopeo reads every image there too.
    pub fn arrived_for_skopeo(&self, desk: &Desk, place: &str) {
        for ware in &self.wares {
            let copied = desk.copied_to_a_folder(&[], &format!("docker://{place}/{}", ware.name()));
            assert_eq!(copied, ware.digest(), "{}", ware.name());
        }
    }

    /// A list of all images as they are named at `place`.
    pub fn names_at(&self, place: &str) -> String {
        let names: Vec<String> = self.wares.iter().map(|ware| format!("{place}/{}", ware.name())).collect();
        names.join("\n")
    }

    pub fn ware(&self, repository: &str) -> &Ware {
        self.wares.iter().find(|ware| ware.repository == repository).expect("the shop has it")
    }
}

/// The digests of the images in a bundle, in its order.
pub fn digests_in(desk: &Desk, file: &str) -> Vec<String> {
    inspected(desk, file).into_iter().map(|(_, digest)| digest).collect()
}

/// Names and digests of the images in a bundle.
pub fn inspected(desk: &Desk, file: &str) -> Vec<(String, String)> {
    let ran = desk.bundle(&["inspect", file, "--format", "json"]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let images = inspected["bundle"]["images"].as_array().expect("a bundle has images");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    images.iter().map(|image| (text(&image["name"]), text(&image["digest"]))).collect()
}

fn wares() -> Vec<Ware> {
    let base = |architecture: &str| {
        let release = format!("PRETTY_NAME=\"Shop Linux 12 ({architecture})\"\n");
        Layer::of_files(&[
            ("etc/os-release", release.as_bytes()),
            ("bin/sh", &stuff(600, architecture)),
            ("usr/lib/libc.so.6", &stuff(3000, architecture)),
        ])
    };
    let page = |architecture: &str| {
        let code = format!("srv/www/{architecture}.wasm");
        Layer::of_files(&[(&code, &stuff(1500, &code)), ("srv/www/index.html", b"<h1>shop</h1>\n")])
    };
    let java = Layer::of_files(&[("opt/java/lib/modules", &stuff(9000, "java"))]);
    let app = |name: &str| Layer::of_files(&[(&format!("app/{name}.jar"), &stuff(2000, name))]);
    let common = base("amd64");
    let spec = |seed: u64, name: &str| {
        ImageSpec::new(seed).config(json!({ "Cmd": ["/bin/app"], "Labels": { "name": name } }))
    };
    let server = spec(1, "server").layers([common.clone(), java.clone(), app("server")]).build();
    let worker = spec(2, "worker").docker().layers([common.clone(), java, app("worker")]).build();
    let ui = [("amd64", common), ("arm64", base("arm64"))].map(|(architecture, base)| {
        let spec = spec(3, "ui").platform("linux", architecture).layers([base, page(architecture)]);
        (("linux", architecture), spec.build())
    });
    vec![
        Ware { repository: "shop/server", tag: "2.4.0", image: server },
        Ware { repository: "shop/worker", tag: "2.4.0", image: worker },
        Ware { repository: "shop/ui", tag: "2.4.0", image: index(ui.into(), false) },
        Ware { repository: "tools/wait", tag: "latest", image: tool() },
    ]
}

/// The image whose one layer is not compressed.
pub fn tool() -> TestImage {
    let layer = Layer::of_files(&[("bin/wait", &stuff(400, "wait"))]).unpacked();
    ImageSpec::new(4)
        .config(json!({ "Cmd": ["/bin/app"], "Labels": { "name": "wait" } }))
        .layer(layer)
        .build()
}

/// Bytes that compress about as well as programs do.
fn stuff(kilobytes: usize, name: &str) -> Vec<u8> {
    let seed =
        name.bytes().fold(kilobytes as u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; kilobytes * 384];
    rng.fill(&mut bytes);
    let mut spelt = vec![0; kilobytes * 192];
    rng.fill(&mut spelt);
    bytes.extend(base16ct::lower::encode_string(&spelt).bytes());
    bytes.resize(kilobytes << 10, 0);
    bytes
}
