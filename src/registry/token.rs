//! The token endpoint (distribution's token and OAuth 2 specifications): what is asked, how the reply is read.
//!
//! Pure values; `auth` sends. Tokens are opaque: their lifetime is what the reply says, counted from receipt.

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::Value;
use url::Url;

use super::auth_file::{Login, encode_pair};
use crate::secret::Secret;

/// What registries see as the name of this client.
const CLIENT_ID: &str = "bundle";
/// Shorter lifetimes are taken for this one (token specification).
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
const LONGEST_LIFE: Duration = Duration::from_hours(1);

/// What a request needs to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// The repository path; empty for the registry as such.
    pub(super) path: String,
    pub(super) push: bool,
    /// The repository a blob is to be mounted from.
    pub(super) from: Option<String>,
}

impl Scope {
    pub(super) fn pull(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub(super) fn push(path: &str) -> Self {
        Self { path: path.to_owned(), push: true, from: None }
    }

    /// The `scope` parameters; the main one as the challenge words it, if it does. The target of a push stands
    /// first, since some registries read only one.
    pub(super) fn parameters(&self, challenged: Option<&str>) -> Vec<String> {
        let main = match challenged {
            Some(scope) if !scope.trim().is_empty() => Some(scope.trim().to_owned()),
            _ if self.path.is_empty() => None,
            _ => Some(format!("repository:{}:{}", self.path, if self.push { "pull,push" } else { "pull" })),
        };
        let source = self.from.as_ref().map(|from| format!("repository:{from}:pull"));
        let source = source.filter(|source| main.as_ref().is_none_or(|main| !main.contains(source.as_str())));
        main.into_iter().chain(source).collect()
    }
}

/// A request to the token endpoint.
pub(super) enum TokenRequest {
    Get { url: Url, authorization: Option<HeaderValue> },
    Post { url: Url, form: Secret },
}

/// The form to ask with: POST where there is a refresh token, else GET.
pub(super) fn request(
    realm: &Url,
    service: Option<&str>,
    scopes: &[String],
    login: Option<&Login>,
    allow_post: bool,
) -> TokenRequest {
    if let (Some(Login::Identity { token, .. }), true) = (login, allow_post) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
        if let Some(service) = service {
            form.append_pair("service", service);
        }
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.append_pair("refresh_token", token.expose());
        return TokenRequest::Post { url: realm.clone(), form: Secret::new(form.finish()) };
    }
    let mut url = realm.clone();
    let (username, authorization) = match login {
        Some(Login::Basic { username, password }) => (username.as_str(), basic(username, password)),
        Some(Login::Identity { username, token }) => (username.as_str(), basic(username, token)),
        Some(Login::Bearer(_)) | None => ("", None),
    };
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        if !username.is_empty() {
            query.append_pair("account", username);
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    TokenRequest::Get { url, authorization }
}

/// The header for Basic authentication.
pub(super) fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Basic {}", encode_pair(username, password)))
}

pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What the endpoint gave.
#[derive(Debug)]
pub(super) struct TokenReply {
    pub(super) token: Secret,
    pub(super) life: Duration,
}

/// Reads a reply. `None`: it is not what a token endpoint answers.
pub(super) fn reply(body: &[u8]) -> Option<TokenReply> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let field = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = Secret::new(field("token").or_else(|| field("access_token"))?);
    let seconds = value.get("expires_in").and_then(Value::as_u64).unwrap_or(0);
    let life = Duration::from_secs(seconds).clamp(SHORTEST_LIFE, LONGEST_LIFE);
    Some(TokenReply { token, life })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_repeated_and_the_target_is_first() {
        let mut scope = Scope::push("a/b");
        assert_eq!(scope.parameters(None), ["repository:a/b:pull,push"]);
        scope.from = Some("c".into());
        assert_eq!(scope.parameters(None), ["repository:a/b:pull,push", "repository:c:pull"]);
        assert_eq!(scope.parameters(Some("other")), ["other", "repository:c:pull"]);
        let challenged = "repository:c:pull repository:a/b:pull,push";
        assert_eq!(scope.parameters(Some(challenged)), [challenged]);
        assert!(Scope::default().parameters(None).is_empty());
    }

    #[test]
    fn the_realm_keeps_its_own_query_and_names_are_encoded() {
        let realm = Url::parse("https://auth/token?tenant=a%2Fb").unwrap();
        let login = Login::Basic { username: "robot$p+x y".into(), password: Secret::new("pw\n") };
        let TokenRequest::Get { url, authorization } =
            request(&realm, Some("svc"), &["repository:a:pull".into()], Some(&login), true)
        else {
            panic!("a password is sent by GET");
        };
        assert_eq!(
            url.query(),
            Some("tenant=a%2Fb&service=svc&scope=repository%3Aa%3Apull&account=robot%24p%2Bx+y")
        );
        assert!(authorization.unwrap().is_sensitive());
        let TokenRequest::Get { url, .. } =
            request(&Url::parse("https://auth/t").unwrap(), None, &[], None, true)
        else {
            panic!("anonymous requests are GET");
        };
        assert_eq!(url.as_str(), "https://auth/t");
    }

    #[test]
    fn replies_are_read_with_care() {
        let life = |text: &str| reply(text.as_bytes()).unwrap().life.as_secs();
        assert_eq!(life(r#"{"token":"t","expires_in":300}"#), 300);
        assert_eq!(life(r#"{"access_token":"t","expires_in":5}"#), 60);
        assert_eq!(life(r#"{"token":"t","expires_in":-1,"issued_at":"1970-01-01T00:00:00Z"}"#), 60);
        assert_eq!(life(r#"{"token":"","access_token":"t"}"#), 60);
        for bad in ["", "<html>", "{}", r#"{"token":7}"#, "[]"] {
            assert!(reply(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
