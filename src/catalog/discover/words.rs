//! The meaning of a key by the words in it: `workerImageTag`, `WORKER_IMAGE_TAG`, `--worker-image-tag` and
//! `worker.image.tag` all name the tag of the image of the worker.

/// Longer keys do not name parts.
const MAX_KEY: usize = 200;
/// Words that do not tell one image from another.
const NOISE: [&str; 10] =
    ["image", "images", "default", "global", "common", "base", "docker", "container", "oci", "system"];
/// How keys of parts end.
const ENDINGS: [&str; 20] = [
    "image",
    "name",
    "ref",
    "reference",
    "uri",
    "url",
    "host",
    "server",
    "domain",
    "repository",
    "repo",
    "registry",
    "hub",
    "tag",
    "version",
    "digest",
    "sha",
    "sha256",
    "fix",
    "label",
];

/// What part of an image a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The name of an image, or all of it.
    Image,
    /// A `name`, which is the name of an image only among other parts.
    Name,
    Repository,
    Registry,
    /// A registry and the path in it, as Istio calls them.
    Hub,
    Tag,
    /// A version, which may be that of something else.
    Version,
    Digest,
    /// Whether the digest counts, as Cilium asks.
    UseDigest,
    /// A text before or after another part; only the chart defines how they are joined.
    Affix,
}

/// A key read as the name of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) part: Part,
    /// The component: `worker`. Empty if the key names only the part.
    pub(super) stem: String,
    /// The key contains the word image.
    pub(super) says_image: bool,
}

impl Role {
    pub(super) fn of(key: &str) -> Option<Self> {
        // By far the most frequent one.
        if key == "name" {
            return Some(Self { part: Part::Name, stem: String::new(), says_image: false });
        }
        let end = key.trim_end_matches(['=', ':', '"']);
        let has_ending = |ending: &&str| {
            let start = end.len().checked_sub(ending.len());
            start.and_then(|start| end.get(start..)).is_some_and(|last| last.eq_ignore_ascii_case(ending))
        };
        if end.len() > MAX_KEY || !ENDINGS.iter().any(has_ending) {
            return None;
        }
        let words = words(end);
        let (part, rest) = part(&words)?;
        let says_image = words.iter().any(|word| matches!(word.as_str(), "image" | "images"));
        let stem: Vec<&str> = rest.iter().map(String::as_str).filter(|word| !NOISE.contains(word)).collect();
        // An event hub has nothing to do with images.
        if part == Part::Hub && !stem.is_empty() {
            return None;
        }
        Some(Self { part, stem: stem.join("."), says_image })
    }
}

/// The part that the last words name, and the words before them.
fn part(words: &[String]) -> Option<(Part, &[String])> {
    let (last, rest) = words.split_last()?;
    let before = rest.last().map_or("", String::as_str);
    Some(match (before, last.as_str()) {
        ("image", "name" | "ref" | "reference" | "uri" | "url") => (Part::Image, &rest[..rest.len() - 1]),
        ("registry", "url" | "uri" | "host" | "server" | "domain" | "prefix") => {
            (Part::Registry, &rest[..rest.len() - 1])
        }
        ("tag" | "image" | "repository", "prefix" | "suffix" | "postfix") | ("tag", "label") => {
            (Part::Affix, &rest[..rest.len() - 1])
        }
        ("use", "digest") => (Part::UseDigest, &rest[..rest.len() - 1]),
        ("image", "version") | (_, "tag") => (Part::Tag, rest),
        (_, "image") => (Part::Image, rest),
        ("", "name") => (Part::Name, rest),
        (_, "repository" | "repo") => (Part::Repository, rest),
        (_, "registry") => (Part::Registry, rest),
        (_, "hub") => (Part::Hub, rest),
        (_, "version") => (Part::Version, rest),
        (_, "digest" | "sha" | "sha256") => (Part::Digest, rest),
        _ => return None,
    })
}

/// The words of a key, in lower case. `image` is one of its own even where nothing sets it apart: `imagetag`.
fn words(key: &str) -> Vec<String> {
    let (mut words, mut word, mut was_lower) = (Vec::new(), String::new(), false);
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && was_lower) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase() || (was_lower && c.is_ascii_digit());
    }
    words.push(word);
    let apart = |word: String| -> Vec<String> {
        match word.split_once("image") {
            Some((before, after)) if after != "s" => {
                [before, "image", after].into_iter().map(str::to_owned).collect()
            }
            _ => vec![word],
        }
    };
    words.into_iter().flat_map(apart).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_of_one_image_has_many_spellings() {
        for key in [
            "workerImageTag",
            "WORKER_IMAGE_TAG",
            "--worker-image-tag",
            "worker.image.tag",
            "workerimagetag",
            "worker_tag",
            "worker.image.version",
            "defaultWorkerImageTag",
        ] {
            let role = Role::of(key).unwrap();
            assert_eq!((role.part, role.stem.as_str()), (Part::Tag, "worker"), "{key}");
        }
        for (key, part, stem) in [
            ("image", Part::Image, ""),
            ("baseImage", Part::Image, ""),
            ("imageName", Part::Image, ""),
            ("name", Part::Name, ""),
            ("imageRepository", Part::Repository, ""),
            ("registryURL", Part::Registry, ""),
            ("global.imageRegistry", Part::Registry, ""),
            ("systemDefaultRegistry", Part::Registry, ""),
            ("hub", Part::Hub, ""),
            ("version", Part::Version, ""),
            ("agentVersion", Part::Version, "agent"),
            ("sha", Part::Digest, ""),
            ("useDigest", Part::UseDigest, ""),
            ("tagSuffix", Part::Affix, ""),
            ("server.image.repository", Part::Repository, "server"),
        ] {
            let role = Role::of(key).unwrap_or_else(|| panic!("{key}"));
            assert_eq!((role.part, role.stem.as_str()), (part, stem), "{key}");
        }
        for key in
            ["", "images", "imagePullPolicy", "eventHub", "hostname", "fullName", "RELATED_IMAGE_X", "é"]
        {
            assert_eq!(Role::of(key), None, "{key}");
        }
    }
}
