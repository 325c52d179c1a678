//! The JSON Schemas of catalogs and policies accept exactly what the parsers accept.

use std::sync::LazyLock;

use airgap_bundle::catalog::builtin;
use airgap_bundle::policy::{self, Policy, Rule};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The schema, which must itself be one.
fn schema() -> &'static Validator {
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(builtin::SCHEMA).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    &SCHEMA
}

fn errors(schema: &Validator, catalog: &Value) -> Vec<String> {
    schema.iter_errors(catalog).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every key of every object that the schema describes.
fn keys(schema: &Value, path: &str) -> Vec<String> {
    let table = schema.pointer(path).and_then(|table| table["properties"].as_object());
    table.unwrap_or_else(|| panic!("{path} is no table")).keys().cloned().collect()
}

#[test]
fn what_is_shipped_fits_the_schema() {
    let schema = schema();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/catalog");
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            airgap_bundle::catalog::parse(text.as_bytes(), None).unwrap();
            let catalog: Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(errors(schema, &catalog), [""; 0], "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, builtin::names().len() + 1, "every shipped catalog, and the example");
}

#[test]
fn the_example_has_every_key_and_exports() {
    let schema: Value = serde_json::from_str(builtin::SCHEMA).unwrap();
    let example: Value = serde_saphyr::from_str(builtin::EXAMPLE).unwrap();
    for key in keys(&schema, "/$defs/catalog") {
        assert!(example.get(&key).is_some(), "{key}");
    }
    for key in keys(&schema, "/$defs/image") {
        assert!(example["images"].as_array().unwrap().iter().any(|image| image.get(&key).is_some()), "{key}");
    }
    let set = [("MIRROR".to_owned(), "mirror.example.com".to_owned())];
    let resolved =
        airgap_bundle::catalog::parse(builtin::EXAMPLE.as_bytes(), None).unwrap().resolve(&set).unwrap();
    assert_eq!(resolved.images[1].sources[0].to_string(), "mirror.example.com/shop/server:2.4.0");
}

#[test]
fn keys_that_are_none_and_values_of_another_kind_are_refused_by_both() {
    let schema = schema();
    for (catalog, is_fine) in [
        (json!({ "images": ["r.io/a:1"] }), true),
        (json!(["r.io/a:1", { "image": "r.io/b:1", "labels": "x" }]), true),
        (json!({ "version": 4.1, "images": [{ "image": "r.io/a:1", "tag": ["a.b", "c"] }] }), true),
        (json!({ "images": [] }), false),
        (json!({ "name": "x" }), false),
        (json!({ "image": ["r.io/a:1"] }), false),
        (json!({ "images": [{ "image": "r.io/a:1", "tags": "x" }] }), false),
        (json!({ "images": [{ "chart": "x" }] }), false),
        (json!({ "images": [{ "image": "r.io/a:1", "registry": "a..b" }] }), false),
        (json!({ "images": [{ "image": "r.io/$:1" }] }), false),
        (json!({ "images": [{ "image": "r.io/a:1", "archive": "x.tgz", "source": "r.io/b" }] }), false),
        (json!({ "images": [{ "image": "r.io/a:1", "archive": "x.tgz", "source": null }] }), true),
        (json!({ "images": [{ "image": "r.io/a:1", "archive": null, "source": "r.io/b" }] }), true),
        (json!({ "images": ["r.io/a:1"], "variables": { "1X": null } }), false),
        (json!({ "images": ["r.io/a:1"], "variables": { "X": { "secret": "yes" } } }), false),
        (json!("r.io/a:1"), false),
    ] {
        let parsed = airgap_bundle::catalog::parse(
            catalog.to_string().as_bytes(),
            Some(airgap_bundle::catalog::Format::Yaml),
        );
        assert_eq!(
            (parsed.is_ok(), errors(schema, &catalog).is_empty()),
            (is_fine, is_fine),
            "{catalog}: {parsed:?}"
        );
    }
}

/// Values of every kind, most of them wrong for most keys.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("a")),
        Just(json!("a.b-c")),
        Just(json!("r.io/x:1")),
        Just(json!("r.io/$V:1")),
        Just(json!("${V}")),
        Just(json!("$")),
        Just(json!("")),
        // A fine reference, and no path of a value.
        Just(json!("a/b")),
        Just(json!("a\u{7}")),
        Just(json!(true)),
        Just(json!(5)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        2 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({})),
    ]
}

fn table(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(keys), value(), 0..5).prop_map(|map| {
        map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    })
}

fn entry() -> impl Strategy<Value = Value> {
    let keys = &[
        "chart",
        "component",
        "source",
        "archive",
        "registry",
        "repository",
        "tag",
        "digest",
        "note",
        "labels",
        "other",
    ];
    let with_image = (table(keys), value()).prop_map(|(mut entry, image)| {
        entry["image"] = image;
        entry
    });
    prop_oneof![4 => with_image, 1 => table(keys), 2 => scalar()]
}

fn catalog() -> impl Strategy<Value = Value> {
    let keys = &["name", "version", "registryOverride", "values", "perImageValues", "other"];
    (table(keys), prop::collection::vec(entry(), 0..3), value()).prop_map(|(mut catalog, images, default)| {
        catalog["images"] = images.into();
        catalog["variables"] = json!({ "V": { "default": default } });
        catalog
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn parser_and_schema_agree(catalog in catalog()) {
        let schema = schema();
        let parsed = airgap_bundle::catalog::parse(catalog.to_string().as_bytes(), Some(airgap_bundle::catalog::Format::Yaml));
        let errors = errors(schema, &catalog);
        prop_assert_eq!(parsed.is_ok(), errors.is_empty(), "{}\n{:?}\n{:?}", catalog, parsed.err(), errors);
    }
}

/// The schema of policies.
fn policies() -> &'static Validator {
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(policy::SCHEMA).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
    });
    &SCHEMA
}

#[test]
fn the_schema_of_policies_knows_every_rule() {
    let schema: Value = serde_json::from_str(policy::SCHEMA).unwrap();
    let mut rules: Vec<String> = Rule::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(schema["$defs"]["waiver"]["properties"]["rule"]["enum"], json!(rules));
    rules.push("waive".to_owned());
    rules.sort();
    assert_eq!(keys(&schema, ""), rules);
}

fn policy_scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(true),
        json!(false),
        json!(4711),
        json!("5MB"),
        json!("0"),
        json!("5 MB"),
        json!("1.5G"),
        json!("0.0G"),
        json!("0.001KiB"),
        json!("1.5"),
        json!("1.2345k"),
        json!("20m"),
        json!("quay.io"),
        json!("quay.io/a/*"),
        json!("quay.io//a"),
        json!("Quay.io/a"),
        json!("quay.io/a:1"),
        json!("library/*"),
        json!("localhost/a:*"),
        json!("*/a"),
        json!("noRoot"),
        json!("maxBundleSize"),
        json!("2026-11-25"),
        json!("2026-02-30"),
        json!("2026-11"),
        json!(" "),
        json!(""),
    ])
}

fn policy_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => policy_scalar(),
        2 => prop::collection::vec(policy_scalar(), 0..2).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({})),
    ]
}

fn waiver() -> impl Strategy<Value = Value> {
    let rule = prop::sample::select(vec!["noRoot", "sbom", "maxBundleSize", "noroot"]);
    let others = prop::collection::btree_map(
        prop::sample::select(vec!["image", "reason", "until", "note"]),
        policy_value(),
        0..4,
    );
    (rule, others, any::<bool>()).prop_map(|(rule, others, has_rule)| {
        let mut waiver = json!({ "image": "quay.io/*", "reason": "x" });
        if has_rule {
            waiver["rule"] = json!(rule);
        }
        for (key, value) in others {
            waiver[key] = value;
        }
        if rule == "maxBundleSize" && waiver["image"] == json!("quay.io/*") {
            waiver.as_object_mut().unwrap().remove("image");
        }
        waiver
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let keys = ["sources", "pinned", "signature", "sbom", "noRoot", "maxImageSize", "maxBundleSize", "other"];
    let rules = prop::collection::btree_map(prop::sample::select(keys.to_vec()), policy_value(), 0..3);
    (rules, prop::option::of(prop::collection::vec(waiver(), 0..2)), any::<bool>()).prop_map(
        |(rules, waivers, is_in_force)| {
            let mut policy = if is_in_force { json!({ "pinned": true }) } else { json!({}) };
            for (key, value) in rules {
                policy[key] = value;
            }
            if let Some(waivers) = waivers {
                policy["waive"] = waivers.into();
            }
            policy
        },
    )
}

/// YAML takes `reason: 4711` for a number: the number of a ticket is a reason.
#[test]
fn any_scalar_is_a_reason() {
    for reason in [json!(4711), json!(1.5), json!(true), json!("why")] {
        let policy = json!({ "noRoot": true, "waive": [{ "image": "quay.io/*", "rule": "noRoot", "reason": reason }] });
        assert!(Policy::parse(policy.to_string().as_bytes()).is_ok(), "{policy}");
        assert_eq!(errors(policies(), &policy), Vec::<String>::new(), "{policy}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn policies_are_read_as_their_schema_says(policy in policy()) {
        let parsed = Policy::parse(policy.to_string().as_bytes());
        let errors = errors(policies(), &policy);
        prop_assert_eq!(parsed.is_ok(), errors.is_empty(), "{}\n{:?}\n{:?}", policy, parsed.err(), errors);
    }
}
