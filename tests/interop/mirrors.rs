//! What a cluster is configured with: mirrors that lead its runtimes inside, image names for kustomize, and the Job.

use std::path::Path;

use crate::desk::Desk;
use crate::harness::{PASSED, Tested, tests};
use crate::podman::Podman;
use crate::programs;
use crate::runtimes::Containerd;
use crate::shop::{HOST, Shop, shop};

tests![
    mirrors_lead_skopeo_and_podman_inside,
    containerd_pulls_through_its_mirrors,
    kustomize_renames_images,
    kubernetes_manifests_fit_the_schema.on_request(),
];

/// The configuration of `bundle mirrors`, in the folder `mirrors`.
fn mirrors(desk: &Desk, shop: &Shop, runtime: &str, place: &str, more: &[&str]) {
    let run =
        desk.bundle(&["mirrors", &shop.file, "-d", place, "--for", runtime, "-o", "mirrors", "--force"]);
    run.args(more).ok();
}

/// Imports with and without a path and with and without source hosts, writes the configuration, and calls `pull`.
fn each_mapping(desk: &Desk, shop: &Shop, runtime: &str, prefix: &str, mut pull: impl FnMut()) {
    for way in [&[][..], &["--keep-host"]] {
        for place in [format!("{}/{prefix}", shop.inside), format!("{}/{prefix}/deep/er", shop.inside)] {
            let import =
                desk.bundle(&["import", &shop.file, "-d", &place, "--values", "values.yaml", "--force"]);
            import.args(way).ok();
            mirrors(desk, shop, runtime, &place, way);
            pull();
        }
    }
}

/// The source names are pulled from the registry inside.
fn mirrors_lead_skopeo_and_podman_inside(desk: &Desk) -> Tested {
    let shop = shop()?;
    let config = "mirrors/50-bundle.conf";
    each_mapping(desk, shop, "podman", "mirrors", || {
        for ware in &shop.wares {
            let from = format!("docker://{HOST}/{}", ware.name());
            assert_eq!(
                desk.copied_to_a_folder(&["--registries-conf", config], &from),
                ware.digest(),
                "{from}"
            );
        }
    });
    let podman = Podman::here(desk)?;
    let pull = podman.pull(&format!("{HOST}/shop/server:2.4.0"));
    pull.env("CONTAINERS_REGISTRIES_CONF", &desk.at(config)).ok();
    PASSED
}

fn containerd_pulls_through_its_mirrors(desk: &Desk) -> Tested {
    let shop = shop()?;
    let containerd = Containerd::start(desk)?;
    each_mapping(desk, shop, "containerd", "hosts", || {
        let names = shop.names_at(HOST);
        for name in names.lines() {
            let pull = ["images", "pull", "--snapshotter", "native", "--hosts-dir", "mirrors/certs.d", name];
            containerd.ctr(&pull).ok();
        }
        containerd.has(shop);
        for name in names.lines() {
            containerd.ctr(&["images", "rm", name]).ok();
        }
    });
    PASSED
}

fn kustomize_renames_images(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::optional(&["kubectl"])?;
    let place = format!("{}/kustomize", shop.inside);
    mirrors(desk, shop, "kustomize", &place, &["--pin"]);
    desk.folder_made("app");
    std::fs::rename(desk.path("mirrors"), desk.path("app/bundle")).unwrap();
    desk.write("app/kustomization.yaml", "resources: [pods.yaml]\ncomponents: [bundle]\n");
    let pod = |name: String| {
        let plain = name.replace([':', '.', '/'], "-");
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {plain}}}\n\
             spec: {{containers: [{{name: a, image: \"{HOST}/{name}\"}}]}}\n"
        )
    };
    desk.write("app/pods.yaml", &shop.wares.iter().map(|ware| pod(ware.name())).collect::<String>());
    let rendered = desk.line("kubectl kustomize app").ok().stdout;
    for ware in &shop.wares {
        let image = format!("image: {place}/{}@{}", ware.repository, ware.digest());
        assert!(rendered.contains(&image), "no `{image}` in\n{rendered}");
    }
    PASSED
}

/// Checks the Kubernetes manifests against the schema of the API; there is no cluster here.
fn kubernetes_manifests_fit_the_schema(desk: &Desk) -> Tested {
    programs::debian(&["python3"])?;
    let works = |home: &Path| home.join("bin/kubernetes-validate").is_file();
    let packages = ["kubernetes-validate==1.37.0"];
    let home = programs::python("kubernetes-validate-1.37.0", "python3", &packages, works)?;
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kubernetes/job.yaml");
    desk.run(home.join("bin/kubernetes-validate"), &["--strict", &job.to_string_lossy()]).ok();
    PASSED
}
