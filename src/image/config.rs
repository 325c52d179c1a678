//! What an image's config says of how it runs (OCI image-spec, config.md): for people and policies, never for hashing.
//!
//! Configs come from anywhere and say anything: a field of another shape is taken as not there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The parts of a config that people decide upon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// As it stands there; RFC 3339 where the builder kept to the rules.
    pub created: Option<String>,
    /// Empty where the image does not say: then it runs as root.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub working_dir: String,
    pub stop_signal: String,
    /// `NAME=VALUE`, by name; what has no `=` is a name without a value.
    pub env: BTreeMap<String, String>,
    /// `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
}

impl ImageConfig {
    /// Reads the config `bytes`; none if they are no JSON object.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let Value::Object(root) = serde_json::from_slice(bytes).ok()? else {
            return None;
        };
        let none = Map::new();
        let config = root.get("config").and_then(Value::as_object).unwrap_or(&none);
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let labels = config.get("Labels").and_then(Value::as_object).unwrap_or(&none);
        let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(Self {
            created: root.get("created").and_then(Value::as_str).map(str::to_owned),
            user: text(config, "User"),
            entrypoint: list(config, "Entrypoint"),
            cmd: list(config, "Cmd"),
            working_dir: text(config, "WorkingDir"),
            stop_signal: text(config, "StopSignal"),
            env: list(config, "Env").into_iter().map(pair).collect(),
            exposed_ports: keys(config, "ExposedPorts"),
            volumes: keys(config, "Volumes"),
            labels: labels.iter().filter_map(label).collect(),
        })
    }

    /// Whether it runs as root: by saying so, by not saying anything else, or by a number that runtimes have taken for
    /// root since it is none of a user (CVE-2024-40635). A name is taken at its word: what number it has says a file in
    /// the layers.
    pub fn is_root(&self) -> bool {
        const USERS: std::ops::RangeInclusive<i128> = 1..=i32::MAX as i128;
        let user = self.user.split(':').next().unwrap_or_default();
        let is_number = user.strip_prefix(['-', '+']).unwrap_or(user).bytes().all(|b| b.is_ascii_digit());
        let is_a_user = || user.parse().is_ok_and(|number| USERS.contains(&number));
        user == "root" || (is_number && !is_a_user())
    }

    /// Whether the config `bytes` says of its user what every runtime reads. Those written in Go take keys in any case,
    /// and the last of several.
    pub fn is_plain(bytes: &[u8]) -> bool {
        let folds = |key: &String, to: &str| key.chars().flat_map(char::to_uppercase).eq(to.chars());
        let odd = |map: &Map<String, Value>, name: &str, folded: &str| {
            map.keys().any(|key| key != name && folds(key, folded))
        };
        let Ok(Value::Object(root)) = serde_json::from_slice(bytes) else { return false };
        let config = root.get("config").and_then(Value::as_object);
        !odd(&root, "config", "CONFIG") && !config.is_some_and(|config| odd(config, "User", "USER"))
    }
}

fn text(config: &Map<String, Value>, key: &str) -> String {
    config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(config: &Map<String, Value>, key: &str) -> Vec<String> {
    let values = config.get(key).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(config: &Map<String, Value>, key: &str) -> BTreeSet<String> {
    config.get(key).and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_config_says_is_read_and_nonsense_is_not_there() {
        let config = ImageConfig::of(
            br#"{"created":"2024-01-02T03:04:05Z","config":{"User":"1000:1000","Entrypoint":["/app"],"Cmd":["-x"],
            "WorkingDir":"/srv","Env":["PATH=/bin","A=b=c","BARE"],"ExposedPorts":{"8080/tcp":{},"53/udp":{}},
            "Volumes":{"/data":{}},"Labels":{"a":"b","n":1},"StopSignal":"SIGINT"}}"#,
        )
        .unwrap();
        assert_eq!((config.user.as_str(), config.is_root()), ("1000:1000", false));
        assert_eq!((config.entrypoint, config.cmd), (vec!["/app".to_owned()], vec!["-x".to_owned()]));
        let env = |name: &str| config.env.get(name).map(String::as_str);
        assert_eq!((env("A"), env("BARE"), env("PATH")), (Some("b=c"), Some(""), Some("/bin")));
        assert_eq!(config.exposed_ports.len(), 2);
        assert_eq!(config.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let odd = br#"{"created":5,"config":{"User":7,"Env":"x","ExposedPorts":[],"Labels":null}}"#;
        assert_eq!(ImageConfig::of(odd), Some(ImageConfig::default()));
        assert_eq!(ImageConfig::of(br#"{"config":null}"#), Some(ImageConfig::default()));
        assert_eq!(ImageConfig::of(b"[]"), None);
    }

    #[test]
    fn a_second_spelling_of_the_user_is_not_passed_over() {
        for (config, plain) in [
            (r#"{"config":{"User":"1000"}}"#, true),
            (r#"{"config":{}}"#, true),
            (r#"{"Config":{"User":"0"},"config":{"User":"1000"}}"#, false),
            (r#"{"config":{"User":"1000","user":"0"}}"#, false),
            (r#"{"config":{"User":"1000","u\u017fer":"0"}}"#, false),
            ("[]", false),
        ] {
            assert_eq!(ImageConfig::is_plain(config.as_bytes()), plain, "{config}");
        }
    }

    #[test]
    fn root_has_many_names() {
        for (user, root) in [
            ("", true),
            ("root", true),
            ("0", true),
            ("0:0", true),
            ("00", true),
            ("-0", true),
            ("+0:5", true),
            ("-1", true),
            ("4294967296", true),
            ("99999999999999999999999999999999999999999999", true),
            ("2147483647", false),
            ("root:app", true),
            ("1000", false),
            ("app", false),
            ("app:0", false),
        ] {
            let config = ImageConfig { user: user.to_owned(), ..ImageConfig::default() };
            assert_eq!(config.is_root(), root, "{user}");
        }
    }
}
