use super::*;
use crate::image::Digest;

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap()
}

fn image(source: &str, runs_as: &[(&str, RunsAs)]) -> ImageFacts {
    ImageFacts {
        name: "r.io/a/app:1".parse().unwrap(),
        source: source.parse().unwrap(),
        size: 2_000_000,
        signature: true,
        sbom: true,
        runs_as: runs_as.iter().map(|(platform, user)| ((*platform).to_owned(), user.clone())).collect(),
    }
}

fn found(text: &str, image: ImageFacts) -> Vec<String> {
    let facts = Facts { images: vec![image], size: 3_000_000 };
    policy(text).findings(&facts).iter().map(ToString::to_string).collect()
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
        ("maxImageSize: 2 GB\n", 1, "\"2 GB\" is no size"),
        ("pinned: true\nmaxBundleSize: 0\n", 2, "\"0\" is no size"),
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
    let pinned = "pinned: true";
    assert_eq!(found(pinned, fine()), ["pinned: r.io/a/app:1 is named without its digest"]);
    let digest = Digest::sha256(b"");
    assert_eq!(found(pinned, image(&format!("r.io/a/app@{digest}"), &[])), [""; 0]);
    let named = ImageFacts { name: format!("r.io/a/app:1@{digest}").parse().unwrap(), ..fine() };
    assert_eq!(found(pinned, named), [""; 0]);
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
            vec![("linux/amd64", root("0\n")), ("linux/arm64", RunsAs::Unknown("its config cannot be read"))],
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
}
