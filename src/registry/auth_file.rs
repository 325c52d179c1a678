//! Credential files of container tools (`auth.json`, `config.json`, `.dockercfg`): finds the login for a repository.
//!
//! Keys may be hosts, URLs, Hub's several names, or hosts with a path. An error names the file, never its text.

use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::redact;
use crate::app::unusable::Unusable;
use crate::app::{foreign_text, small_file};
use crate::image::HostName;
use crate::secret::Secret;

/// Far above any real file.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Other tools write with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A login.
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

/// Reads `file`. `Ok(None)` if it does not exist.
pub(super) fn read(file: &Path) -> Result<Option<Map<String, Value>>, Unusable> {
    let about = |error: Unusable| error.about(format_args!("cannot read credential file {}", file.display()));
    let bytes = match small_file::named(file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(about(error.into())),
    };
    let text = foreign_text::text(&bytes).map_err(|error| about(error.of(file)))?;
    if text.trim().is_empty() {
        return Ok(Some(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(of_file(file, "it is not a JSON object")),
        Err(e) => {
            let why = format!("it is not valid JSON (line {}, column {})", e.line(), e.column());
            Err(of_file(file, &why))
        }
    }
}

/// Why `file` cannot be used, never with any of its text.
pub(super) fn of_file(file: &Path, why: &str) -> Unusable {
    Unusable::new(format!("credential file {}: {why}", file.display()))
        .hint("correct it, or name another one with --auth-file FILE")
}

/// A credential helper that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Helper {
    pub(super) name: String,
    /// For this very host (`credHelpers`), not for all (`credsStore`).
    pub(super) is_own: bool,
}

/// The helper to ask for `host`: that of `credHelpers`, else that of `credsStore`.
pub(super) fn helper(
    object: &Map<String, Value>,
    host: &HostName,
    file: &Path,
) -> Result<Option<Helper>, Unusable> {
    let own = section(object, "credHelpers", file)?.and_then(|helpers| {
        helpers.iter().find(|(key, _)| normalized(key) == host.as_str()).map(|(_, name)| name)
    });
    let (key, name) = match own {
        Some(name) => ("credHelpers", Some(name)),
        None => ("credsStore", object.get("credsStore")),
    };
    match name {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) => Ok(Some(Helper { name: name.clone(), is_own: own.is_some() })),
        Some(_) => Err(of_file(file, &format!("`{key}` does not hold the name of a credential helper"))),
    }
}

fn section<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    file: &Path,
) -> Result<Option<&'a Map<String, Value>>, Unusable> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(of_file(file, &format!("`{key}` is not a JSON object"))),
    }
}

/// The login stored in the file itself; the longest key that covers `path` counts. `legacy`: a `.dockercfg`,
/// where the entries are the top level. One that is for this path and cannot be used is an error.
pub(super) fn login(
    object: &Map<String, Value>,
    host: &HostName,
    path: &str,
    legacy: bool,
    file: &Path,
) -> Result<Option<Login>, Unusable> {
    let auths = if legacy { Some(object) } else { section(object, "auths", file)? };
    let Some(auths) = auths else { return Ok(None) };
    let mut scope = if path.is_empty() { host.to_string() } else { format!("{host}/{path}") };
    loop {
        for (key, entry) in auths.iter().filter(|(key, _)| normalized(key) == scope) {
            let login = decode(entry).map_err(|why| {
                let why = format!("the login for {} in it cannot be used: {why}", redact::clean(key, 200));
                of_file(file, &why).hint(format!("store it again: bundle login {host}"))
            })?;
            if login.is_some() {
                return Ok(login);
            }
        }
        match scope.rfind('/') {
            Some(slash) => scope.truncate(slash),
            None => return Ok(None),
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

/// The login of one entry; none of one that only marks that a helper has it.
fn decode(entry: &Value) -> Result<Option<Login>, &'static str> {
    let Value::Object(entry) = entry else { return Err("it is not a JSON object") };
    let field = |key: &'static str| match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(match key {
            "auth" => "`auth` is not a string",
            _ => "a part of it is not a string",
        }),
    };
    if let Some(token) = field("registrytoken")? {
        return Ok(Some(Login::Bearer(Secret::new(token))));
    }
    let pair = match (field("auth")?, field("username")?, field("password")?) {
        (Some(auth), ..) => Some(decode_pair(auth)?),
        (None, None, None) => None,
        (None, username, password) => {
            Some((username.unwrap_or_default().to_owned(), secret(password.unwrap_or_default())))
        }
    };
    if let Some(token) = field("identitytoken")? {
        let username = pair.map(|(username, _)| username).unwrap_or_default();
        return Ok(Some(Login::Identity { username, token: Secret::new(token) }));
    }
    match pair {
        None => Ok(None),
        Some((username, _)) if username.is_empty() => Err("it has no user name"),
        Some((_, password)) if password.is_empty() => Err("it has no password"),
        Some((username, password)) => Ok(Some(Login::Basic { username, password })),
    }
}

/// What `auth` holds. Go's readers, docker among them, pass over line breaks in it: `base64` breaks its output at 76
/// characters. What `echo` adds to the password goes, too.
fn decode_pair(auth: &str) -> Result<(String, Secret), &'static str> {
    let unbroken = Zeroizing::new(auth.replace(|c: char| c.is_ascii_whitespace(), ""));
    let bytes = BASE64.decode(&*unbroken).map(Zeroizing::new).map_err(|_| "`auth` is not base64")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "`auth` does not hold UTF-8")?;
    let (username, password) =
        text.split_once(':').ok_or("`auth` has no colon between user name and password")?;
    Ok((username.to_owned(), secret(password.trim_end_matches('\0'))))
}

/// A password from a file, without the line break that editors and `echo` add.
fn secret(text: &str) -> Secret {
    Secret::new(text.trim_end_matches(['\r', '\n']))
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

    type Found = Result<Option<Login>, Unusable>;

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what is found")]
    fn basic(username: &str, password: &str) -> Found {
        Ok(Some(Login::Basic { username: username.into(), password: Secret::new(password) }))
    }

    fn login(object: &Map<String, Value>, host: &str, path: &str) -> Found {
        super::login(object, &host.parse().unwrap(), path, false, Path::new("f"))
    }

    fn looked_up(key: &str, host: &str, path: &str) -> bool {
        let file = object(&format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#));
        login(&file, host, path) == basic("u", "p")
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
        assert_eq!(login(&file, "r.io", "a/b/c"), basic("a", "2"));
        assert_eq!(login(&file, "r.io", "x"), basic("host", "1"));
        assert_eq!(login(&object(r#"{"auths":{"r.io":{}}}"#), "r.io", "a"), Ok(None));
    }

    #[test]
    fn auth_fields_are_decoded_in_all_their_forms() {
        let identity = |username: &str| {
            Ok(Some(Login::Identity { username: username.into(), token: Secret::new("it") }))
        };
        let long = "p".repeat(80);
        let broken = {
            let auth = encode_pair("u", &Secret::new(&*long));
            format!("{{\"auth\":\"{}\\n{}\\r\\n\"}}", &auth[..76], &auth[76..])
        };
        for (entry, expected) in [
            (r#"{"auth":"dTpwOnE="}"#, basic("u", "p:q")),
            (r#"{"auth":"dTpwOnE"}"#, basic("u", "p:q")),
            (r#"{"auth":"dTpwAAA="}"#, basic("u", "p")),
            (&broken, basic("u", &long)),
            // Made with `echo u:p | base64`.
            (r#"{"auth":"dTpwCg=="}"#, basic("u", "p")),
            (r#"{"username":"u","password":"p\r\n"}"#, basic("u", "p")),
            (r#"{"auth":"","username":"u","password":"p"}"#, basic("u", "p")),
            (
                r#"{"auth":"MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==","identitytoken":"it"}"#,
                identity("00000000-0000-0000-0000-000000000000"),
            ),
            (r#"{"identitytoken":"it"}"#, identity("")),
            (r#"{"registrytoken":"rt"}"#, Ok(Some(Login::Bearer(Secret::new("rt"))))),
            (r#"{"email":"x","auth":null}"#, Ok(None)),
        ] {
            let file = object(&format!(r#"{{"auths":{{"r.io":{entry}}}}}"#));
            assert_eq!(login(&file, "r.io", "a"), expected, "{entry}");
        }
        let legacy = object(r#"{"https://index.docker.io/v1/":{"auth":"dTpw","email":"x"}}"#);
        let host = "docker.io".parse().unwrap();
        assert_eq!(super::login(&legacy, &host, "a", true, Path::new("f")), basic("u", "p"));
    }

    #[test]
    fn what_is_for_the_host_and_cannot_be_used_is_named_and_not_shown() {
        for (entry, why) in [
            (r#"{"auth":"bm9jb2xvbg=="}"#, "`auth` has no colon between user name and password"),
            (r#"{"auth":"%geheim%"}"#, "`auth` is not base64"),
            (r#"{"auth":"dTr8"}"#, "`auth` does not hold UTF-8"),
            (r#"{"auth":7}"#, "`auth` is not a string"),
            (r#"{"username":"u","password":7}"#, "a part of it is not a string"),
            (r#"{"auth":"OnA="}"#, "it has no user name"),
            (r#"{"auth":"dTo="}"#, "it has no password"),
            (r#"{"username":"u"}"#, "it has no password"),
            (r#"{"password":"geheim"}"#, "it has no user name"),
            (r#""geheim""#, "it is not a JSON object"),
        ] {
            let file = object(&format!(r#"{{"auths":{{"https://r.io/v2/":{entry}}}}}"#));
            let error = login(&file, "r.io", "a").unwrap_err();
            let expected =
                format!("credential file f: the login for https://r.io/v2/ in it cannot be used: {why}");
            assert_eq!(error.why, expected, "{entry}");
            assert_eq!(error.hint.as_deref(), Some("store it again: bundle login r.io"));
            assert_eq!(login(&file, "s.io", "a"), Ok(None));
        }
        let host = "r.io".parse().unwrap();
        for text in [r#"{"credHelpers":[]}"#, r#"{"credHelpers":{"r.io":7}}"#, r#"{"credsStore":{}}"#] {
            let error = helper(&object(text), &host, Path::new("f")).unwrap_err();
            assert!(error.why.starts_with("credential file f: `cred"), "{error}");
        }
        let error = login(&object(r#"{"auths":[]}"#), "r.io", "a").unwrap_err();
        assert_eq!(error.why, "credential file f: `auths` is not a JSON object");
    }

    #[test]
    fn a_file_in_another_encoding_is_named_and_a_mark_at_its_start_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, "\u{feff}{\"auths\":{}}").unwrap();
        assert_eq!(read(&file).unwrap().unwrap().len(), 1);
        std::fs::write(&file, "\u{feff}").unwrap();
        assert!(read(&file).unwrap().unwrap().is_empty());
        std::fs::write(&file, b"\xff\xfe{\0}\0").unwrap();
        let error = read(&file).unwrap_err();
        assert!(error.why.ends_with("config.json: it is UTF-16, not UTF-8"), "{error}");
        assert!(error.hint.unwrap().starts_with("convert it: iconv "));
    }

    #[test]
    fn helpers_come_before_the_store() {
        let file = object(r#"{"credHelpers":{"https://r.io":"one","s.io":""},"credsStore":"two"}"#);
        let helper = |file: &Map<String, Value>, host: &str| {
            let found = helper(file, &host.parse().unwrap(), Path::new("f")).unwrap();
            found.map(|helper| (helper.name, helper.is_own))
        };
        assert_eq!(helper(&file, "r.io"), Some(("one".to_owned(), true)));
        assert_eq!(helper(&file, "s.io"), None);
        assert_eq!(helper(&file, "t.io"), Some(("two".to_owned(), false)));
        assert_eq!(helper(&Map::new(), "s.io"), None);
    }
}
