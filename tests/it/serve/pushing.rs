//! Push: every way a blob may come, manifests and their checks.

use super::*;

const OCTETS: &str = "application/octet-stream";

#[tokio::test]
async fn blobs_come_at_once_streamed_or_in_chunks() {
    let talk = Talk::start();
    let bytes = Layer::gzip(1, 600_000).bytes.to_vec();
    let digest = Digest::sha256(&bytes);
    let done = |answer: &Answer, repository: &str| {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("location"), format!("/v2/{repository}/blobs/{digest}"));
        assert!(talk.registry.has_blob(repository, &digest), "{repository}");
    };
    let one = format!("/v2/post/blobs/uploads/?digest={digest}");
    done(&talk.ask(Method::POST, &one, &[("content-type", OCTETS)], bytes.clone()).await, "post");

    let upload = talk.upload("put").await;
    done(&talk.put(&format!("{upload}?digest={digest}"), OCTETS, &bytes).await, "put");

    let upload = talk.upload("patch").await;
    let patched = talk.ask(Method::PATCH, &upload, &[], bytes.clone()).await;
    assert_eq!((patched.status.as_u16(), patched.header("range")), (202, "0-599999"));
    done(&talk.put(&format!("{upload}?digest={digest}"), OCTETS, b"").await, "patch");

    let upload = talk.upload("chunks").await;
    let (first, rest) = bytes.split_at(250_001);
    let range = [("content-range", "0-250000")];
    let patched = talk.ask(Method::PATCH, &upload, &range, first.to_vec()).await;
    assert_eq!((patched.status.as_u16(), patched.header("range")), (202, "0-250000"));
    let again = talk.ask(Method::PATCH, &upload, &range, first.to_vec()).await;
    assert_eq!((again.status.as_u16(), again.header("range")), (416, "0-250000"));
    assert_eq!(again.header("location"), upload);
    let gap = [("content-range", "300000-599999")];
    assert_eq!(talk.ask(Method::PATCH, &upload, &gap, vec![0; 300_000]).await.status, 416);
    let lie = [("content-range", "250001-250002")];
    assert_eq!(talk.ask(Method::PATCH, &upload, &lie, rest.to_vec()).await.code(), "SIZE_INVALID");
    let status = talk.get(&upload).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-250000"));
    let last = [("content-range", "250001-599999")];
    let path = format!("{upload}?digest={digest}");
    done(&talk.ask(Method::PUT, &path, &last, rest.to_vec()).await, "chunks");
    assert_eq!(talk.get(&upload).await.status, 404);
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing_behind() {
    let talk = Talk::start();
    let digest = Digest::sha256(b"right");
    for path in [talk.upload("a").await, "/v2/a/blobs/uploads/".to_owned()] {
        let method = if path.ends_with('/') { Method::POST } else { Method::PUT };
        let answer = talk.ask(method, &format!("{path}?digest={digest}"), &[], b"wrong".to_vec()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "DIGEST_INVALID"));
    }
    let upload = talk.upload("a").await;
    assert_eq!(talk.put(&upload, OCTETS, b"x").await.code(), "DIGEST_INVALID");
    assert_eq!(talk.delete(&upload).await.status, 204);
    assert_eq!(talk.get(&upload).await.status, 404);
    assert!(!talk.registry.has_blob("a", &digest));
    assert_eq!(std::fs::read_dir(talk.registry.folder().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn empty_blobs_and_sha512_are_ordinary() {
    let talk = Talk::start();
    for digest in [Digest::sha256(b""), Digest::of(Algorithm::Sha512, b"")] {
        let upload = talk.upload("a").await;
        let answer = talk.put(&format!("{upload}?digest={digest}"), OCTETS, b"").await;
        assert_eq!(answer.status, 201);
    }
    // The algorithm becomes known only at the end, so the file is hashed again.
    let digest = Digest::of(Algorithm::Sha512, b"late");
    let upload = talk.upload("a").await;
    assert_eq!(talk.put(&format!("{upload}?digest={digest}"), OCTETS, b"late").await.status, 201);
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 10)).build();
    talk.registry.put_untagged("a", &image);
    let long = Digest::of(Algorithm::Sha512, &image.manifest);
    for path in [format!("/v2/a/manifests/{long}"), format!("/v2/a/manifests/t?digest={long}")] {
        let answer = talk.put(&path, &image.media_type, &image.manifest).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("docker-content-digest")),
            (201, &*long.to_string())
        );
    }
}

#[tokio::test]
async fn mounts_link_and_fall_back_to_an_upload() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("from", "1", &image);
    let digest = image.blobs[1].0;
    let mounted = talk.post(&format!("/v2/into/blobs/uploads/?mount={digest}&from=from")).await;
    assert_eq!(mounted.status, 201);
    assert!(talk.registry.has_blob("into", &digest));
    let other = Digest::sha256(b"unknown");
    for query in [
        format!("mount={digest}"),
        format!("mount={other}&from=from"),
        format!("mount={digest}&from=nobody"),
        format!("mount={digest}&from=../from"),
    ] {
        let answer = talk.post(&format!("/v2/other/blobs/uploads/?{query}")).await;
        assert_eq!(answer.status, 202, "{query}");
        assert!(answer.header("location").starts_with("/v2/other/blobs/uploads/"));
    }
    assert!(!talk.registry.has_blob("other", &digest));
}

#[tokio::test]
async fn manifests_are_taken_only_whole_and_honest() {
    let talk = Talk::start();
    let image = images::multi_platform(1);
    let child = &image.children[0];
    let early = talk.put("/v2/a/manifests/1", &child.media_type, &child.manifest).await;
    assert_eq!(early.code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(early.json()["errors"][0]["detail"]["digests"][0], child.blobs[0].0.to_string());
    let sparse = talk.put("/v2/a/manifests/1", &image.media_type, &image.manifest).await;
    assert_eq!(sparse.code(), "MANIFEST_BLOB_UNKNOWN");
    talk.registry.put_untagged("a", &image);
    let taken = talk.put("/v2/a/manifests/1", &image.media_type, &image.manifest).await;
    assert_eq!(
        (taken.status.as_u16(), taken.header("location")),
        (201, &*format!("/v2/a/manifests/{}", image.digest))
    );
    let wrong = Digest::sha256(b"other");
    for (path, kind, body, code) in [
        (
            format!("/v2/a/manifests/{wrong}"),
            image.media_type.as_str(),
            &image.manifest[..],
            "DIGEST_INVALID",
        ),
        ("/v2/a/manifests/1".into(), media_type::OCI_MANIFEST, &image.manifest[..], "MANIFEST_INVALID"),
        ("/v2/a/manifests/1".into(), media_type::OCI_MANIFEST, b"{", "MANIFEST_INVALID"),
        ("/v2/a/manifests/-1".into(), media_type::OCI_MANIFEST, b"{}", "MANIFEST_INVALID"),
        ("/v2/A/manifests/1".into(), media_type::OCI_MANIFEST, b"{}", "NAME_INVALID"),
    ] {
        let answer = talk.put(&path, kind, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{path}");
    }
    let large = talk.put("/v2/a/manifests/1", media_type::OCI_MANIFEST, &vec![b' '; (4 << 20) + 1]).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn a_subject_may_be_absent_and_is_confirmed() {
    let talk = Talk::start();
    let (subject, other) = (images::image(1), images::image(2));
    let artifact = images::artifact(&subject, "application/x", b"x");
    talk.registry.put_image("a", "other", &other);
    for (digest, bytes) in &artifact.blobs {
        let upload = talk.upload("a").await;
        assert_eq!(talk.put(&format!("{upload}?digest={digest}"), OCTETS, bytes).await.status, 201);
    }
    let answer = talk.put("/v2/a/manifests/sbom", &artifact.media_type, &artifact.manifest).await;
    assert_eq!(answer.header("oci-subject"), subject.digest.to_string());
    let (tag, signature) = images::signature(&other);
    talk.registry.put_image("a", &tag, &signature);
    assert_eq!(talk.get(&format!("/v2/a/manifests/{tag}")).await.status, 200);
}

#[tokio::test]
async fn a_broken_push_is_resumed_where_it_stopped() {
    let talk = Talk::start();
    let bytes = Layer::gzip(1, 900_000).bytes.to_vec();
    let upload = talk.upload("a").await;
    talk.registry.fault(Fault::on("PATCH", "/uploads/", Effect::DropRequest(300_000)));
    let broken = talk.client.patch(talk.registry.url(&upload)).body(bytes.clone()).send().await;
    assert!(broken.is_err());
    let kept = talk.get(&upload).await.header("range").to_owned();
    assert_eq!(kept, "0-299999");
    let range = [("content-range", "300000-899999")];
    assert_eq!(talk.ask(Method::PATCH, &upload, &range, bytes[300_000..].to_vec()).await.status, 202);
    let digest = Digest::sha256(&bytes);
    assert_eq!(talk.put(&format!("{upload}?digest={digest}"), OCTETS, b"").await.status, 201);
}

#[tokio::test]
async fn many_push_the_same_at_once() {
    let talk = Talk::start();
    let bytes = Layer::gzip(1, 400_000).bytes.to_vec();
    let digest = Digest::sha256(&bytes);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let pushes = (0..8).map(|_| talk.ask(Method::POST, &path, &[], bytes.clone()));
    for answer in futures_util::future::join_all(pushes).await {
        assert_eq!(answer.status, 201);
    }
    assert_eq!(talk.get(&format!("/v2/a/blobs/{digest}")).await.body, bytes);
}
