//! Rules of registries that need a server which keeps them, or breaks them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::image::{RawManifest, media_type};
use crate::secret::Secret;

const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn target() -> ManifestTarget {
    ManifestTarget::Tag("v1".parse().unwrap())
}

fn raw(text: impl Into<Bytes>, stated: Option<&str>) -> RawManifest {
    RawManifest::new(text.into(), stated, None).unwrap()
}

/// A helper that does what `script` says; a client that is sent to it by its credentials file.
fn with_helper(host: &HostName, script: &str) -> (tempfile::TempDir, RegistryClient) {
    let dir = tempfile::tempdir().unwrap();
    let helper = dir.path().join("docker-credential-fake");
    std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let auth_file = dir.path().join("auth.json");
    std::fs::write(&auth_file, format!(r#"{{"credHelpers":{{"{host}":"fake"}}}}"#)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let client = client(|options| {
        options.auth_file = Some(auth_file);
        options.environment = Environment::of(&[("PATH", &path)]);
    });
    (dir, client)
}

/// A registry that wants Basic, and keeps what it got.
async fn with_basic() -> Fake {
    Fake::start(|seen| match seen.header("authorization") {
        Some(_) => reply(200, MANIFEST),
        None => status(401).header("www-authenticate", "Basic realm=x").body(Body::empty()).unwrap(),
    })
    .await
}

#[tokio::test]
async fn a_helper_is_asked_for_the_host_and_each_of_its_failures_is_told_apart() {
    let registry = with_basic().await;
    let repository = registry.repository("a");
    let script = r#"read host; echo "{\"Username\":\"$host\",\"Secret\":\"geheim\"}"; echo noise >&2"#;
    let (_dir, client) = with_helper(&registry.host, script);
    client.manifest(&repository, &target()).await.unwrap();
    let sent = registry.seen("GET", "").last().unwrap().header("authorization").unwrap().to_owned();
    let pair = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &sent[6..]).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), format!("{}:geheim", registry.host));
    for (script, says) in [
        ("echo credentials not found in native keychain; exit 1", "no credentials"),
        ("echo the vault is locked, geheim; exit 1", "credential helper docker-credential-fake failed"),
        ("echo '{\"Username\":\"u\"}'", "gave no usable answer"),
        ("echo geheim", "gave no usable answer"),
        ("head -c 200000 /dev/zero", "credential helper docker-credential-fake failed"),
    ] {
        let (_dir, client) = with_helper(&registry.host, script);
        let error = client.manifest(&repository, &target()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Denied, "{script}");
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(text.contains(says) && !text.contains("geheim"), "{script}: {text}");
    }
    let (dir, client) = with_helper(&registry.host, "");
    std::fs::remove_file(dir.path().join("docker-credential-fake")).unwrap();
    let error = client.manifest(&repository, &target()).await.unwrap_err();
    assert!(error.to_string().contains("docker-credential-fake is configured, but not found"), "{error}");
}

#[tokio::test]
async fn odd_user_names_and_passwords_arrive_as_they_are() {
    let key = "{\n  \"type\": \"service_account\",\n  \"key\": \"a\\nb$HOME`id`%s\"\n}\n";
    for (username, password) in [
        ("robot$proj+name", "p:q"),
        ("org+robot", "$(id)"),
        ("AWS", "x y"),
        ("_json_key", key),
        ("oauth2accesstoken", "ya29.\u{e4}"),
        ("$oauthtoken", "{{ .Values.x }}"),
    ] {
        let realm = Fake::start(|_| reply(200, r#"{"token":"t"}"#)).await;
        let url = realm.url("/token");
        let registry = Fake::start(move |seen| {
            if seen.header("authorization") == Some("Bearer t") {
                return reply(200, MANIFEST);
            }
            let value = format!("Bearer realm=\"{url}\"");
            status(401).header("www-authenticate", value).body(Body::empty()).unwrap()
        })
        .await;
        let host = registry.host.clone();
        let client = client(|options| {
            let (username, password) = (username.to_owned(), Secret::new(password));
            options.given = vec![GivenCredentials { host, username, password, origin: "--username" }];
        });
        client.manifest(&registry.repository("a"), &target()).await.unwrap();
        let asked = &realm.seen("GET", "/token")[0];
        let pair = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            &asked.header("authorization").unwrap()[6..],
        );
        assert_eq!(String::from_utf8(pair.unwrap()).unwrap(), format!("{username}:{password}"));
        let asked = url::Url::parse(&realm.url(&asked.path)).unwrap();
        let account = asked.query_pairs().find(|(name, _)| name == "account");
        assert_eq!(account.unwrap().1, username);
    }
}

#[tokio::test]
async fn a_token_of_too_small_a_scope_is_exchanged_once_and_a_denial_is_final() {
    for enough in [true, false] {
        let count = Arc::new(AtomicUsize::new(0));
        let issued = Arc::clone(&count);
        let realm = Fake::start(move |_| {
            let n = issued.fetch_add(1, Ordering::SeqCst) + 1;
            reply(200, format!(r#"{{"token":"t{n}"}}"#))
        })
        .await;
        let url = realm.url("/token");
        let registry = Fake::start(move |seen| {
            let ask = |scope: &str, more: &str| {
                let value = format!("Bearer realm=\"{url}\",scope=\"repository:a/b:{scope}\"{more}");
                status(401).header("www-authenticate", value).body(Body::empty()).unwrap()
            };
            match seen.header("authorization") {
                None => ask("pull", ""),
                Some("Bearer t2") if enough => reply(200, MANIFEST),
                Some(_) => ask("pull,delete", ",error=\"insufficient_scope\""),
            }
        })
        .await;
        let result = plain().manifest(&registry.repository("a/b"), &target()).await;
        let scopes: Vec<_> = realm.seen("GET", "").into_iter().map(|seen| seen.path).collect();
        assert_eq!(
            scopes,
            ["/token?scope=repository%3Aa%2Fb%3Apull", "/token?scope=repository%3Aa%2Fb%3Apull%2Cdelete"]
        );
        if enough {
            result.unwrap();
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Denied);
            assert!(error.to_string().contains("a/b:v1"), "{error}");
        }
    }
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let registry = Fake::start(move |_| reply(403, denied)).await;
    let error = plain().manifest(&registry.repository("a/b"), &target()).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Denied, Some("DENIED")));
    assert_eq!(registry.seen("GET", "/manifests/").len(), 1);
}

#[tokio::test]
async fn where_head_is_refused_a_get_answers() {
    for refusal in [401, 403, 404, 405] {
        let registry = Fake::start(move |seen| match seen.method.as_str() {
            "HEAD" => reply(refusal, ""),
            _ => reply(200, MANIFEST),
        })
        .await;
        let (client, repository) = (plain(), registry.repository("a"));
        let found = client.head_manifest(&repository, &target()).await.unwrap();
        assert_eq!(found, Some(Digest::sha256(MANIFEST.as_bytes())), "{refusal}");
        let blob = Digest::sha256(b"x");
        let has = client.has_blob(&repository, &blob).await.unwrap();
        // A blob's absence is what a 404 says; the others say nothing.
        assert_eq!(has.is_some(), refusal != 404, "{refusal}");
    }
}

#[tokio::test]
async fn every_kind_of_manifest_is_accepted_and_asked_for_on_manifests_only() {
    let registry =
        Fake::start(
            |seen| {
                if seen.path.contains("/manifests/") { reply(200, MANIFEST) } else { reply(404, "") }
            },
        )
        .await;
    let (client, repository) = (plain(), registry.repository("a"));
    client.manifest(&repository, &target()).await.unwrap();
    client.head_manifest(&repository, &target()).await.unwrap();
    let _ = client.has_blob(&repository, &Digest::sha256(b"x")).await;
    let log = registry.log.lock().unwrap().clone();
    for seen in log.iter().filter(|seen| seen.path.contains("/manifests/")) {
        let accept = seen.header("accept").unwrap();
        for kind in [
            media_type::OCI_INDEX,
            media_type::OCI_MANIFEST,
            media_type::DOCKER_LIST,
            media_type::DOCKER_MANIFEST,
        ] {
            assert!(accept.contains(kind), "{} {accept}", seen.method);
        }
        assert_eq!(seen.headers.get_all("accept").iter().count(), 1);
    }
    let blob = log.iter().find(|seen| seen.path.contains("/blobs/")).unwrap();
    assert!(!blob.header("accept").unwrap_or_default().contains("manifest"));
}

/// A server of whole answers, which closes every connection after so many of them, just when the next request comes.
async fn closing_after(answers: usize) -> (HostName, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string().parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 << 10];
                for left in (0..=answers).rev() {
                    let mut got = Vec::new();
                    while !got.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
                            _ => return,
                        }
                    }
                    if left == 0 {
                        return;
                    }
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MANIFEST.len());
                    let body = if got.starts_with(b"HEAD") { "" } else { MANIFEST };
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                }
            });
        }
    });
    (host, connections)
}

#[tokio::test]
async fn connections_that_close_under_a_request_cost_another_and_no_failure() {
    let (host, connections) = closing_after(3).await;
    let repository = Repository::new(host, "a").unwrap();
    let client = client(|options| options.retries = 3);
    for _ in 0..20 {
        client.manifest(&repository, &target()).await.unwrap();
    }
    let opened = connections.load(Ordering::SeqCst);
    assert!(opened >= 6, "{opened}");
}

#[tokio::test]
async fn what_a_manifest_refers_to_may_come_a_moment_later() {
    for absences in [2, 9] {
        let count = AtomicUsize::new(0);
        let blob = content(100);
        let served = blob.clone();
        let registry = Fake::start(move |seen| match () {
            () if seen.path == "/v2/" => reply(200, "{}"),
            () if count.fetch_add(1, Ordering::SeqCst) < absences => {
                reply(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#)
            }
            () if seen.path.contains("/blobs/") => reply(200, served.clone()),
            () => reply(200, MANIFEST),
        })
        .await;
        let repository = registry.repository("a");
        let child = plain().referred_manifest(&repository, &Digest::sha256(MANIFEST.as_bytes())).await;
        assert_eq!(child.is_ok(), absences == 2);
        assert_eq!(registry.seen("GET", "/manifests/").len(), 3);
        let opened = plain().blob(&(&repository).into(), &Digest::sha256(&blob), 100, 0).await;
        assert_eq!(opened.is_ok(), absences == 2);
    }
}

#[tokio::test]
async fn odd_but_kind_answers_to_uploads_count() {
    // ECR answers a PATCH with 201, others with 204; a manifest may be taken without a word about it.
    for (patch, put, manifest) in [(201, 201, 201), (204, 204, 200), (202, 201, 202)] {
        let registry =
            Fake::start(move |seen| match (seen.method.as_str(), seen.path.contains("/manifests/")) {
                ("HEAD", _) => reply(404, ""),
                ("POST", _) => status(202).header("location", "/v2/a/up/1").body(Body::empty()).unwrap(),
                ("PATCH", _) => reply(patch, ""),
                ("PUT", true) => reply(manifest, ""),
                ("PUT", false) => reply(put, ""),
                _ => reply(200, "{}"),
            })
            .await;
        let (client, repository) = (plain(), registry.repository("a"));
        let source = Memory::new(&content(1000));
        let pushed = client.push_blob(&repository, &source.digest, 1000, &source, None).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 1000 });
        let put = client.put_manifest(&repository, &target(), &raw(MANIFEST, None)).await.unwrap();
        assert_eq!((put.digest, put.subject_recorded), (None, false));
        assert_eq!(registry.seen("PATCH", "").len(), 1);
    }
}

#[tokio::test]
async fn the_type_that_is_sent_is_the_one_in_the_manifest_or_the_one_it_came_with() {
    let registry = Fake::start(|_| reply(201, "")).await;
    let (client, repository) = (plain(), registry.repository("a"));
    let own = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_LIST);
    let mute =
        r#"{"schemaVersion":2,"config":{"mediaType":"x/y","digest":"sha256:00","size":1},"layers":[]}"#
            .replace("sha256:00", &Digest::sha256(b"x").to_string());
    for (manifest, expected) in [
        (raw(own, Some("application/vnd.oci.image.index.v1+json; charset=utf-8")), media_type::DOCKER_LIST),
        (raw(mute, Some(media_type::OCI_MANIFEST)), media_type::OCI_MANIFEST),
    ] {
        client.put_manifest(&repository, &target(), &manifest).await.unwrap();
        let put = registry.seen("PUT", "").pop().unwrap();
        assert_eq!((put.header("content-type"), &put.body), (Some(expected), &manifest.bytes));
    }
}

#[tokio::test]
async fn a_manifest_that_is_too_large_there_is_told_with_its_size() {
    let large =
        format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"x":"{}"}}}}"#, "y".repeat(5 << 20));
    let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"http: request body too large"}]}"#;
    for (code, body) in [(400, body), (413, "")] {
        let registry = Fake::start(move |_| reply(code, body)).await;
        let manifest = raw(large.clone(), None);
        let error = plain().put_manifest(&registry.repository("a"), &target(), &manifest).await.unwrap_err();
        assert!(error.to_string().contains(&format!("of {} bytes", large.len())), "{error}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_cancelled_is_nobodys_failure() {
    let registry = Fake::start(|seen| match seen.method.as_str() {
        "POST" => status(202).header("location", "/v2/a/up/1").body(Body::empty()).unwrap(),
        "DELETE" => reply(405, "no"),
        _ => reply(200, "{}"),
    })
    .await;
    plain().check_push_access(&registry.repository("a")).await.unwrap();
    assert_eq!(registry.seen("DELETE", "/v2/a/up/1").len(), 1);
}

#[tokio::test]
async fn a_registry_that_takes_nothing_more_is_not_stormed() {
    let registry = Fake::start(|seen| match seen.method.as_str() {
        "POST" => status(202).header("location", "/v2/a/up/1").body(Body::empty()).unwrap(),
        "PATCH" => {
            reply(500, r#"{"errors":[{"code":"UNKNOWN","message":"write: no space left on device"}]}"#)
        }
        "HEAD" => reply(404, ""),
        _ => reply(200, "{}"),
    })
    .await;
    let (client, repository) = (client(|options| options.retries = 4), registry.repository("a"));
    let mut before = 0;
    for n in 0..6_usize {
        let source = Memory::new(&content(1000 + n));
        let size = source.bytes.len() as u64;
        let error = client.push_blob(&repository, &source.digest, size, &source, None).await.unwrap_err();
        assert!(error.to_string().contains("no space left on device"), "{error}");
        let tries = registry.seen("PATCH", "").len() - before;
        before += tries;
        assert_eq!(tries, if n < 3 { 4 } else { 1 }, "blob {n}");
    }
}

#[tokio::test]
async fn a_firewalls_page_is_no_denial_of_access() {
    let page = "<html><head><title>Blocked by Web Gateway</title></head>";
    for code in [403, 406] {
        let registry = Fake::start(move |seen| match seen.method.as_str() {
            "POST" => status(202).header("location", "/v2/a/up/1").body(Body::empty()).unwrap(),
            "PATCH" | "PUT" => status(code).header("content-type", "text/html").body(page.into()).unwrap(),
            _ => reply(404, ""),
        })
        .await;
        let source = Memory::new(&content(1000));
        let pushed = plain().push_blob(&registry.repository("a"), &source.digest, 1000, &source, None).await;
        let error = pushed.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Other, "{error}");
        assert!(error.to_string().contains("Blocked by Web Gateway"), "{error}");
        assert!(error.hint().unwrap().contains("firewall"), "{:?}", error.hint());
    }
}

#[tokio::test]
async fn plain_http_is_spoken_to_loopback_and_to_whom_it_is_meant_for() {
    let registry = Fake::start(|_| reply(200, MANIFEST)).await;
    let port = registry.host.as_str().rsplit_once(':').unwrap().1.to_owned();
    // The same server under a name that is not loopback, as far as anybody knows.
    let host: HostName = format!("registry.example:{port}").parse().unwrap();
    let repository = Repository::new(host.clone(), "a").unwrap();
    let address: SocketAddr = registry.host.as_str().parse().unwrap();
    let addresses = vec![("registry.example".to_owned(), vec![address])];
    let strict = client(|options| {
        options.retries = 1;
        options.addresses.clone_from(&addresses);
    });
    let error = strict.manifest(&repository, &target()).await.unwrap_err();
    assert!(error.hint().unwrap().contains(&format!("--plain-http {host}")), "{error}");
    assert!(registry.log.lock().unwrap().is_empty(), "nothing was said in the clear");
    let told = client(|options| {
        options.plain_http = vec![host.clone()];
        options.addresses.clone_from(&addresses);
    });
    told.manifest(&repository, &target()).await.unwrap();
    // Loopback by itself, but not when HTTPS was asked for.
    plain().manifest(&registry.repository("a"), &target()).await.unwrap();
    let insists = client(|options| {
        options.retries = 1;
        options.tls_only = vec![registry.host.clone()];
    });
    insists.manifest(&registry.repository("a"), &target()).await.unwrap_err();
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let registry = Fake::start(|_| reply(200, MANIFEST)).await;
    let address: SocketAddr = registry.host.as_str().parse().unwrap();
    let dead = ["[::1]:0", "127.0.0.9:0", "127.0.0.10:0"].map(|text| text.parse::<SocketAddr>().unwrap());
    let host: HostName = format!("registry.example:{}", address.port()).parse().unwrap();
    let client = client(|options| {
        options.retries = 1;
        options.plain_http = vec![host.clone()];
        let all = [&dead[..], &[address]].concat();
        options.addresses = vec![("registry.example".to_owned(), all)];
    });
    client.manifest(&Repository::new(host, "a").unwrap(), &target()).await.unwrap();
}

#[tokio::test]
async fn private_addresses_are_as_good_as_any() {
    for host in
        ["10.0.0.5:5000", "192.168.1.2", "172.16.0.1", "169.254.10.1:443", "[fd00::1]:5000", "[fe80::1]"]
    {
        host.parse::<HostName>().unwrap_or_else(|error| panic!("{host}: {error}"));
    }
    // Neither the registry nor where it keeps its blobs is refused for its address.
    let blob = content(100);
    let served = blob.clone();
    let store = Fake::start(move |_| reply(200, served.clone())).await;
    let location = store.url("/blob");
    let registry = Fake::start(move |seen| match seen.path.as_str() {
        "/v2/" => reply(200, "{}"),
        _ => status(307).header("location", &location).body(Body::empty()).unwrap(),
    })
    .await;
    let mut stream =
        plain().blob(&(&registry.repository("a")).into(), &Digest::sha256(&blob), 100, 0).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), blob);
}
