//! Values for catalogs as charts have them.

use super::*;
use crate::catalog::builtin;
use crate::image::{Digest, media_type};

/// A bundle of `catalog`, every image with a digest made from its name.
fn bundle_of(name: &str, set: &[(&str, &str)]) -> Bundle {
    let set: Vec<_> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let resolved = builtin::get(name).unwrap().resolve(&set).unwrap();
    let entries = resolved.entries.into_iter().map(|entry| EntryRecord {
        chart: entry.chart.unwrap_or_default(),
        component: entry.component.unwrap_or_default(),
        digest_path: entry.digest_path,
        registry_path: entry.registry_path,
        repository_path: entry.repository_path,
        tag_paths: entry.tag_paths,
    });
    let catalog = CatalogRecord {
        entries: entries.collect(),
        name: resolved.name.unwrap_or_default(),
        version: resolved.version.unwrap_or_default(),
        registry_override: resolved.registry_override,
        values: resolved.values.into_iter().collect(),
        per_image_values: resolved.per_image_values.into_iter().collect(),
        variables: resolved.variables,
    };
    let images = resolved.images.into_iter().map(|image| {
        let entries = image.entries.iter().map(|at| u32::try_from(*at).unwrap()).collect();
        row(&image.reference.to_string(), entries)
    });
    bundle(catalog, images.collect())
}

fn row(name: &str, entries: Vec<u32>) -> ImageRow {
    ImageRow {
        artifact_type: None,
        digest: Digest::sha256(name.as_bytes()),
        entries,
        media_type: media_type::OCI_INDEX.into(),
        name: name.parse().unwrap(),
        platforms: Vec::new(),
        size: 0,
        source: name.parse().unwrap(),
    }
}

/// A catalog and its images.
struct Bundle {
    catalog: CatalogRecord,
    images: Vec<ImageRow>,
}

fn bundle(catalog: CatalogRecord, images: Vec<ImageRow>) -> Bundle {
    Bundle { catalog, images }
}

/// A catalog with one row per image: name, registry, repository, tag and digest paths, `-` for none.
fn rows(registry_override: Option<&str>, rows: &[(&str, [&str; 4])]) -> Bundle {
    let path = |text: &str| (text != "-").then(|| text.to_owned());
    let entries = rows.iter().map(|(_, [registry, repository, tag, digest])| EntryRecord {
        chart: "shop".to_owned(),
        component: String::new(),
        digest_path: path(digest),
        registry_path: path(registry),
        repository_path: path(repository),
        tag_paths: path(tag)
            .into_iter()
            .flat_map(|tags| tags.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect(),
    });
    let catalog = CatalogRecord {
        entries: entries.collect(),
        name: "shop".to_owned(),
        registry_override: registry_override.map(str::to_owned),
        ..CatalogRecord::default()
    };
    let images = rows.iter().enumerate().map(|(at, (name, _))| row(name, vec![u32::try_from(at).unwrap()]));
    bundle(catalog, images.collect())
}

/// The file below its first line, which tells by a checksum of the rest that nobody changed it.
fn values(bundle: &Bundle, to: &str, mapping: Mapping, style: ValuesStyle) -> Result<String, ValuesError> {
    let images: Vec<_> = bundle.images.iter().collect();
    let file = helm_values(&bundle.catalog, &images, &to.parse().unwrap(), mapping, style)?;
    assert!(is_as_made(file.as_bytes()), "{file}");
    assert!(!is_as_made(format!("{file}more: true\n").as_bytes()), "{file}");
    Ok(file.split_once('\n').unwrap().1.to_owned())
}

const PLAIN: ValuesStyle = ValuesStyle { per_image: false, pin: false };
const EACH: ValuesStyle = ValuesStyle { per_image: true, pin: false };
const PINNED: ValuesStyle = ValuesStyle { per_image: true, pin: true };
const DROPPED: Mapping = Mapping { keep_host: false, no_synthetic_tags: false };
const KEPT: Mapping = Mapping { keep_host: true, no_synthetic_tags: false };

#[test]
fn one_value_points_the_chart_at_the_registry() {
    let stackstate = bundle_of("stackstate", &[]);
    insta::assert_snapshot!(values(&stackstate, "registry.local:5000/mirror", DROPPED, PLAIN).unwrap(), @r#"
    # Helm values: the images of stackstate 4.1 come from registry.local:5000/mirror.
    global:
      imageRegistry: registry.local:5000/mirror
    stackstate:
      components:
        all:
          image:
            repositorySuffix: ""
    "#);
    // A list has no value paths; the common one is a guess, and no harm.
    let list = bundle(CatalogRecord::default(), vec![row("r.io/a:1", Vec::new())]);
    insta::assert_snapshot!(values(&list, "reg.local", DROPPED, PLAIN).unwrap(), @r"
    # Helm values: the images of this bundle come from reg.local.
    global:
      imageRegistry: reg.local
    ");
    insta::assert_snapshot!(values(&bundle_of("cert-manager", &[]), "reg.local", DROPPED, PLAIN).unwrap(), @r"
    # Helm values: the images of cert-manager 1.21 come from reg.local.
    imageRegistry: reg.local
    ");
}

#[test]
fn every_path_of_the_catalog_is_set_and_shared_ones_once() {
    let stackstate = bundle_of("stackstate", &[]);
    insta::assert_snapshot!("stackstate", values(&stackstate, "reg.local/mirror", DROPPED, EACH).unwrap());
    insta::assert_snapshot!("stackstate_kept", values(&stackstate, "reg.local/mirror", KEPT, EACH).unwrap());
    insta::assert_snapshot!("stackstate_pinned", values(&stackstate, "reg.local", DROPPED, PINNED).unwrap());
    insta::assert_snapshot!(
        "cert_manager_pinned",
        values(&bundle_of("cert-manager", &[]), "reg.local", DROPPED, PINNED).unwrap()
    );
}

#[test]
fn a_suffix_that_is_part_of_every_repository_is_not_appended_again() {
    let suffixed = bundle_of("stackstate", &[("REPOSITORY_SUFFIX", "-stable")]);
    let plain = values(&suffixed, "reg.local", DROPPED, PLAIN).unwrap();
    assert!(plain.contains("repositorySuffix: -stable"), "{plain}");
    let each = values(&suffixed, "reg.local", DROPPED, EACH).unwrap();
    assert!(
        each.contains("repositorySuffix: \"\"") && each.contains("stackstate/stackstate-ui-stable\n"),
        "{each}"
    );
}

#[test]
fn kept_hosts_go_into_the_one_registry_or_each_rows() {
    let one = rows(
        Some("global.registry"),
        &[("r.io/a:1", ["-", "-", "a.tag", "-"]), ("r.io/b:1", ["-", "-", "b.tag", "-"])],
    );
    insta::assert_snapshot!(values(&one, "reg.local", KEPT, PLAIN).unwrap(), @r"
    # Helm values: the images of shop come from reg.local.
    global:
      registry: reg.local/r.io
    ");
    let two = rows(
        Some("global.registry"),
        &[
            ("r.io/a:1", ["all.registry", "a.repo", "-", "-"]),
            ("s.io/b:1", ["all.registry", "b.repo", "-", "-"]),
        ],
    );
    insta::assert_snapshot!(values(&two, "reg.local", KEPT, PLAIN).unwrap(), @r"
    # Helm values: the images of shop come from reg.local.
    a:
      repo: r.io/a
    all:
      registry: reg.local
    b:
      repo: s.io/b
    ");
    let lost = rows(
        Some("global.registry"),
        &[("r.io/a:1", ["-", "-", "a.tag", "-"]), ("s.io/b:1", ["-", "-", "b.tag", "-"])],
    );
    let text = values(&lost, "reg.local", KEPT, PLAIN).unwrap();
    assert!(text.contains("# names keep their source hosts") && !text.contains("registry:"), "{text}");
    let stuck = rows(
        None,
        &[("r.io/a:1", ["all.registry", "-", "-", "-"]), ("s.io/b:1", ["all.registry", "-", "-", "-"])],
    );
    let error = values(&stuck, "reg.local", KEPT, PLAIN).unwrap_err().to_string();
    assert!(
        error.contains("all.registry")
            && error.contains("shop: r.io/a:1")
            && error.contains("shop: s.io/b:1"),
        "{error}"
    );
}

#[test]
fn rows_without_a_place_keep_the_override_and_what_cannot_be_pinned_is_told() {
    let mixed = rows(
        Some("global.registry"),
        &[("r.io/a:1", ["a.registry", "a.repo", "-", "-"]), ("r.io/b:1", ["-", "-", "b.tag", "-"])],
    );
    insta::assert_snapshot!(values(&mixed, "reg.local", DROPPED, PINNED).unwrap(), @r"
    # Helm values: the images of shop come from reg.local.
    # r.io/a:1 is not pinned: no value sets its tag or digest
    a:
      registry: reg.local
      repo: a
    b:
      tag: 1@sha256:9f5390ed572228f49d63cc444f18dad07f3d297a75a605e9ef28c3ad4c4584b3
    global:
      registry: reg.local
    ");
}

#[test]
fn conflicts_are_errors_and_names_that_do_not_fit_are_left_out() {
    let twice = rows(None, &[("r.io/a:1", ["-", "repo", "-", "-"]), ("r.io/b:1", ["-", "repo", "-", "-"])]);
    insta::assert_snapshot!(values(&twice, "reg.local", DROPPED, EACH).unwrap_err(), @r#"
    value path repo would have to be
      "reg.local/a" for shop: r.io/a:1
      "reg.local/b" for shop: r.io/b:1
    "#);
    let nested = rows(None, &[("r.io/a:1", ["-", "a", "a.tag", "-"])]);
    assert!(matches!(values(&nested, "reg.local", DROPPED, EACH), Err(ValuesError::Nested(_))));
    let long = rows(None, &[(&format!("r.io/{}:1", "a".repeat(100)), ["-", "repo", "-", "-"])]);
    let prefix = format!("reg.local/{}", "p".repeat(200));
    let left_out = values(&long, &prefix, DROPPED, PLAIN).unwrap();
    assert!(left_out.contains(&format!("# r.io/{}:1 is left out: ", "a".repeat(100))), "{left_out}");
}

#[test]
fn only_what_is_selected_is_set() {
    let both = rows(
        None,
        &[("r.io/a:1", ["-", "a.repo", "a.tag", "-"]), ("r.io/b:2", ["-", "b.repo", "b.tag", "-"])],
    );
    let only = [&both.images[1]];
    let text = helm_values(&both.catalog, &only, &"reg.local".parse().unwrap(), DROPPED, EACH).unwrap();
    assert!(text.contains("repo: reg.local/b") && !text.contains("reg.local/a"), "{text}");
}

#[test]
fn values_are_texts_whatever_they_look_like() {
    let odd = rows(
        None,
        &[("r.io/a:1.10", ["-", "a.repo", "a.tag", "-"]), ("r.io/b:true", ["-", "b.repo", "b.tag", "-"])],
    );
    let text = values(&odd, "reg.local", DROPPED, EACH).unwrap();
    assert!(text.contains("tag: \"1.10\"") && text.contains("tag: \"true\""), "{text}");
}
