//! What is said about a refusal follows from what was asked and answered.

use super::*;

/// A registry that lets uploads begin, and answers their ends with this.
async fn ending(code: u16, body: &'static str) -> Fake {
    Fake::start(move |seen| match seen.method.as_str() {
        "POST" => status(202).header("location", "/v2/a/blobs/uploads/1").body(Body::empty()).unwrap(),
        "PATCH" => status(202).body(Body::empty()).unwrap(),
        "PUT" => reply(code, body),
        _ => reply(404, ""),
    })
    .await
}

fn source(algorithm: Algorithm) -> Memory {
    let bytes = content(100);
    Memory { digest: Digest::of(algorithm, &bytes), bytes }
}

async fn push(fake: &Fake, source: &Memory) -> RegistryError {
    let client = client(|options| options.retries = 3);
    client.push_blob(&fake.repository("a"), &source.digest, 100, source, None).await.unwrap_err()
}

#[tokio::test]
async fn uploads_name_an_algorithm_that_is_not_the_usual_one() {
    for (algorithm, named) in [(Algorithm::Sha256, ""), (Algorithm::Sha512, "digest-algorithm=sha512")] {
        let fake = ending(201, "").await;
        let (client, source) = (plain(), source(algorithm));
        let (target, other) = (fake.repository("a"), fake.repository("b"));
        client.push_blob(&target, &source.digest, 100, &source, None).await.unwrap();
        client.mount_blob(&target, &source.digest, &other).await.unwrap();
        let posts: Vec<String> = fake.seen("POST", "").into_iter().map(|seen| seen.path).collect();
        let query = if named.is_empty() { String::new() } else { format!("?{named}") };
        let more = if named.is_empty() { String::new() } else { format!("&{named}") };
        let expected = [
            format!("/v2/a/blobs/uploads/{query}"),
            format!("/v2/a/blobs/uploads/?mount={}&from=b{more}", source.digest),
        ];
        assert_eq!(posts, expected);
    }
}

#[tokio::test]
async fn a_digest_that_a_registry_does_not_know_is_not_blamed_on_the_way() {
    let invalid = r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#;
    let fake = ending(400, invalid).await;
    let hint = push(&fake, &source(Algorithm::Sha512)).await.hint().unwrap();
    assert!(hint.contains("may know digests by sha256 only, and not by sha512"), "{hint}");
    // It will not know it the second time.
    assert_eq!(fake.seen("PUT", "").len(), 1);
    let fake = ending(400, invalid).await;
    let hint = push(&fake, &source(Algorithm::Sha256)).await.hint().unwrap();
    assert!(hint.contains("altered"), "{hint}");
    assert_eq!(fake.seen("PUT", "").len(), 2);
}

#[tokio::test]
async fn a_mute_403_behind_an_upload_that_was_let_in_is_rather_a_quota() {
    let hint = push(&ending(403, "").await, &source(Algorithm::Sha256)).await.hint().unwrap();
    assert!(hint.contains("a quota"), "{hint}");
    let denied = r#"{"errors":[{"code":"DENIED","message":"read-only"}]}"#;
    let hint = push(&ending(403, denied).await, &source(Algorithm::Sha256)).await.hint().unwrap();
    assert!(hint.contains("check that the account may do this"), "{hint}");
    // Before anything was let in, it is about the account.
    let closed = Fake::start(|seen| reply(if seen.method == "POST" { 403 } else { 404 }, "")).await;
    let hint = push(&closed, &source(Algorithm::Sha256)).await.hint().unwrap();
    assert!(hint.contains("check that the account may do this"), "{hint}");
}

#[tokio::test]
async fn a_name_that_is_not_allowed_leads_to_another_prefix() {
    let fake = Fake::start(|seen| {
        reply(if seen.method == "POST" { 400 } else { 404 }, r#"{"errors":[{"code":"NAME_INVALID"}]}"#)
    })
    .await;
    let error = plain().check_push_access(&fake.repository("a__b/c")).await.unwrap_err();
    let expected = format!("another prefix: -d {}/PREFIX", fake.host);
    assert!(error.hint().unwrap().ends_with(&expected), "{:?}", error.hint());
}
