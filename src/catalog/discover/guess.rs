//! Guesses whether a text names an image, by its form and its key.
//!
//! Certain is only what a container's `image` says; everything here is probable at best. A text that its key calls an
//! image, and that is none, is told as unclear rather than passed over.

use std::borrow::Cow;

use crate::image::Reference;

/// Longer texts are not references.
const MAX_REFERENCE: usize = 512;
/// Words that appear under a key like `image` and do not name one.
const NO_IMAGES: [&str; 13] = [
    "true",
    "false",
    "null",
    "none",
    "default",
    "auto",
    "yes",
    "no",
    "always",
    "never",
    "disabled",
    "enabled",
    "ifnotpresent",
];
/// Endings of pictures, of disks of virtual machines, and of archives, which keys call images too.
const FILES: [&str; 26] = [
    "png", "svg", "jpg", "jpeg", "gif", "webp", "ico", "bmp", "avif", "tif", "tiff", "img", "iso", "qcow2",
    "raw", "vmdk", "vhd", "vhdx", "ova", "wim", "tar", "tgz", "gz", "xz", "zst", "zip",
];

/// What a text may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    Image(Reference),
    /// A name without a tag or digest. A container's is `latest`; elsewhere the version may stand in another place.
    Untagged(Reference),
    /// An OCI artifact that is not an image, such as a chart.
    Artifact(String),
    /// It should name an image; this is the reason why it does not.
    Unclear(String),
    Nothing,
}

/// Whether the key says that its value is an image: `image`, `sidecarImage`, `RELATED_IMAGE_X`, `--proxy-image`.
pub(super) fn is_image_key(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let Some((_, after)) = plain.rsplit_once("image") else { return false };
    plain.starts_with("relatedimage")
        || matches!(after, "" | "s" | "name" | "ref" | "reference" | "uri" | "url" | "repo" | "repository")
}

/// What `text` is as a whole, under a key that says image or one that does not.
pub(super) fn whole(text: &str, is_image: bool) -> Guess {
    let text = text.trim();
    if says_something_else(text) {
        return Guess::Nothing;
    }
    let filled = defaults_filled_in(text);
    let text = filled.as_deref().unwrap_or(text);
    let unclear = |why: &str| {
        if is_image { Guess::Unclear(format!("{:?} {why}", short(text))) } else { Guess::Nothing }
    };
    if text.contains("{{") {
        return unclear("is a template that was not rendered");
    }
    if text.is_empty() || text.len() > MAX_REFERENCE || text.contains(char::is_whitespace) {
        return Guess::Nothing;
    }
    if text.contains('$') || text.contains("%(") || text.contains('<') {
        return unclear("is built from a variable");
    }
    if let Some(artifact) = text.strip_prefix("oci://") {
        return match artifact.parse::<Reference>() {
            Ok(_) => {
                Guess::Artifact(format!("{text:?} is an OCI artifact; add it with --add oci://…:VERSION"))
            }
            Err(_) => Guess::Nothing,
        };
    }
    let (text, is_image) = text.strip_prefix("docker://").map_or((text, is_image), |text| (text, true));
    if text.contains("://") {
        return Guess::Nothing;
    }
    let reference = match text.parse::<Reference>() {
        Ok(reference) => reference,
        Err(error) if is_image && text.contains(['/', ':', '@']) => return Guess::Unclear(error.to_string()),
        Err(_) => return Guess::Nothing,
    };
    match names_an_image(text, &reference, is_image) {
        false => Guess::Nothing,
        true if has_version(text) => Guess::Image(reference),
        true => Guess::Untagged(reference),
    }
}

/// A path, a picture, a pattern, or a template of an alert: none of them is an image, whatever the key says.
pub(super) fn says_something_else(text: &str) -> bool {
    let is_path = ["/", "./", "../", "~", "data:"].iter().any(|start| text.starts_with(start));
    let is_pattern = text.contains(['*', '^', '|', '\\', '!']) || text.starts_with('~');
    // Prometheus and Grafana fill these in when an alert fires.
    let is_alert = ["$labels", "$externalLabels", ".Labels."].iter().any(|mark| text.contains(mark))
        || (text.contains("$value") && !text.contains(['/', ':']));
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let is_file = !has_version(text) && ending.is_some_and(|ending| FILES.contains(&ending.as_str()));
    is_path || is_file || is_alert || (is_pattern && !text.contains("{{"))
}

/// `text` with the defaults of its variables in their places (`${TAG:-1.2}`), where each of them has one.
fn defaults_filled_in(text: &str) -> Option<String> {
    let filled = with_defaults(text);
    (matches!(filled, Cow::Owned(_)) && !filled.contains("${")).then(|| filled.into_owned())
}

/// `text` with the defaults of those variables that have one.
pub(super) fn with_defaults(text: &str) -> Cow<'_, str> {
    let (mut rest, mut filled) = (text, String::new());
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let inside = after.split_once('}').and_then(|(inside, after)| Some((default_of(inside)?, after)));
        if let Some((default, after)) = inside {
            filled.push_str(default);
            rest = after;
        } else {
            filled.push_str("${");
            rest = after;
        }
    }
    if filled.is_empty() { text.into() } else { (filled + rest).into() }
}

fn default_of(variable: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let operator = &variable[variable.find(|c| !is_name(c))?..];
    let default = [":-", ":=", "-", "="].iter().find_map(|start| operator.strip_prefix(start))?;
    // A variable inside of a default would be another one that has to be known.
    (!default.is_empty() && !default.contains('$')).then_some(default)
}

/// Whether a reference has a tag or digest.
pub(super) fn has_version(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn names_an_image(text: &str, reference: &Reference, is_image: bool) -> bool {
    // `sha256:…` alone would be an image of that name.
    let (first, rest) = text.split_once('/').unwrap_or(("", text));
    if matches!(rest.split(':').next(), Some("sha256" | "sha512")) && first.is_empty() {
        return false;
    }
    if reference.digest().is_some() {
        return true;
    }
    let tag = rest.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    if is_image {
        let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        return !is_number && !NO_IMAGES.contains(&text.to_ascii_lowercase().as_str());
    }
    match (is_registry(first), tag) {
        (true, Some(_)) => true,
        // Without a registry, only a tag that looks like a version distinguishes an image from a host and port.
        (false, Some(tag)) => !first.is_empty() && is_version(tag),
        (_, None) => false,
    }
}

/// Whether a name begins with a registry.
pub(super) fn is_absolute(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| is_registry(first))
}

/// Whether a text is one word, and not one that means nothing.
pub(super) fn is_a_word(text: &str) -> bool {
    !text.contains(char::is_whitespace) && !NO_IMAGES.contains(&text.to_ascii_lowercase().as_str())
}

/// A host as registries have them: with a dot and a name after it, an address, a port, or this machine.
fn is_registry(first: &str) -> bool {
    let (host, port) = first.split_once(':').map_or((first, None), |(host, port)| (host, Some(port)));
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_name = host.contains('.') && last.len() >= 2 && last.bytes().all(|b| b.is_ascii_alphabetic());
    let has_port = port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    is_name || has_port || host == "localhost" || host.parse::<std::net::IpAddr>().is_ok()
}

/// `1.2`, `v1.2.3-alpine`, `latest`.
fn is_version(tag: &str) -> bool {
    let plain = tag.strip_prefix('v').unwrap_or(tag);
    matches!(tag, "latest" | "stable" | "main" | "master" | "nightly" | "edge")
        || (plain.starts_with(|c: char| c.is_ascii_digit()) && plain.contains('.'))
}

pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 100 { text.to_owned() } else { text.chars().take(99).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_say_image_are_told_from_those_that_only_sound_like_it() {
        for key in [
            "image",
            "sidecarImage",
            "RELATED_IMAGE_PROXY",
            "--config-reloader-image",
            "app.image",
            "imageName",
        ] {
            assert!(is_image_key(key), "{key}");
        }
        for key in
            ["imagePullPolicy", "imagePullSecrets", "imageTag", "imagine", "IMAGE_VERSION", "mirage", ""]
        {
            assert!(!is_image_key(key), "{key}");
        }
    }

    #[test]
    fn what_looks_like_an_image_is_one_and_what_does_not_is_none() {
        let pinned = format!("r.io/x@sha256:{}", "a".repeat(64));
        for text in [
            "quay.io/a/b:1",
            "localhost:5000/x:dev",
            "org/app:v1.2.3",
            "10.0.0.1/x:1",
            "docker://r.io/x:1",
            &pinned,
        ] {
            assert!(matches!(whole(text, false), Guess::Image(_)), "{text}");
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "http://example.com/x:1",
            "kafka:9092",
            "svc/kafka:9092",
            "text/plain",
            "github.com/org/repo",
            "a.b.c:8080",
            "1.2.3",
            "app.kubernetes.io/name",
            "10.0.0.1:80",
            "/var/lib/x:ro",
            "key:value",
            "two words:1.2",
            "$(IMAGE)",
            &digest,
            "a/b:x",
        ] {
            assert_eq!(whole(text, false), Guess::Nothing, "{text}");
        }
        assert!(matches!(whole("nginx:1", true), Guess::Image(_)));
        assert!(matches!(whole("docker://acme/x:1", false), Guess::Image(_)));
        assert!(matches!(whole("acme/x:$value", true), Guess::Unclear(_)));
        for text in ["nginx", "a/b", "github.com/org/repo", "localhost:5000/x"] {
            assert!(matches!(whole(text, true), Guess::Untagged(_)), "{text}");
        }
        for text in ["true", "none", "12", "1.2", ""] {
            assert_eq!(whole(text, true), Guess::Nothing, "{text}");
        }
        for text in ["{{ .Values.image }}", "$(IMAGE)", "r.io/A:1", "r.io/a:1+x", "{{x}}:1"] {
            let guess = whole(&text.replace(' ', ""), true);
            assert!(matches!(guess, Guess::Unclear(_)), "{text}: {guess:?}");
        }
        assert!(matches!(whole("oci://ghcr.io/x/charts/y", false), Guess::Artifact(_)));
    }

    #[test]
    fn pictures_paths_patterns_and_alerts_are_no_images() {
        for text in [
            "assets/banner.png",
            "/logo.svg",
            "./images/x",
            "banner.JPG",
            "disks/fedora.qcow2",
            "data:image/png;base64,iVBORw0KGgo=",
            "ghcr.io/*",
            "*:latest",
            "!*:latest",
            "^registry.k8s.io/pause:.*$",
            "{{ $labels.image }}",
            "$labels.image",
            "Always",
        ] {
            assert_eq!(whole(text, true), Guess::Nothing, "{text}");
        }
    }

    #[test]
    fn a_variable_with_a_default_is_read_with_it() {
        for (text, image) in [
            ("${DB_IMAGE:-postgres:16}", "docker.io/library/postgres:16"),
            ("${HUB-quay.io}/acme/db:${TAG:-16}-alpine", "quay.io/acme/db:16-alpine"),
            ("acme/db:${TAG:=16}", "docker.io/acme/db:16"),
        ] {
            assert_eq!(whole(text, true), Guess::Image(image.parse().unwrap()), "{text}");
        }
        for text in [
            "${IMAGE}",
            "postgres:${TAG:-}",
            "postgres:${TAG:?required}",
            "${A:-${B:-x:1}}",
            "${A:-x:1}/$B",
            "${A",
        ] {
            assert!(matches!(whole(text, true), Guess::Unclear(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", is_image in any::<bool>()) {
            let _ = whole(&text, is_image);
            let _ = is_image_key(&text);
        }
    }
}
