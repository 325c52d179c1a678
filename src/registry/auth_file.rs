//! Credential files of container tools (`auth.json`, `config.json`, `.dockercfg`): what they say for a repository.
//!
//! Keys may be hosts, URLs, Hub's several names, or hosts with a path. An error names the file, never its text.

use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::app::small_file;
use crate::image::HostName;
use crate::secret::Secret;

/// Far above any real file.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Other tools write with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How to prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Basic {
        username: String,
        password: Secret,
    },
    /// An OAuth 2 refresh token, to be sent to the token endpoint only.
    Identity {
        username: String,
        token: Secret,
    },
    /// A finished bearer token.
    Bearer(Secret),
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Login(Login),
    Helper(String),
    Nothing,
}

/// Reads `file`. `Ok(None)` if it does not exist.
pub(super) fn read(file: &Path) -> Result<Option<Map<String, Value>>, String> {
    let refuse = |error: std::io::Error| format!("cannot read credential file {}: {error}", file.display());
    let bytes = match small_file::named(file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(error)),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Some(Map::new()));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(format!("credential file {} is not a JSON object", file.display())),
        Err(e) => Err(format!(
            "credential file {} is not valid JSON (line {}, column {})",
            file.display(),
            e.line(),
            e.column()
        )),
    }
}

/// What the file says for `host` and `path`: `credHelpers`, then `credsStore`, then `auths`.
pub(super) fn helper(object: &Map<String, Value>, host: &HostName) -> Found {
    let own = object.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
        let (_, name) = helpers.iter().find(|(key, _)| normalized(key) == host.as_str())?;
        name.as_str()
    });
    let name =
        own.or_else(|| object.get("credsStore").and_then(Value::as_str)).filter(|name| !name.is_empty());
    name.map_or(Found::Nothing, |name| Found::Helper(name.to_owned()))
}

/// The login stored in the file itself; the longest key that covers `path` counts. `legacy`: a `.dockercfg`,
/// where the entries are the top level.
pub(super) fn login(object: &Map<String, Value>, host: &HostName, path: &str, legacy: bool) -> Found {
    let auths = if legacy { Some(object) } else { object.get("auths").and_then(Value::as_object) };
    let Some(auths) = auths else { return Found::Nothing };
    let mut scope = if path.is_empty() { host.to_string() } else { format!("{host}/{path}") };
    loop {
        let mut matching = auths.iter().filter(|(key, _)| normalized(key) == scope);
        if let Some(login) = matching.find_map(|(_, entry)| decode(entry.as_object()?)) {
            return Found::Login(login);
        }
        match scope.rfind('/') {
            Some(slash) => scope.truncate(slash),
            None => return Found::Nothing,
        }
    }
}

/// The key as `host[:port][/path]`, with Hub's names folded into one. A key with a scheme is a host only.
pub(super) fn normalized(key: &str) -> String {
    let bare = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme));
    let text = bare.unwrap_or(key).trim_end_matches('/');
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    if bare.is_some() || matches!(path, "" | "v1" | "v2") {
        host.to_owned()
    } else {
        format!("{host}/{path}")
    }
}

fn decode(entry: &Map<String, Value>) -> Option<Login> {
    let field = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = field("registrytoken") {
        return Some(Login::Bearer(Secret::new(token)));
    }
    let pair = field("auth").and_then(decode_pair).or_else(|| {
        Some((field("username")?.to_owned(), Secret::new(field("password").unwrap_or_default())))
    });
    if let Some(token) = field("identitytoken") {
        let username = pair.map(|(username, _)| username).unwrap_or_default();
        return Some(Login::Identity { username, token: Secret::new(token) });
    }
    let (username, password) = pair?;
    (!username.is_empty()).then_some(Login::Basic { username, password })
}

fn decode_pair(auth: &str) -> Option<(String, Secret)> {
    let bytes = BASE64.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

/// `username:password` as `auth` fields and Basic headers hold it.
pub(super) fn encode_pair(username: &str, password: &Secret) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{username}:{}", password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn basic(username: &str, password: &str) -> Found {
        Found::Login(Login::Basic { username: username.into(), password: Secret::new(password) })
    }

    fn looked_up(key: &str, host: &str, path: &str) -> bool {
        let file = object(&format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#));
        login(&file, &host.parse().unwrap(), path, false) == basic("u", "p")
    }

    #[test]
    fn keys_match_as_container_tools_match_them() {
        for (key, host, path, matches) in [
            ("https://index.docker.io/v1/", "docker.io", "library/nginx", true),
            ("index.docker.io", "docker.io", "library/nginx", true),
            ("docker.io", "docker.io", "a/b", true),
            ("registry-1.docker.io", "docker.io", "a/b", true),
            ("docker.io/bitnami", "docker.io", "bitnami/kafka", true),
            ("docker.io/bitnami", "docker.io", "library/nginx", false),
            ("https://reg:5000/v2/", "reg:5000", "a", true),
            ("http://reg:5000", "reg:5000", "a", true),
            ("reg:5000/", "reg:5000", "a", true),
            ("REG:5000", "reg:5000", "a", true),
            ("reg:5000", "reg", "a", false),
            ("reg", "reg:5000", "a", false),
            ("reg.io/a", "reg.io", "a/b", true),
            ("reg.io/a", "reg.io", "a", true),
            ("reg.io/a", "reg.io", "ab", false),
            ("reg.io/a/b", "reg.io", "a", false),
            ("[::1]:5000", "[::1]:5000", "a", true),
            ("reg.io", "evil-reg.io", "a", false),
        ] {
            assert_eq!(looked_up(key, host, path), matches, "{key} for {host}/{path}");
        }
    }

    #[test]
    fn the_longest_key_wins_and_markers_do_not_count() {
        let file = object(
            r#"{"auths":{"r.io":{"username":"host","password":"1"},"r.io/a":{"username":"a","password":"2"},
                "r.io/a/b":{}}}"#,
        );
        let host = "r.io".parse().unwrap();
        assert_eq!(login(&file, &host, "a/b/c", false), basic("a", "2"));
        assert_eq!(login(&file, &host, "x", false), basic("host", "1"));
        assert_eq!(login(&object(r#"{"auths":{"r.io":{}}}"#), &host, "a", false), Found::Nothing);
    }

    #[test]
    fn auth_fields_are_decoded_in_all_their_forms() {
        let identity = |username: &str| {
            Found::Login(Login::Identity { username: username.into(), token: Secret::new("it") })
        };
        for (entry, expected) in [
            (r#"{"auth":"dTpwOnE="}"#, basic("u", "p:q")),
            (r#"{"auth":"dTpwOnE"}"#, basic("u", "p:q")),
            (r#"{"auth":"dTpwAAA="}"#, basic("u", "p")),
            (r#"{"auth":"bm9jb2xvbg=="}"#, Found::Nothing),
            (r#"{"auth":"%%%"}"#, Found::Nothing),
            (r#"{"auth":"","username":"u","password":"p"}"#, basic("u", "p")),
            (
                r#"{"auth":"MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==","identitytoken":"it"}"#,
                identity("00000000-0000-0000-0000-000000000000"),
            ),
            (r#"{"identitytoken":"it"}"#, identity("")),
            (r#"{"registrytoken":"rt"}"#, Found::Login(Login::Bearer(Secret::new("rt")))),
            (r#"{"auth":7}"#, Found::Nothing),
        ] {
            let file = object(&format!(r#"{{"auths":{{"r.io":{entry}}}}}"#));
            assert_eq!(login(&file, &"r.io".parse().unwrap(), "a", false), expected, "{entry}");
        }
        let legacy = object(r#"{"https://index.docker.io/v1/":{"auth":"dTpw","email":"x"}}"#);
        assert_eq!(login(&legacy, &"docker.io".parse().unwrap(), "a", true), basic("u", "p"));
    }

    #[test]
    fn helpers_come_before_the_store() {
        let file = object(r#"{"credHelpers":{"https://r.io":"one"},"credsStore":"two"}"#);
        assert_eq!(helper(&file, &"r.io".parse().unwrap()), Found::Helper("one".into()));
        assert_eq!(helper(&file, &"s.io".parse().unwrap()), Found::Helper("two".into()));
        assert_eq!(helper(&Map::new(), &"s.io".parse().unwrap()), Found::Nothing);
    }
}
