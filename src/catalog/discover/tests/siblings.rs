//! Names and tags that stand beside each other, and images without blanks between them.

use super::{brief, discovered};

fn pod(container: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: r.io/c:1\n{container}"
    );
    brief(&discovered(&text)).into_iter().filter(|line| line != "r.io/c:1").collect()
}

fn env(variables: &[(&str, &str)]) -> Vec<String> {
    let one = |(name, value): &(&str, &str)| format!("    - {{name: {name}, value: '{value}'}}\n");
    pod(&format!("    env:\n{}", variables.iter().map(one).collect::<String>()))
}

fn args(arguments: &[&str]) -> Vec<String> {
    let one = |argument: &&str| format!("    - '{argument}'\n");
    pod(&format!("    args:\n{}", arguments.iter().map(one).collect::<String>()))
}

fn config(data: &str) -> Vec<String> {
    brief(&discovered(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n{data}")))
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn name_and_version_in_variables_are_one_image() {
    let worker = ["docker.io/acme/worker:v2"];
    assert_eq!(env(&[("WORKER_IMAGE", "acme/worker"), ("WORKER_IMAGE_TAG", "v2")]), worker);
    assert_eq!(env(&[("WORKER_IMAGE_VERSION", "v2"), ("WORKER_IMAGE", "acme/worker")]), worker);
    assert_eq!(env(&[("WORKER_IMAGE", "acme/worker"), ("WORKER_VERSION", "v2")]), worker);
    assert_eq!(env(&[("WORKER_IMAGE_NAME", "acme/worker"), ("WORKER_TAG", "v2")]), worker);
    assert_eq!(
        env(&[("WORKER_IMAGE", "acme/worker:v2"), ("WORKER_IMAGE_REGISTRY", "r.io")]),
        ["r.io/acme/worker:v2"]
    );
    assert_eq!(
        env(&[("WORKER_IMAGE", "acme/worker"), ("WORKER_IMAGE_DIGEST", DIGEST)]),
        [format!("docker.io/acme/worker@{DIGEST}")]
    );
    assert_eq!(
        env(&[("IMAGE_REGISTRY", "r.io"), ("IMAGE_TAG", "9"), ("A_IMAGE", "x/a"), ("B_IMAGE", "x/b")]),
        ["r.io/x/a:9", "r.io/x/b:9"]
    );
    assert_eq!(
        config("  WORKER_IMAGE: acme/worker\n  WORKER_IMAGE_TAG: v2\n  worker.image.pull: Always\n"),
        worker
    );
    assert_eq!(config("  env: |\n    export WORKER_IMAGE=acme/worker\n    WORKER_IMAGE_TAG=v2\n"), worker);
    assert_eq!(
        config("  app.properties: |\n    worker.image=acme/worker\n    # c\n    worker.image.tag=v2\n"),
        worker
    );
    // A repository and a tag of something else.
    assert_eq!(env(&[("GIT_REPOSITORY", "org/repo"), ("GIT_TAG", "v1")]), Vec::<String>::new());
    assert_eq!(
        env(&[("IMAGE", "acme/x"), ("VERSION", "2")]),
        ["? \"acme/x\" has neither tag nor digest here, and VERSION \"2\" may belong to something else",]
    );
}

#[test]
fn variables_in_variables_are_filled_in_as_kubernetes_does() {
    let container = "    env:
    - {name: REGISTRY, value: r.io}
    - {name: TOOL_IMAGE, value: $(REGISTRY)/tool:1}
    - {name: LATER_IMAGE, value: $(NEXT)/later:1}
    - {name: NEXT, value: r.io}
    args: [--sidecar-image=$(REGISTRY)/sidecar:2, $(TOOL_IMAGE), --other-image, $(UNKNOWN)]
";
    assert_eq!(
        pod(container),
        [
            "r.io/sidecar:2",
            "r.io/tool:1",
            "? \"$(NEXT)/later:1\" is built from a variable",
            "? \"$(UNKNOWN)\" is built from a variable",
        ]
    );
    // Each twice as long as the one before it.
    let many = (1..64).fold(String::new(), |text, n| {
        format!(
            "{text}    - {{name: V{n}, value: $(V{})$(V{})}}
",
            n - 1,
            n - 1
        )
    });
    assert_eq!(pod(&format!("    env:\n    - {{name: V0, value: x}}\n{many}")), Vec::<String>::new());
}

#[test]
fn name_and_version_in_flags_are_one_image() {
    let worker = ["docker.io/acme/worker:v2"];
    assert_eq!(args(&["--worker-image", "acme/worker", "--worker-image-tag", "v2"]), worker);
    assert_eq!(args(&["--worker-image=acme/worker", "--worker-image-tag=v2", "--x"]), worker);
    assert_eq!(args(&["-Dworker.image=acme/worker", "-Dworker.image.tag=v2"]), worker);
    assert_eq!(args(&["--set", "worker.image.repository=acme/worker,worker.image.tag=v2"]), worker);
    assert_eq!(args(&["--set", "image.repository=acme/worker", "--set", "image.tag=v2"]), worker);
    assert_eq!(args(&["-c", "run --worker-image acme/worker --worker-image-tag v2"]), worker);
    assert_eq!(
        config("  run: |\n    run \\\n      --worker-image acme/worker \\\n      --worker-image-tag=v2\n"),
        worker
    );
    // Which tag belongs to which name is not clear.
    assert_eq!(
        args(&["--image", "x/a", "--tag", "1", "--image", "x/b", "--tag", "2"]),
        [
            "? docker.io/x/a has neither tag nor digest here",
            "? docker.io/x/b has neither tag nor digest here"
        ]
    );
}

#[test]
fn several_images_without_blanks_are_all_found() {
    assert_eq!(
        env(&[("PRELOAD", "quay.io/acme/a:1,quay.io/acme/b:2")]),
        ["quay.io/acme/a:1", "quay.io/acme/b:2"]
    );
    assert_eq!(
        env(&[("IMAGES", "acme/a:1;acme/b:2|c")]),
        ["docker.io/acme/a:1", "docker.io/acme/b:2", "? docker.io/library/c has neither tag nor digest here"]
    );
    assert_eq!(
        env(&[("RUNTIMES", "java=quay.io/acme/j:11;node=quay.io/acme/n:20")]),
        ["quay.io/acme/j:11", "quay.io/acme/n:20"]
    );
    assert_eq!(env(&[("JAVA_OPTS", "-Dsidecar.image=acme/s:1")]), ["docker.io/acme/s:1"]);
    assert_eq!(args(&["-Dsidecar.image=acme/s:1"]), ["docker.io/acme/s:1"]);
    assert_eq!(args(&["--java-opts=-Dsidecar.image=acme/s:1"]), ["docker.io/acme/s:1"]);
    assert_eq!(args(&["--images=acme/a:1,acme/b:2"]), ["docker.io/acme/a:1", "docker.io/acme/b:2"]);
    assert_eq!(args(&["--map=quay.io/a/b:1=r.io/c:2"]), ["quay.io/a/b:1", "r.io/c:2"]);
    assert_eq!(
        config("  preload: quay.io/acme/a:1,quay.io/acme/b:2\n"),
        ["quay.io/acme/a:1", "quay.io/acme/b:2"]
    );
    assert_eq!(env(&[("HOSTS", "kafka:9092,zookeeper:2181"), ("OPTS", "a=1;b=2")]), Vec::<String>::new());
}

#[test]
fn dotted_paths_and_named_values_are_values() {
    let text = "\
apiVersion: helm.cattle.io/v1
kind: HelmChart
spec: {set: {image.repository: acme/a, image.tag: '1', global.imageRegistry: r.io, server.image.repository: acme/s, server.image.tag: '2'}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
spec:
  source:
    helm:
      parameters:
      - {name: image.repository, value: acme/b}
      - {name: image.tag, value: '3', forceString: true}
      - {name: sidecar.image, value: 'acme/sidecar:4'}
      - {name: agent.image, value: acme/agent}
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Patch
patch: |
  - {op: replace, path: /spec/template/spec/containers/0/image, value: 'nginx:1'}
---
apiVersion: image.openshift.io/v1
kind: ImageStream
spec: {tags: [{name: '1', from: {kind: DockerImage, name: 'centos/postgresql:12'}}]}
";
    assert_eq!(
        brief(&discovered(text)),
        [
            "docker.io/acme/b:3",
            "docker.io/acme/sidecar:4",
            "docker.io/centos/postgresql:12",
            "docker.io/library/nginx:1",
            "r.io/acme/a:1",
            "r.io/acme/s:2",
            "HIDES docker.io/acme/agent has neither tag nor digest here",
        ]
    );
}
