//! Names without a version, templates and variables: what is pulled as it is named, and what is only unclear.

use super::{brief, discovered};

#[test]
fn a_name_without_a_version_is_no_latest_where_a_program_may_complete_it() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: {sidecar.example.com/image: org/annotated}}
spec:
  containers:
  - name: c
    image: org/certain
    args: [--reloader-image, org/flag, --proxy-image=org/proxy]
    env:
    - {name: WORKER_IMAGE, value: org/worker}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {image: org/plain, script: 'run --image=org/script now'}
";
    assert_eq!(
        brief(&discovered(text)),
        [
            "docker.io/org/certain:latest",
            "? docker.io/org/annotated has neither tag nor digest here",
            "? docker.io/org/flag has neither tag nor digest here",
            "? docker.io/org/proxy has neither tag nor digest here",
            "? docker.io/org/worker has neither tag nor digest here",
            "? docker.io/org/plain has neither tag nor digest here",
            "? docker.io/org/script has neither tag nor digest here",
        ]
    );
}

#[test]
fn a_name_without_a_version_in_values_hides_an_image() {
    for text in [
        "agent: {image: sidecar}\n",
        "agentImage: acme/agent\n",
        "apiVersion: x.io/v1\nkind: Agent\nspec: {image: acme/agent}\n",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  values.yaml: |\n    agent:\n      image: acme/agent\n",
    ] {
        let found = discovered(text);
        assert_eq!((found.images.len(), found.hiding_count), (0, 1), "{text}: {:?}", brief(&found));
    }
}

#[test]
fn containers_of_any_kind_are_pulled_as_they_are_named() {
    let text = "\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
spec: {template: {spec: {containers: [{name: a, image: acme/rollout}]}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
  - {name: a, container: {image: alpine}}
  - {name: b, script: {image: python, source: print()}}
  - {name: c, container: {image: '{{inputs.parameters.image}}'}}
---
apiVersion: tekton.dev/v1
kind: Task
spec: {steps: [{name: s, image: golang}]}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
spec: {volumes: [{containerDisk: {image: quay.io/containerdisks/fedora}}]}
---
apiVersion: v1
kind: PersistentVolume
spec: {rbd: {image: disk, pool: p}}
---
extraContainers: [{name: x, image: busybox}]
---
services:
  db: {image: '${DB_IMAGE:-postgres:16}'}
  cache: {image: redis}
  web: {build: {context: ., args: {BASE_IMAGE: 'golang:1.22'}}, image: acme/web}
  app: {image: 'acme/app:${TAG}'}
";
    assert_eq!(
        brief(&discovered(text)),
        [
            "docker.io/acme/rollout:latest",
            "docker.io/library/alpine:latest",
            "docker.io/library/busybox:latest",
            "docker.io/library/golang:latest",
            "docker.io/library/postgres:16",
            "docker.io/library/python:latest",
            "docker.io/library/redis:latest",
            "quay.io/containerdisks/fedora:latest",
            "HIDES \"{{inputs.parameters.image}}\" is a template that was not rendered",
            "HIDES it is built from source, so its image is only in the registry that it is pushed to",
            "HIDES \"acme/app:${TAG}\" is built from a variable",
        ]
    );
}

#[test]
fn a_template_under_the_key_image_hides_an_image_wherever_it_stands() {
    for text in [
        "apiVersion: x.io/v1\nkind: Agent\nspec: {image: '{{ .Values.image }}'}\n",
        "apiVersion: x.io/v1\nkind: Agent\nspec: {image: '$(IMAGE)'}\n",
        "image: ${IMAGE}\n",
        "apiVersion: v1\nkind: ConfigMap\ndata: {image: '{{ .Values.image }}'}\n",
    ] {
        assert_eq!(discovered(text).hiding_count, 1, "{text}");
    }
    // Other keys only sound like it.
    let found = discovered("apiVersion: v1\nkind: ConfigMap\ndata: {sidecarImage: '{{ .Values.image }}'}\n");
    assert_eq!((found.unclear_count, found.hiding_count), (1, 0));
}

#[test]
fn pictures_queries_and_alerts_make_no_noise() {
    let text = "\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
spec:
  groups:
  - rules:
    - alert: Old
      expr: sum(kube_pod_container_info{image=\"nginx:1.2\"}) by (image)
      annotations: {summary: 'Image {{ $labels.image }} is old', image: '{{ $labels.image }}'}
---
apiVersion: console.openshift.io/v1
kind: ConsoleQuickStart
spec: {image: assets/banner.png, logoImage: /logo.svg}
---
apiVersion: v1
kind: ConfigMap
data:
  dashboard.json: '{\"panels\": [{\"query\": \"count(x{image!=\\\"\\\", image=~\\\"quay.io/a:.*\\\"}) by (image)\"}]}'
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
spec: {rules: [{validate: {pattern: {spec: {containers: [{image: '!*:latest'}]}}}}]}
---
apiVersion: image.toolkit.fluxcd.io/v1beta2
kind: ImageRepository
spec: {image: ghcr.io/acme/app}
";
    assert_eq!(brief(&discovered(text)), Vec::<String>::new());
}
