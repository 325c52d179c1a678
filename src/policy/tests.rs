use super::*;
use crate::facts::RunsAs;
use crate::image::Digest;

const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 25);

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap()
}

fn image(source: &str, runs_as: &[(&str, RunsAs)]) -> ImageFacts {
    ImageFacts {
        name: "r.io/a/app:1".parse().unwrap(),
        source: source.parse().unwrap(),
        unpinned: None,
        size: 2_000_000,
        signature: true,
        sbom: true,
        runs_as: runs_as.iter().map(|(platform, user)| ((*platform).to_owned(), user.clone())).collect(),
        beside: Vec::new(),
    }
}

fn found(text: &str, image: ImageFacts) -> Vec<String> {
    let facts = Facts { images: vec![image], size: 3_000_000 };
    policy(text).findings(&facts, TODAY).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_no_policy_is_refused_with_its_line() {
    for (text, line, why) in [
        ("", 0, "it has no rule"),
        ("# nothing\n", 0, "it has no rule"),
        ("pinned: false\nsbom: false\n", 0, "it has no rule"),
        ("pinned: true\nnoroot: true\n", 2, "unknown field `noroot`"),
        ("sbom: true\nsbom: false\n", 2, "sbom"),
        ("noRoot: yes\n", 1, "bool"),
        ("pinned: true\nsources: []\n", 2, "sources is empty"),
        ("sources:\n- quay.io\n- library/*\n", 3, "\"library/*\": it has to begin with a registry"),
        ("sources:\n- https://quay.io/a\n", 2, "write a registry and a repository"),
        ("sources:\n- quay.io/a:1\n", 2, "it has a tag or digest"),
        ("sources:\n- Quay.io\n", 2, "names are lowercase"),
        ("sources:\n- quay.io/\n", 2, "there is nothing after the registry"),
        ("sources: quay.io\n", 1, "sequence"),
        ("maxImageSize: 2 XB\n", 1, "\"2 XB\": write a size"),
        ("pinned: true\nmaxBundleSize: 0\n", 2, "\"0\": write a size"),
        ("waive: [{rule: noRoot, image: r.io/a, reason: x}]\n", 0, "it has no rule"),
        ("noRoot: true\nwaive:\n- rule: noroot\n", 3, ""),
        (
            "noRoot: true\nwaive:\n- image: r.io/a/*\n  rule: noroot\n  reason: x\n",
            4,
            "\"noroot\": this is not a rule; the rules are sources, pinned, signature, sbom, noRoot, maxImageSize",
        ),
        ("noRoot: true\nwaive:\n- rule: noRoot\n  reason: x\n", 3, "name the image"),
        ("noRoot: true\nwaive:\n- {rule: maxBundleSize, image: r.io/a, reason: x}\n", 3, "leave image out"),
        ("noRoot: true\nwaive:\n- {rule: noRoot, image: r.io/a}\n", 3, "missing field `reason`"),
        ("noRoot: true\nwaive:\n- {rule: noRoot, image: r.io/a, reason: ' '}\n", 3, "give a reason"),
        ("noRoot: true\nwaive:\n- {rule: noRoot, image: app, reason: x}\n", 3, "write the full name"),
        ("noRoot: true\nwaive:\n- {rule: noRoot, image: team/app, reason: x}\n", 3, "write the full name"),
        (
            "noRoot: true\nwaive:\n- {rule: noRoot, image: r.io/a, reason: x, until: soon}\n",
            3,
            "write a date",
        ),
        (
            "noRoot: true\nwaive:\n- {rule: noRoot, image: r.io/a, reason: x, until: 2026-02-30}\n",
            3,
            "write a date",
        ),
        ("noRoot: true\nwaive:\n- {rule: noRoot, image: r.io/a, reason: x, til: 2026-02-03}\n", 3, "til"),
        ("- pinned\n", 1, ""),
        ("pinned: [\n", 0, ""),
    ] {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert!(error.why.contains(why) && (line == 0 || error.line == line), "{text:?}: {error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(Policy::parse(&[0xff]).is_err());
    let deep = "[".repeat(100_000);
    assert!(Policy::parse(format!("sources: {deep}").as_bytes()).is_err());
    assert_eq!(policy("{\"pinned\": true}"), policy("pinned: true\nsources: null\n"));
}

#[test]
fn a_star_in_the_registry_does_not_reach_into_the_path() {
    for (pattern, source, allowed) in [
        ("quay.io", "quay.io/a/b:1", true),
        ("quay.io", "quay.io.evil.org/a/b:1", false),
        ("quay.io/a/*", "quay.io/a/b/c:1", true),
        ("quay.io/a/*", "quay.io/ab/c:1", false),
        ("docker.io/library/*", "nginx:1", true),
        ("docker.io/library/nginx", "nginx:1", true),
        ("docker.io/library/nginx", "nginx-evil:1", false),
        ("*.example.com", "a.example.com/x:1", true),
        ("*.example.com", "evil.org/x.example.com:1", false),
        ("*.example.com/x", "evil.org/a.example.com/x:1", false),
        ("localhost:5000", "localhost:5000/x:1", true),
        ("localhost:5000", "localhost:5001/x:1", false),
        ("*", "quay.io/a:1", true),
    ] {
        let findings = found(&format!("sources: ['{pattern}']"), image(source, &[]));
        assert_eq!(findings.is_empty(), allowed, "{pattern} {source}: {findings:?}");
    }
}

#[test]
fn each_rule_finds_what_is_against_it_and_nothing_else() {
    let user = || RunsAs::User("1000".to_owned());
    let fine = || image("r.io/a/app:1", &[("linux/amd64", user())]);
    let everything =
        "sources: [r.io]\nsignature: true\nsbom: true\nnoRoot: true\nmaxImageSize: 2MB\nmaxBundleSize: 3MB\n";
    assert_eq!(found(everything, fine()), [""; 0]);
    let none = ImageFacts { signature: false, sbom: false, size: 2_000_001, ..fine() };
    assert_eq!(
        found(everything, none),
        [
            "signature: r.io/a/app:1 comes without a signature",
            "sbom: r.io/a/app:1 comes without an SBOM",
            "maxImageSize: r.io/a/app:1 has 2.00 MB, and 2.00 MB is allowed",
        ]
    );
    assert_eq!(
        found("maxBundleSize: 2999999", fine()),
        ["maxBundleSize: the bundle has 3.00 MB, and 3.00 MB is allowed"]
    );
    assert_eq!(found("pinned: true", fine()), [""; 0]);
    let unpinned = ImageFacts { unpinned: Some("is named without its digest".to_owned()), ..fine() };
    assert_eq!(found("pinned: true", unpinned), ["pinned: r.io/a/app:1 is named without its digest"]);
}

#[test]
fn one_platform_that_may_run_as_root_is_enough() {
    let user = || RunsAs::User("1000".to_owned());
    let root = |user: &str| RunsAs::Root(user.to_owned());
    for (runs_as, found_in) in [
        (vec![], None),
        (vec![("linux/amd64", user()), ("linux/arm64", user())], None),
        (
            vec![("linux/amd64", root("")), ("linux/s390x", user()), ("linux/arm64", root(""))],
            Some("runs as root, since it names no user [linux/amd64, linux/arm64]"),
        ),
        (
            vec![
                ("linux/amd64", root("0\n")),
                ("linux/arm64", RunsAs::Unknown("its config cannot be read".to_owned())),
            ],
            Some(
                "runs as root (\"0\\n\") [linux/amd64]; may run as root: its config cannot be read [linux/arm64]",
            ),
        ),
        (vec![("", root("root"))], Some("runs as root (\"root\")")),
    ] {
        let expected = found_in.map(|why| format!("noRoot: r.io/a/app:1 {why}"));
        let findings = found("noRoot: true", image("r.io/a/app:1", &runs_as));
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
    }
    // What stands beside the image is named, and is not taken for the image itself.
    let artifact = Digest::sha256(b"artifact");
    let image = ImageFacts {
        beside: vec![(artifact, root("0")), (Digest::sha256(b"other"), user())],
        ..image("r.io/a/app:1", &[("", root("0"))])
    };
    let says =
        format!("noRoot: r.io/a/app:1 runs as root (\"0\"); runs as root (\"0\") [artifact {artifact}]");
    assert_eq!(found("noRoot: true", image), [says]);
}

#[test]
fn a_waiver_holds_for_its_images_its_rule_and_its_time() {
    let root = || image("r.io/a/app:1", &[("linux/amd64", RunsAs::Root(String::new()))]);
    let finding = "noRoot: r.io/a/app:1 runs as root, since it names no user [linux/amd64]";
    let waived = |entry: &str| found(&format!("noRoot: true\nwaive: [{entry}]"), root());
    for (entry, shown) in [
        ("{rule: noRoot, image: 'r.io/a/app:*', reason: ' old '}", format!("{finding} (waived: old)")),
        (
            "{rule: noRoot, image: 'r.io/*', reason: old, until: 2026-11-25}",
            format!("{finding} (waived until 2026-11-25: old)"),
        ),
        (
            "{rule: noRoot, image: 'r.io/*', reason: old, until: 2026-11-24}",
            format!("{finding}; the waiver for it ended on 2026-11-24"),
        ),
        // One that ended does not stand in the way of one that counts.
        (
            "{rule: noRoot, image: 'r.io/*', reason: a, until: 2020-01-01}, {rule: noRoot, image: '*.io/a/app:1', reason: b}",
            format!("{finding} (waived: b)"),
        ),
        ("{rule: pinned, image: 'r.io/*', reason: old}", finding.to_owned()),
        ("{rule: noRoot, image: 'r.io/a/app:2', reason: old}", finding.to_owned()),
        ("{rule: noRoot, image: 'r.io/a/app', reason: old}", finding.to_owned()),
        // As in sources: a star in the registry stays there.
        ("{rule: noRoot, image: '*.example.com/a/app:1', reason: old}", finding.to_owned()),
    ] {
        assert_eq!(waived(entry), [shown], "{entry}");
    }
    let evil = ImageFacts { name: "evil.org/a.example.com/app:1".parse().unwrap(), ..root() };
    let text = "noRoot: true\nwaive: [{rule: noRoot, image: '*.example.com/app:1', reason: x}]";
    assert!(!found(text, evil)[0].contains("waived"));
    let size = "maxBundleSize: 1MB\nwaive: [{rule: maxBundleSize, reason: once}]";
    assert_eq!(
        found(size, root()),
        ["maxBundleSize: the bundle has 3.00 MB, and 1.00 MB is allowed (waived: once)"]
    );
}
