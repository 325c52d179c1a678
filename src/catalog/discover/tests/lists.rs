//! Lists of images, and what Kustomize makes of images.

use super::{Discovery, brief, discovered, names, read};

#[test]
fn items_of_lists_of_images_name_theirs_in_many_ways() {
    for (text, expected) in [
        ("images: [{name: 'acme/a:1'}]", "docker.io/acme/a:1"),
        ("images: [{source: 'acme/a:1', target: 'r.local/a:1'}]", "docker.io/acme/a:1"),
        ("images: [{from: 'r.io/a:1', to: 'r.local/a:1'}]", "r.io/a:1"),
        ("images: [{ref: 'acme/a:1', name: a}]", "docker.io/acme/a:1"),
        ("images: [{url: 'docker://acme/a:1'}]", "docker.io/acme/a:1"),
        ("extraImages: [{name: 'acme/a:1'}]", "docker.io/acme/a:1"),
        ("image_list: [{name: 'acme/a:1'}]", "docker.io/acme/a:1"),
        ("relatedImages: [{name: a, image: 'acme/a:1'}]", "docker.io/acme/a:1"),
        ("images: [{name: acme/a, tag: 1}]", "docker.io/acme/a:1"),
        ("images: [{name: quay.io/acme/a, tags: ['1']}]", "quay.io/acme/a:1"),
        ("images: {server: 'acme/a:1', pullPolicy: Always, pullSecret: x/y}", "docker.io/acme/a:1"),
        ("images: {registry: r.io, tag: 2, server: acme/a}", "r.io/acme/a:2"),
        ("images: {server: {name: acme/a, tag: 1}}", "docker.io/acme/a:1"),
        ("images: ['acme/a:1']\nblockedImages: [{name: 'acme/b:1'}]", "docker.io/acme/a:1"),
        ("images: [{image: 'acme/a:1', target: 'r.local/a:1'}]", "docker.io/acme/a:1"),
    ] {
        assert_eq!(brief(&discovered(text)), [expected], "{text}");
    }
    assert_eq!(
        brief(&discovered("images: [{name: acme/a}]")),
        ["HIDES docker.io/acme/a has neither tag nor digest here"]
    );
    // Elsewhere a name is a name.
    assert_eq!(brief(&discovered("tools: [{name: acme/a, source: 'acme/b'}]")), Vec::<String>::new());
}

#[test]
fn images_of_kustomizations_are_those_they_are_changed_to() {
    let images = "\
images:
- {name: controller, newName: acme/operator, newTag: v1}
- {name: nginx, newTag: '1.25'}
- {name: postgres, digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}
- {name: redis, newName: r.io/redis}
";
    let expected = [
        "docker.io/acme/operator:v1",
        "docker.io/library/nginx:1.25",
        "docker.io/library/postgres@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "HIDES \"r.io/redis\" gets its tag from the manifests that name \"redis\"",
    ];
    let kustomization = "HIDES a kustomization takes what it deploys from other files and changes it; render it: \
                         kubectl kustomize deploy/prod | bundle catalog discover -";
    let mut found = Discovery::default();
    let text = format!("resources: [../base]\n{images}");
    read(&mut found, "deploy/prod/kustomization.yaml", text.as_bytes()).unwrap();
    let unclear: Vec<String> = found.unclear.iter().map(|one| format!("HIDES {}", one.why)).collect();
    assert_eq!(names(&found), &expected[..3]);
    assert_eq!(unclear, [kustomization, expected[3]]);
    assert_eq!((found.hiding_count, found.unclear[0].place.line), (2, 1));
    let indented = images.replace("images:\n", "").replace("- {", "    - {");
    for text in [
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  images:\n{indented}"
        ),
        format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  postRenderers:\n  - kustomize:\n      images:\n{}",
            indented.replace("    - {", "        - {")
        ),
    ] {
        assert_eq!(brief(&discovered(&text)), expected, "{text}");
    }
    let argo = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {kustomize: {images: ['nginx=r.io/nginx:1', \
                'acme/a:2', 'old=acme/new']}}}\n";
    assert_eq!(
        brief(&discovered(argo)),
        ["docker.io/acme/a:2", "r.io/nginx:1", "HIDES docker.io/acme/new has neither tag nor digest here"]
    );
}
