//! Helm: charts through the gap, and charts rendered with the values of an import.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::desk::{Desk, Run, assert_same};
use crate::harness::{PASSED, Skip, Tested, tests};
use crate::programs::{copy_writable, go_module, go_program};
use crate::push;
use crate::registries::Served;
use crate::shop::{Shop, shop};
use crate::support::images::image;

tests![
    helm_pulls_charts.on_request(),
    helm_loop_is_closed.on_request(),
    helm_loop_is_closed_for_cert_manager.on_request(),
];

/// Helm without the user's configuration.
struct Helm<'a> {
    desk: &'a Desk,
    program: PathBuf,
}

impl<'a> Helm<'a> {
    fn here(desk: &'a Desk) -> Result<Self, Skip> {
        Ok(Self { desk, program: go_program("helm", "helm.sh/helm/v3/cmd/helm@v3.19.0")? })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let home = self.desk.at("helm");
        let homes = ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"];
        homes.iter().fold(self.desk.run(&self.program, arguments), |run, name| run.env(name, &home))
    }

    /// `rendered.yaml` of a chart.
    fn render(&self, name: &str, chart: &str, more: &[&str]) {
        self.run(&["template", name, chart]).args(more).into_file(&self.desk.path("rendered.yaml"));
    }
}

/// Charts from a registry and from this machine, through the gap, and out of it by Helm.
fn helm_pulls_charts(desk: &Desk) -> Tested {
    let shop = shop()?;
    let helm = Helm::here(desk)?;
    let charts = format!("oci://{}/charts", shop.outside);
    helm.run(&["create", "shop"]).ok();
    helm.run(&["package", "shop", "--version", "0.1.0+build.5"]).ok();
    helm.run(&["push", "shop-0.1.0+build.5.tgz", &charts, "--plain-http"]).ok();
    helm.run(&["package", "shop", "--version", "0.2.0"]).ok();
    let add = ["--add", &format!("{charts}/shop:0.1.0+build.5"), "--add", "shop-0.2.0.tgz"];
    shop.export(desk, &["-o", "charts.tar.zst"]).args(&add).ok();
    let inside = format!("{}/helm", shop.inside);
    desk.bundle(&["import", "charts.tar.zst", "-d", &inside]).ok();
    let served = Served::start(desk, "file", &["charts.tar.zst"]);
    desk.folder_made("pulled");
    for version in ["0.1.0+build.5", "0.2.0"] {
        let chart = format!("oci://{inside}/charts/shop");
        helm.run(&["pull", &chart, "--version", version, "--plain-http", "-d", "pulled"]).ok();
        let file = format!("shop-{version}.tgz");
        assert_same(&desk.path("pulled").join(&file), &desk.path(&file));
        helm.render(
            "t",
            &format!("oci://{}/charts/shop", served.address),
            &["--version", version, "--plain-http"],
        );
        let rendered = desk.read("rendered.yaml");
        assert!(rendered.lines().any(|line| line.starts_with("kind: Deployment")), "{rendered}");
    }
    PASSED
}

/// Stores an image of its own for every name of a catalog, in the registry outside below `catalogs`.
fn push_catalog(desk: &Desk, shop: &Shop, catalog: &str, version: &str) {
    let shown = desk.bundle(&["catalog", "show", catalog, "--format", "json"]).ok().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let images = shown["images"].as_array().expect("a catalog has images").iter();
    let names: BTreeSet<String> = images
        .map(|image| image["image"].as_str().expect("an image has a name").replace("$VERSION", version))
        .collect();
    assert!(!names.is_empty());
    for (seed, name) in (1000..).zip(&names) {
        let (_, name) = name.split_once('/').expect("a name has a host");
        let (repository, tag) = name.rsplit_once(':').expect("a name has a tag");
        push::image(&format!("{}/catalogs/{repository}", shop.outside), tag, &image(seed));
    }
}

fn stackstate() -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts/stackstate");
    chart.to_str().expect("a plain path").to_owned()
}

/// The loop: a chart with the value paths of `StackState`'s is rendered by Helm with the values of an import, and
/// everything it names then is in the bundle, and in the registry at the right digest.
fn helm_loop_is_closed(desk: &Desk) -> Tested {
    let shop = shop()?;
    let helm = Helm::here(desk)?;
    let chart = stackstate();
    push_catalog(desk, shop, "stackstate@4.1", "sts-v4.1.4");
    let export = desk.bundle(&["export", "stackstate@4.1", "-o", "s.tar.zst"]);
    let sources =
        ["quay.io", "docker.io", "docker.elastic.co"].map(|host| format!("{host}={}/catalogs", shop.outside));
    sources.iter().fold(export, |run, source| run.args(&["--source", source])).ok();
    let verify = ["verify", "s.tar.zst", "--manifests"];
    let places = [format!("{}/loop", shop.inside), format!("{}/loop/a/b", shop.inside)];
    for mapping in [&[][..], &["--keep-host"]] {
        for place in &places {
            for style in [&[][..], &["--per-image"], &["--per-image", "--pin"], &["--pin"]] {
                let import =
                    desk.bundle(&["import", "s.tar.zst", "-d", place, "--values", "values.yaml", "--force"]);
                import.args(mapping).args(style).ok();
                helm.render("s", &chart, &["--values", "values.yaml"]);
                let rendered = desk.path("rendered.yaml");
                let strict = desk.bundle(&verify).args(&["-", "-d", place, "--strict"]).args(mapping);
                strict.fed_from(&rendered).ok();
                desk.bundle(&verify).args(&["rendered.yaml", "--names-only"]).args(mapping).ok();
                if style.contains(&"--pin") {
                    let rendered = desk.read("rendered.yaml");
                    let is_pinned = |line: &&str| {
                        line.split_once("image: ").is_some_and(|(_, image)| image.contains("@sha256:"))
                    };
                    assert_eq!(rendered.lines().filter(is_pinned).count(), 28, "{rendered}");
                }
            }
        }
    }
    // Without the values, or with a tag that is not in the bundle, the check fails.
    let names_only = ["rendered.yaml", "--names-only"];
    helm.render("s", &chart, &[]);
    desk.bundle(&verify).args(&names_only).ends(3);
    helm.render("s", &chart, &["--values", "values.yaml", "--set", "zookeeper.image.tag=3.7.0"]);
    desk.bundle(&verify).args(&names_only).args(&["-d", &places[1], "--keep-host"]).ends(3);
    // `catalog discover` finds the images of the catalog in the chart. The catalog omits the suffix.
    let folder = helm.program.parent().expect("a program is in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let discover =
        desk.bundle(&["catalog", "discover", "--chart", &chart, "--diff", "stackstate@4.1", "--exit-code"]);
    let suffix = "--helm-arg=--set=stackstate.components.all.image.repositorySuffix=";
    discover.args(&[suffix]).env("PATH", &path).ok();
    PASSED
}

/// The same with a chart as it is published: cert-manager's, out of its Go module.
fn helm_loop_is_closed_for_cert_manager(desk: &Desk) -> Tested {
    let shop = shop()?;
    let helm = Helm::here(desk)?;
    let module = go_module("github.com/cert-manager/cert-manager@v1.21.2")?;
    let place = format!("{}/cert/manager", shop.inside);
    push_catalog(desk, shop, "cert-manager@1.21", "v1.21.2");
    let source = format!("quay.io={}/catalogs", shop.outside);
    desk.bundle(&["export", "cert-manager", "-o", "c.tar.zst", "--source", &source]).ok();
    copy_writable(&module.join("deploy/charts/cert-manager"), &desk.path("chart"));
    // The release process of cert-manager replaces the placeholder for the version.
    let chart = desk.read("chart/Chart.yaml");
    let released = |line: &str| {
        if line.starts_with("appVersion: ") {
            "appVersion: v1.21.2\n".to_owned()
        } else {
            format!("{line}\n")
        }
    };
    desk.write("chart/Chart.yaml", &chart.lines().map(released).collect::<String>());
    for style in [&[][..], &["--per-image"], &["--per-image", "--pin"]] {
        let import =
            desk.bundle(&["import", "c.tar.zst", "-d", &place, "--values", "values.yaml", "--force"]);
        import.args(style).ok();
        helm.render("c", "./chart", &["--kube-version", "1.30", "--values", "values.yaml"]);
        // The solver's image is only named in an argument; such probable images count too.
        desk.bundle(&["verify", "c.tar.zst", "--manifests", "rendered.yaml", "-d", &place, "--strict"]).ok();
    }
    PASSED
}
