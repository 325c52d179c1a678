use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::secret::Secret;

const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn target() -> ManifestTarget {
    ManifestTarget::Tag("v1".parse().unwrap())
}

fn challenge(realm: &str, extra: &str) -> Response<Body> {
    let value = format!("Bearer realm=\"{realm}\",service=\"svc\",scope=\"repository:a/b:pull\"{extra}");
    status(401).header("www-authenticate", value).body(Body::empty()).unwrap()
}

/// A registry that accepts `Bearer t<n>` for the newest n only, and its token endpoint.
async fn with_tokens(expires_in: u64, token: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> (Fake, Fake) {
    let issued = Arc::new(AtomicUsize::new(0));
    let newest = Arc::clone(&issued);
    let realm = Fake::start(move |seen| {
        if !token(seen) {
            return reply(401, r#"{"details":"incorrect username or password"}"#);
        }
        let n = issued.fetch_add(1, Ordering::SeqCst) + 1;
        reply(200, format!(r#"{{"token":"t{n}","expires_in":{expires_in}}}"#))
    })
    .await;
    let url = realm.url("/token?tenant=1");
    let registry = Fake::start(move |seen| {
        let current = format!("Bearer t{}", newest.load(Ordering::SeqCst));
        match seen.header("authorization") {
            Some(sent) if sent == current => reply(200, MANIFEST),
            _ => challenge(&url, ""),
        }
    })
    .await;
    (registry, realm)
}

#[tokio::test]
async fn many_requests_fetch_one_token() {
    let (registry, realm) = with_tokens(300, |_| true).await;
    let client = client(|options| options.jobs = 32);
    let requests = (0..32).map(|_| {
        let (client, repository) = (client.clone(), registry.repository("a/b"));
        tokio::spawn(async move { client.manifest(&repository, &target()).await })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap().unwrap();
    }
    let asked = realm.seen("GET", "/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?tenant=1&service=svc&scope=repository%3Aa%2Fb%3Apull");
    assert!(asked[0].header("authorization").is_none());
}

/// Some registries name a repository in the challenge of their root.
#[tokio::test]
async fn different_requests_that_ask_for_one_token_fetch_it_once() {
    for at_once in [false, true] {
        let (registry, realm) = with_tokens(300, |_| true).await;
        let client = plain();
        let (repository, host) = (registry.repository("a/b"), registry.host.clone());
        if at_once {
            let (ping, target) = (client.ping(&host), target());
            let (ping, manifest) = tokio::join!(ping, client.manifest(&repository, &target));
            ping.unwrap();
            manifest.unwrap();
        } else {
            client.ping(&host).await.unwrap();
            client.manifest(&repository, &target()).await.unwrap();
        }
        assert_eq!(realm.seen("GET", "/token").len(), 1, "at once: {at_once}");
        // What is refused is fetched again, and what is for another login or scope is not shared.
        plain().ping(&host).await.unwrap();
        client.manifest(&repository, &target()).await.unwrap();
        assert_eq!(realm.seen("GET", "/token").len(), 3);
    }
}

#[tokio::test]
async fn a_token_that_expired_unnoticed_is_renewed_once() {
    let (registry, realm) = with_tokens(300, |_| true).await;
    let (client, repository) = (plain(), registry.repository("a/b"));
    client.manifest(&repository, &target()).await.unwrap();
    // Another client's token makes ours stale at this registry.
    plain().manifest(&repository, &target()).await.unwrap();
    client.manifest(&repository, &target()).await.unwrap();
    assert_eq!(realm.seen("GET", "/token").len(), 3);
}

#[tokio::test]
async fn a_registry_that_never_accepts_is_not_asked_forever() {
    let realm = Fake::start(|_| reply(200, r#"{"access_token":"t","expires_in":1}"#)).await;
    let url = realm.url("/token");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        None => challenge(&url, ""),
        Some(_) => challenge(&url, ",error=\"insufficient_scope\""),
    })
    .await;
    let error = plain().manifest(&registry.repository("a/b"), &target()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(error.hint().unwrap().contains("bundle login"));
    assert_eq!((registry.seen("GET", "/manifests/").len(), realm.log.lock().unwrap().len()), (3, 2));
}

#[tokio::test]
async fn refused_credentials_name_their_source_and_not_themselves() {
    let (registry, _realm) = with_tokens(300, |seen| seen.header("authorization").is_none()).await;
    let host = registry.host.clone();
    let client = client(|options| {
        let password = Secret::new("geheim");
        options.given =
            vec![GivenCredentials { host, username: "u".into(), password, origin: "DST_REGISTRY_USERNAME" }];
    });
    let error = client.manifest(&registry.repository("a/b"), &target()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied);
    let text = format!("{error} {error:?}");
    assert!(text.contains("DST_REGISTRY_USERNAME") && text.contains("incorrect username"), "{text}");
    assert!(!text.contains("geheim") && !text.contains("Z2VoZWlt"), "{text}");
}

#[tokio::test]
async fn identity_tokens_are_posted_and_helpers_are_asked_again_when_refused() {
    let realm = Fake::start(|seen| {
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        if seen.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=two")
        {
            return reply(200, r#"{"access_token":"good"}"#);
        }
        reply(401, "")
    })
    .await;
    let url = realm.url("/token");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        Some("Bearer good") => reply(200, MANIFEST),
        _ => challenge(&url, ""),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let counter = dir.path().join("count");
    let helper = dir.path().join("docker-credential-fake");
    let script = format!(
        "#!/bin/sh\nread host\necho chatter >&2\nif [ -e {0} ]; then s=two; else s=one; : > {0}; fi\n\
         echo '{{\"Username\":\"<token>\",\"Secret\":\"'$s'\"}}'\n",
        counter.display()
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let auth_file = dir.path().join("auth.json");
    std::fs::write(&auth_file, format!(r#"{{"credHelpers":{{"{}":"fake"}}}}"#, registry.host)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let client = client(|options| {
        options.auth_file = Some(auth_file);
        options.environment = Environment::of(&[("PATH", &path)]);
    });
    client.manifest(&registry.repository("a/b"), &target()).await.unwrap();
    assert_eq!(realm.log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again_and_its_absence_is_no_missing_image() {
    let count = Arc::new(AtomicUsize::new(0));
    let tries = Arc::clone(&count);
    let realm = Fake::start(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => reply(503, ""),
        1 => reply(200, r#"{"token":"t"}"#),
        _ => reply(404, "no such page"),
    })
    .await;
    let url = realm.url("/token");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        Some("Bearer t") => reply(200, MANIFEST),
        _ => challenge(&url, ""),
    })
    .await;
    plain().manifest(&registry.repository("a/b"), &target()).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let error = plain().head_manifest(&registry.repository("a/b"), &target()).await.unwrap_err();
    assert!(!error.is_not_found() && error.to_string().contains("no token server"), "{error}");
}

#[tokio::test]
async fn a_mute_401_is_explained_by_the_root() {
    let realm = Fake::start(|_| reply(200, r#"{"token":"t"}"#)).await;
    let url = realm.url("/token");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        Some("Bearer t") => reply(200, MANIFEST),
        _ if seen.path == "/v2/" => {
            let value = format!("Bearer realm=\"{url}\"");
            status(401).header("www-authenticate", value).body(Body::empty()).unwrap()
        }
        _ => reply(401, ""),
    })
    .await;
    plain().manifest(&registry.repository("a/b"), &target()).await.unwrap();
    assert_eq!(realm.log.lock().unwrap()[0].path, "/token?scope=repository%3Aa%2Fb%3Apull");
}

#[tokio::test]
async fn the_target_of_a_redirect_may_want_a_token_of_its_own() {
    let realm = Fake::start(|_| reply(200, r#"{"token":"t"}"#)).await;
    let url = realm.url("/token");
    let other = Fake::start(move |seen| match seen.header("authorization") {
        Some("Bearer t") => reply(200, MANIFEST),
        None => challenge(&url, ""),
        Some(other) => panic!("{other} is not for here"),
    })
    .await;
    let location = other.url("/v2/c/manifests/v1");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        Some("Basic dTpw") => status(307).header("location", &location).body(Body::empty()).unwrap(),
        _ => status(401).header("www-authenticate", "Basic").body(Body::empty()).unwrap(),
    })
    .await;
    let host = registry.host.clone();
    let client = client(|options| {
        let password = Secret::new("p");
        options.given = vec![GivenCredentials { host, username: "u".into(), password, origin: "--username" }];
    });
    client.manifest(&registry.repository("a/b"), &target()).await.unwrap();
    assert!(realm.log.lock().unwrap()[0].header("authorization").is_none());
}

#[tokio::test]
async fn basic_is_used_where_it_is_asked_for() {
    let registry = Fake::start(|seen| match seen.header("authorization") {
        Some("Basic dTpw") => reply(200, MANIFEST),
        _ => status(401)
            .header("www-authenticate", "Negotiate")
            .header("www-authenticate", "Basic realm=\"x\"")
            .body(Body::empty())
            .unwrap(),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth.json");
    let environment = Environment::default();
    store_login(Some(&file), &environment, &registry.host, "u", &Secret::new("p")).unwrap();
    let with_file = client(|options| options.auth_file = Some(file.clone()));
    with_file.manifest(&registry.repository("a/b"), &target()).await.unwrap();
    assert_eq!(with_file.ping(&registry.host).await.unwrap(), PingOutcome::Registry { authenticated: true });
    assert_eq!(plain().ping(&registry.host).await.unwrap(), PingOutcome::NeedsLogin);
    let missing = client(|options| options.auth_file = Some(dir.path().join("none.json")));
    let error = missing.manifest(&registry.repository("a/b"), &target()).await.unwrap_err();
    assert!(error.to_string().contains("none.json"), "{error}");
}

#[test]
fn logins_are_stored_beside_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sub/auth.json");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(&file, r#"{"auths":{"other":{"auth":"x"},"https://r.io/v1/":{}},"mine":[1]}"#).unwrap();
    let (environment, host) = (Environment::default(), "r.io".parse().unwrap());
    store_login(Some(&file), &environment, &host, "u", &Secret::new("p:q")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["auths"]["r.io"]["auth"], "dTpwOnE=");
    assert_eq!((&value["auths"]["other"]["auth"], &value["mine"][0]), (&"x".into(), &1.into()));
    assert!(value["auths"].get("https://r.io/v1/").is_none());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(remove_login(Some(&file), &environment, &host).unwrap().is_some());
    assert!(remove_login(Some(&file), &environment, &host).unwrap().is_none());
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

/// Azure's registry, after its documentation: identity tokens of `az acr login` are exchanged by POST and by nothing
/// else; service principals, repository tokens and the all-zero user with a password log in by Basic.
#[tokio::test]
async fn azure_takes_identity_tokens_by_post_and_service_principals_by_basic() {
    const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
    let principal = "6f0ff5e6-4e5c-4d5b-9d6d-1a2b3c4d5e6f";
    let basic = |user: &str, password: &str| {
        let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:{password}"));
        (text.clone(), format!("Basic {text}"))
    };
    let (empty, by_empty) = basic(NOBODY, "");
    let logins = [basic(principal, "se:cret"), basic(NOBODY, "access.jwt")];
    let accepted: Vec<String> = logins.iter().map(|(_, header)| header.clone()).collect();
    let realm = Fake::start(move |seen| {
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        let authorization = seen.header("authorization");
        assert_ne!(authorization, Some(by_empty.as_str()), "a password that is empty is none");
        let posted = [
            "grant_type=refresh_token",
            "service=svc",
            "scope=repository%3Aa%2Fb%3Apull",
            "refresh_token=refresh.jwt",
        ];
        let is_identity =
            seen.method == "POST" && posted.iter().all(|part| form.contains(part)) && authorization.is_none();
        let is_basic =
            seen.method == "GET" && authorization.is_some_and(|sent| accepted.iter().any(|one| one == sent));
        if is_identity || is_basic {
            // A token for the registry, and a refresh token that is the host's own affair.
            return reply(200, r#"{"access_token":"good","refresh_token":"rotated.jwt"}"#);
        }
        reply(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
    })
    .await;
    let url = realm.url("/oauth2/token");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        Some("Bearer good") => reply(200, MANIFEST),
        _ => challenge(&url, ""),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let mut entries = vec![format!(r#"{{"auth":"{empty}","identitytoken":"refresh.jwt"}}"#)];
    entries.extend(logins.iter().map(|(auth, _)| format!(r#"{{"auth":"{auth}"}}"#)));
    for (n, entry) in entries.iter().enumerate() {
        let file = dir.path().join(n.to_string());
        std::fs::write(&file, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, registry.host)).unwrap();
        let client = client(|options| options.auth_file = Some(file));
        client.manifest(&registry.repository("a/b"), &target()).await.unwrap();
    }
    let methods: Vec<_> = realm.log.lock().unwrap().iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
}
