use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::secret::Secret;

const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

async fn read(client: &RegistryClient, fake: &Fake, bytes: &Bytes) -> Result<(Vec<u8>, u64), RegistryError> {
    let repository = fake.repository("a/b");
    let mut stream =
        client.blob(&(&repository).into(), &Digest::sha256(bytes), bytes.len() as u64, 0).await?;
    let mut read = Vec::new();
    while let Some(chunk) = stream.next().await? {
        read.extend_from_slice(&chunk);
    }
    Ok((read, stream.refetched_bytes()))
}

/// `bytes=5-99` as (5, 99).
fn range(seen: &Seen) -> Option<(usize, usize)> {
    let (start, end) = seen.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().unwrap(), end.parse().unwrap()))
}

#[tokio::test]
async fn a_manifest_that_is_altered_on_its_way_is_fetched_by_the_digest_it_is_named_with() {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let fake = Fake::start(move |seen| {
        let altered = MANIFEST.replace('{', "{ ");
        let body = if seen.path.contains("sha256:") { MANIFEST.to_owned() } else { altered };
        status(200).header("docker-content-digest", digest.to_string()).body(body.into()).unwrap()
    })
    .await;
    let (client, repository) = (plain(), fake.repository("a"));
    let fetched = client.manifest(&repository, &ManifestTarget::Tag("v1".parse().unwrap())).await.unwrap();
    assert_eq!((fetched.manifest.digest, &*fetched.manifest.bytes), (digest, MANIFEST.as_bytes()));
    assert!(client.take_warnings().is_empty());
}

#[tokio::test]
async fn manifests_are_checked_against_their_own_hash() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/" => reply(200, "{}"),
        "/v2/a/manifests/html" => status(200).header("content-type", "text/html").body("<p>".into()).unwrap(),
        "/v2/a/manifests/large" => reply(200, vec![b' '; 5 << 20]),
        _ => status(200)
            .header("docker-content-digest", "sha256:wrong")
            .header("warning", "299 - \"old \\\"thing\\\"\"")
            .header("ratelimit-remaining", "7;w=60")
            .body(MANIFEST.into())
            .unwrap(),
    })
    .await;
    let (client, repository) = (plain(), fake.repository("a"));
    let fetched = client.manifest(&repository, &by_tag("v1")).await.unwrap();
    assert_eq!(fetched.manifest.digest, Digest::sha256(MANIFEST.as_bytes()));
    assert_eq!(fetched.warnings, ["old \"thing\""]);
    assert_eq!(fetched.rate_limit.unwrap().remaining, 7);
    let digest = Digest::sha256(MANIFEST.as_bytes());
    assert!(client.manifest(&repository, &ManifestTarget::Digest(digest)).await.is_ok());
    let other = ManifestTarget::Digest(Digest::sha256(b"other"));
    assert_eq!(client.manifest(&repository, &other).await.unwrap_err().class(), ErrorClass::Content);
    let error = client.manifest(&repository, &by_tag("html")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotARegistry);
    assert_eq!(
        client.manifest(&repository, &by_tag("large")).await.unwrap_err().class(),
        ErrorClass::Content
    );
    // A header that is no digest sends the question to a GET.
    assert_eq!(client.head_manifest(&repository, &by_tag("v1")).await.unwrap(), Some(digest));
    let warnings = client.take_warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("another digest (sha256:wrong)"), "{warnings:?}");
    let asked = &fake.seen("GET", "/manifests/v1")[0];
    assert!(asked.header("accept").unwrap().contains("vnd.oci.image.index.v1+json"));
    assert!(client.stats().hosts[0].manifest_gets >= 5);
}

#[tokio::test]
async fn passing_failures_are_repeated_and_final_ones_are_not() {
    let count = Arc::new(AtomicUsize::new(0));
    let tries = Arc::clone(&count);
    let fake = Fake::start(move |seen| {
        if seen.path == "/v2/" {
            return reply(200, "{}");
        }
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => reply(500, ""),
            1 => status(429).header("retry-after", "0").body("slow down".into()).unwrap(),
            2 => cut(status(200), 1000, b"{"),
            3 => reply(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone\u001b[31m"}]}"#),
            _ => panic!("a 404 is final"),
        }
    })
    .await;
    let target = ManifestTarget::Tag("v1".parse().unwrap());
    let error = plain().manifest(&fake.repository("a"), &target).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::NotFound, Some("MANIFEST_UNKNOWN")));
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let text = error.to_string();
    assert!(text.contains(&format!("{}/a:v1", fake.host)) && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn each_status_is_passing_or_final() {
    let passing = [408, 425, 429, 499, 500, 502, 503, 504, 522];
    for code in passing.into_iter().chain([400, 402, 403, 404, 405, 409, 410, 413, 415, 416, 451, 501]) {
        let fake =
            Fake::start(move |seen| if seen.path == "/v2/" { reply(200, "{}") } else { reply(code, "") })
                .await;
        let client = client(|options| options.retries = 3);
        let target = ManifestTarget::Tag("v1".parse().unwrap());
        let error = client.manifest(&fake.repository("a"), &target).await.unwrap_err();
        let tries = fake.seen("GET", "/manifests/").len();
        assert_eq!(tries, if passing.contains(&code) { 3 } else { 1 }, "{code}: {error}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_ours_is_an_error_with_its_time() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/" => reply(200, "{}"),
        _ => status(429)
            .header("retry-after", "7200")
            .header("ratelimit-remaining", "0;w=21600")
            .header("docker-ratelimit-source", "me")
            .body(Body::empty())
            .unwrap(),
    })
    .await;
    let target = ManifestTarget::Tag("v1".parse().unwrap());
    let error = plain().manifest(&fake.repository("a"), &target).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::RateLimited);
    assert!(error.to_string().contains("in 120 min (0 requests left per 360 min, quota of me)"), "{error}");
}

#[tokio::test]
async fn a_cut_blob_goes_on_where_it_stopped() {
    let bytes = content(10_000);
    let blob = bytes.clone();
    let fake = Fake::start(move |seen| match range(seen) {
        _ if seen.path == "/v2/" => reply(200, "{}"),
        None => cut(status(200), blob.len(), &blob[..4000]),
        Some((start, end)) if start < 8000 => {
            let response = status(206).header("content-range", format!("bytes {start}-{end}/{}", blob.len()));
            cut(response, end + 1 - start, &blob[start..start + 2000])
        }
        Some((start, end)) => status(206)
            .header("content-range", format!("bytes {start}-{end}/{}", blob.len()))
            .body(blob.slice(start..=end).into())
            .unwrap(),
    })
    .await;
    let (read, refetched) = read(&plain(), &fake, &bytes).await.unwrap();
    assert_eq!((read, refetched), (bytes.to_vec(), 0));
    let starts: Vec<_> = fake.seen("GET", "/blobs/").iter().map(|seen| range(seen).map(|r| r.0)).collect();
    assert_eq!(starts, [None, Some(4000), Some(6000), Some(8000)]);
    assert_eq!(fake.seen("GET", "/blobs/")[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn what_a_server_sends_again_is_not_handed_out_twice() {
    for refusal in [200, 206, 416] {
        let bytes = content(9000);
        let blob = bytes.clone();
        let count = AtomicUsize::new(0);
        let fake = Fake::start(move |seen| {
            if seen.path == "/v2/" {
                return reply(200, "{}");
            }
            match (count.fetch_add(1, Ordering::SeqCst), range(seen)) {
                (0, _) => cut(status(200), blob.len(), &blob[..4000]),
                (1, Some(_)) if refusal == 416 => reply(416, "no"),
                (1, Some(_)) if refusal == 206 => status(206)
                    .header("content-range", "bytes 0-8999/9000")
                    .body(blob.clone().into())
                    .unwrap(),
                _ => reply(200, blob.clone()),
            }
        })
        .await;
        let (read, refetched) = read(&plain(), &fake, &bytes).await.unwrap();
        assert_eq!((read, refetched), (bytes.to_vec(), 4000), "{refusal}");
    }
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused() {
    let bytes = content(1000);
    for (sent, stated) in [(900, true), (1100, true), (1100, false), (900, false)] {
        let blob = content(sent);
        let fake = Fake::start(move |seen| {
            if seen.path == "/v2/" {
                return reply(200, "{}");
            }
            if stated {
                return reply(200, blob.clone());
            }
            let chunk = Ok::<_, std::io::Error>(blob.clone());
            reply(200, Body::from_stream(futures_util::stream::iter([chunk])))
        })
        .await;
        let error = read(&plain(), &fake, &bytes).await.unwrap_err();
        if (sent, stated) == (900, false) {
            // Without a stated length, the end of a short body cannot be distinguished from a break.
            assert_eq!(error.class(), ErrorClass::Unreachable, "{error}");
        } else {
            assert_eq!(error.class(), ErrorClass::Content, "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_silent_is_left() {
    let bytes = content(1000);
    let blob = bytes.clone();
    let count = AtomicUsize::new(0);
    let fake = Fake::start(move |seen| {
        if seen.path == "/v2/" || count.fetch_add(1, Ordering::SeqCst) > 0 {
            return reply(200, if seen.path == "/v2/" { Bytes::new() } else { blob.clone() });
        }
        let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let chunks = futures_util::stream::iter([Ok(blob.slice(..10))]).chain(silent);
        status(200).header("content-length", 1000).body(Body::from_stream(chunks)).unwrap()
    })
    .await;
    let client = client(|options| options.stall_timeout = Duration::from_millis(60));
    assert_eq!(read(&client, &fake, &bytes).await.unwrap().0, bytes);
}

#[tokio::test]
async fn redirects_do_not_carry_credentials_to_other_hosts() {
    let bytes = content(100);
    let blob = bytes.clone();
    let cdn = Fake::start(move |_| reply(200, blob.clone())).await;
    let target = cdn.url("/store?X-Amz-Signature=a%2Fb%3D&x=+");
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        _ if seen.path == "/v2/" => reply(200, "{}"),
        None => status(401).header("www-authenticate", "Basic realm=x").body(Body::empty()).unwrap(),
        Some(_) => status(307).header("location", &target).body(Body::empty()).unwrap(),
    })
    .await;
    let host = registry.host.clone();
    let client = client(|options| {
        options.given = vec![GivenCredentials {
            host,
            username: "u".into(),
            password: Secret::new("geheim"),
            origin: "--username",
        }];
    });
    assert_eq!(read(&client, &registry, &bytes).await.unwrap().0, bytes);
    let [seen] = &cdn.seen("GET", "")[..] else { panic!("one request expected") };
    assert_eq!(seen.path, "/store?X-Amz-Signature=a%2Fb%3D&x=+");
    assert!(seen.header("authorization").is_none() && seen.header("referer").is_none());
    assert!(!format!("{client:?}").contains("geheim"));
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/" => reply(200, "{}"),
        _ => status(302).header("location", "/again").body(Body::empty()).unwrap(),
    })
    .await;
    let error = read(&plain(), &fake, &content(10)).await.unwrap_err();
    assert!(error.to_string().contains("too many redirects"), "{error}");
    assert!(fake.log.lock().unwrap().len() < 15);
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_fall_back() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/" => reply(200, "{}"),
        "/v2/a/tags/list?n=1000" => status(200)
            .header("link", "</v2/a/tags/list?n=1000&last=x>; rel=\"next\"")
            .body(r#"{"tags":["w","x"]}"#.into())
            .unwrap(),
        path if path.contains("last=x") => reply(200, r#"{"name":"a","tags":["y"]}"#),
        path if path.contains("/manifests/sha256-") => status(200)
            .header("docker-content-digest", Digest::sha256(MANIFEST.as_bytes()).to_string())
            .body(MANIFEST.into())
            .unwrap(),
        _ => reply(404, "404 page not found"),
    })
    .await;
    let (client, repository) = (plain(), fake.repository("a"));
    assert_eq!(client.tags(&repository).await.unwrap(), ["w", "x", "y"]);
    for subject in [b"x", b"y"] {
        let referrers = client.referrers(&repository, &Digest::sha256(subject)).await.unwrap();
        assert_eq!(referrers, Referrers::default());
    }
    assert_eq!(fake.seen("GET", "/manifests/sha256-").len(), 2);
    assert_eq!(fake.seen("GET", "/referrers/").len(), 1, "a repository without them is asked once");
}

fn by_tag(tag: &str) -> ManifestTarget {
    ManifestTarget::Tag(tag.parse().unwrap())
}

fn in_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer that says it is in gzip, with or without its length.
fn labelled(body: Vec<u8>, with_length: bool) -> Response<Body> {
    let answer = status(200).header("content-encoding", "gzip").header("content-type", "application/json");
    if with_length {
        return answer.body(body.into()).unwrap();
    }
    let chunk = Ok::<_, std::io::Error>(Bytes::from(body));
    answer.body(Body::from_stream(futures_util::stream::iter([chunk]))).unwrap()
}

#[tokio::test]
async fn what_a_proxy_put_into_gzip_counts_by_its_digest() {
    let layer = in_gzip(&content(5000));
    for with_length in [true, false] {
        // A config that a proxy packed; a layer that is stored so, of which a proxy only says so; a text of which it lies.
        for (blob, sent) in [
            (content(1000), in_gzip(&content(1000))),
            (layer.clone().into(), layer.clone()),
            (content(1000), content(1000).to_vec()),
        ] {
            let fake = Fake::start(move |seen| match seen.path.as_str() {
                "/v2/" => reply(200, "{}"),
                _ => labelled(sent.clone(), with_length),
            })
            .await;
            assert_eq!(read(&plain(), &fake, &blob).await.unwrap().0, blob.to_vec());
        }
        let manifest =
            br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let digest = Digest::sha256(manifest);
        let fake = Fake::start(move |seen| match seen.path.as_str() {
            "/v2/" => reply(200, "{}"),
            path if path.contains("/tags/list") => {
                labelled(in_gzip(br#"{"name":"a/b","tags":["v1"]}"#), with_length)
            }
            path if path.ends_with("/denied") => {
                let mut answer = labelled(
                    in_gzip(br#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#),
                    with_length,
                );
                *answer.status_mut() = axum::http::StatusCode::FORBIDDEN;
                answer
            }
            _ => labelled(in_gzip(manifest), with_length),
        })
        .await;
        let repository = fake.repository("a/b");
        for target in [by_tag("v1"), ManifestTarget::Digest(digest)] {
            let fetched = plain().manifest(&repository, &target).await.unwrap();
            assert_eq!(fetched.manifest.bytes, &manifest[..]);
            let wanted = fetched.manifest;
            assert_eq!(plain().gives_out(&repository, &target, &wanted).await.unwrap(), GivenOut::Same);
        }
        let error = plain().manifest(&repository, &by_tag("denied")).await.unwrap_err();
        assert!(error.to_string().contains("DENIED (not yours)"), "{error}");
    }
}

#[tokio::test]
async fn gzip_that_holds_too_much_or_something_else_is_refused() {
    let bomb = in_gzip(&vec![b' '; 64 << 20]);
    let blob = content(1000);
    let other = in_gzip(&content(999));
    for (sent, words) in [(bomb, "larger than"), (other, "other content")] {
        let for_manifest = sent.clone();
        let fake = Fake::start(move |seen| match seen.path.as_str() {
            "/v2/" => reply(200, "{}"),
            _ => labelled(for_manifest.clone(), true),
        })
        .await;
        let error = read(&plain(), &fake, &blob).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Content, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let error = plain().manifest(&fake.repository("a/b"), &by_tag("v1")).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Content, "{error}");
    }
}
