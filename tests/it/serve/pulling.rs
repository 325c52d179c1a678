//! Pull, content discovery, content management.

use super::*;

#[tokio::test]
async fn manifests_are_served_byte_for_byte_by_tag_and_digest() {
    let talk = Talk::start();
    for (tag, image) in [
        ("oci", images::image(1)),
        ("docker", ImageSpec::new(2).layer(Layer::gzip(2, 100)).docker().build()),
        ("sha512", ImageSpec::new(3).layer(Layer::gzip(3, 100)).sha512().build()),
        ("index", images::multi_platform(4)),
    ] {
        talk.registry.put_image("a/manifests/b", tag, &image);
        for reference in [tag.to_owned(), image.digest.to_string()] {
            let path = format!("/v2/a/manifests/b/manifests/{reference}");
            let answer = talk.get(&path).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, image.manifest);
            assert_eq!(answer.header("content-type"), image.media_type);
            assert_eq!(answer.header("docker-content-digest"), image.digest.to_string());
            let head = talk.head(&path).await;
            assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
            assert_eq!(head.header("content-length"), image.manifest.len().to_string());
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_with_the_specs_code() {
    let talk = Talk::start();
    talk.registry.put_image("a", "1", &images::image(1));
    let digest = Digest::sha256(b"elsewhere");
    for (path, code) in [
        ("/v2/a/manifests/none".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/.INVALID_MANIFEST_NAME".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{digest}"), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/blobs/{digest}"), "BLOB_UNKNOWN"),
        ("/v2/none/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("/v2/a/blobs/uploads/none".to_owned(), "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let answer = talk.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, code), "{path}");
    }
    assert_eq!(talk.head("/v2/a/manifests/none").await.status, 404);
    assert_eq!(talk.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn blobs_are_served_whole_and_in_ranges() {
    let talk = Talk::start();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 700_000)).layer(Layer::empty()).build();
    talk.registry.put_image("a", "1", &image);
    let (digest, bytes) = &image.blobs[1];
    let path = format!("/v2/a/blobs/{}", digest.to_string().replace(':', "%3A"));
    let whole = talk.get(&path).await;
    assert_eq!((whole.status, &whole.body[..]), (StatusCode::OK, &bytes[..]));
    assert_eq!(whole.header("etag"), format!("\"{digest}\""));
    assert_eq!(talk.head(&path).await.header("content-length"), "700000");
    for (range, part, stated) in [
        ("bytes=0-9", 0..10, "bytes 0-9/700000"),
        ("bytes=300000-", 300_000..700_000, "bytes 300000-699999/700000"),
        ("bytes=-5", 699_995..700_000, "bytes 699995-699999/700000"),
        ("bytes=699999-800000", 699_999..700_000, "bytes 699999-699999/700000"),
    ] {
        let answer = talk.ask(Method::GET, &path, &[("range", range)], Vec::new()).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::PARTIAL_CONTENT, &bytes[part]), "{range}");
        assert_eq!(answer.header("content-range"), stated);
    }
    let beyond = talk.ask(Method::GET, &path, &[("range", "bytes=700000-")], Vec::new()).await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */700000"));
    let stale = [("range", "bytes=0-9"), ("if-range", "\"other\"")];
    assert_eq!(talk.ask(Method::GET, &path, &stale, Vec::new()).await.status, 200);
    let known = [("if-none-match", whole.header("etag"))];
    assert_eq!(talk.ask(Method::GET, &path, &known, Vec::new()).await.status, 304);
    let empty = talk.get(&format!("/v2/a/blobs/{}", image.blobs[2].0)).await;
    assert_eq!((empty.status.as_u16(), empty.header("content-length")), (200, "0"));
    assert_eq!(talk.get(&format!("/v2/b/blobs/{digest}")).await.status, 404);
}

#[tokio::test]
async fn tags_and_repositories_come_in_pages() {
    let talk = Talk::start();
    for tag in ["b", "a", "C", "d.1"] {
        talk.registry.put_image("x/y", tag, &images::image(1));
    }
    talk.registry.put_image("x", "1", &images::image(1));
    let all = talk.get("/v2/x/y/tags/list").await.json();
    assert_eq!(all, serde_json::json!({ "name": "x/y", "tags": ["C", "a", "b", "d.1"] }));
    let mut path = "/v2/x/y/tags/list?n=3".to_owned();
    let first = talk.get(&path).await;
    assert_eq!(first.json()["tags"], serde_json::json!(["C", "a", "b"]));
    path = first.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    let second = talk.get(&path).await;
    assert_eq!((&second.json()["tags"], second.header("link")), (&serde_json::json!(["d.1"]), ""));
    let none = talk.get("/v2/x/y/tags/list?n=0").await;
    assert_eq!((&none.json()["tags"], none.header("link")), (&serde_json::json!([]), ""));
    assert_eq!(talk.get("/v2/x/y/tags/list?last=aa").await.json()["tags"], serde_json::json!(["b", "d.1"]));
    assert_eq!(talk.get("/v2/x/y/tags/list?n=-1").await.status, 400);
    let catalog = talk.get("/v2/_catalog?n=1").await;
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["x"]));
    assert_eq!(catalog.header("link"), "</v2/_catalog?n=1&last=x>; rel=\"next\"");
}

/// Whoever asks for no pages, or for endless ones, gets pages all the same.
#[tokio::test]
async fn a_list_is_never_longer_than_a_page() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "t0000", &image);
    let tags = talk.registry.folder().join("repositories/a/_tags");
    let manifests = |name: &str| talk.registry.folder().join("repositories").join(name).join("_manifests");
    for number in 1..1200 {
        std::fs::write(tags.join(format!("t{number:04}")), image.digest.to_string()).unwrap();
        std::fs::create_dir_all(manifests(&format!("r{number:04}"))).unwrap();
    }
    for (path, field) in [("/v2/a/tags/list", "tags"), ("/v2/_catalog", "repositories")] {
        for query in ["", "?n=18446744073709551615"] {
            let (mut next, mut sizes, mut all) = (format!("{path}{query}"), Vec::new(), Vec::new());
            while !next.is_empty() {
                let answer = talk.get(&next).await;
                let page = answer.json()[field].as_array().unwrap().clone();
                sizes.push(page.len());
                all.extend(page.iter().map(|item| item.as_str().unwrap().to_owned()));
                next = answer.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            }
            assert_eq!(sizes, [1000, 200], "{path}{query}");
            assert!(all.is_sorted() && all.first() < all.last());
        }
    }
}

#[tokio::test]
async fn referrers_come_in_pages_that_clients_can_read() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "1", &image);
    let mut expected = std::collections::BTreeSet::new();
    for number in 0..6 {
        let long = "x".repeat(700_000);
        let kind = if number % 2 == 0 { "application/even" } else { "application/odd" };
        let artifact = images::artifact(&image, kind, &[number])
            .altered(|manifest| manifest["annotations"]["long"] = long.into());
        talk.registry.put_untagged("a", &artifact);
        expected.insert((kind, artifact.digest.to_string()));
    }
    for filter in [None, Some("application/even")] {
        let query = filter.map_or(String::new(), |kind| format!("?artifactType={kind}"));
        let mut next = format!("/v2/a/referrers/{}{query}", image.digest);
        let (mut found, mut pages) = (std::collections::BTreeSet::new(), 0);
        while !next.is_empty() {
            let answer = talk.get(&next).await;
            assert!(answer.body.len() < 4 << 20);
            for referrer in answer.json()["manifests"].as_array().unwrap() {
                assert!(found.insert(referrer["digest"].as_str().unwrap().to_owned()));
            }
            next = answer.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            pages += 1;
        }
        let wanted = expected.iter().filter(|(kind, _)| filter.is_none_or(|filter| filter == *kind));
        assert_eq!(found, wanted.map(|(_, digest)| digest.clone()).collect());
        assert_eq!(pages, 3, "two of 700 kB fit on a page");
    }
    let path = format!("/v2/a/referrers/{}?last=x", image.digest);
    assert_eq!(talk.get(&path).await.code(), "DIGEST_INVALID");
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_forgotten() {
    let talk = Talk::start();
    let image = images::image(1);
    let path = format!("/v2/a/referrers/{}", image.digest);
    assert_eq!(talk.get(&path).await.json()["manifests"], serde_json::json!([]));
    let sbom = images::artifact(&image, "application/spdx+json", b"sbom");
    let scan = images::artifact(&image, "application/scan", b"scan");
    for artifact in [&sbom, &scan] {
        talk.registry.put_untagged("a", artifact);
    }
    let all = talk.get(&path).await;
    assert_eq!(all.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let filtered = talk.get(&format!("{path}?artifactType=application%2Fspdx%2Bjson")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let found = &filtered.json()["manifests"];
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["digest"], sbom.digest.to_string());
    assert_eq!(found[0]["artifactType"], "application/spdx+json");
    assert!(found[0]["annotations"].is_object());
    let gone = talk.delete(&format!("/v2/a/manifests/{}", sbom.digest)).await;
    assert_eq!(gone.status, 202);
    assert_eq!(talk.get(&path).await.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(talk.get("/v2/a/referrers/nonsense").await.code(), "DIGEST_INVALID");
}

#[tokio::test]
async fn deleting_removes_tags_then_manifests_then_blobs_and_their_content() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "1", &image);
    talk.registry.put_image("a", "2", &image);
    talk.registry.put_image("b", "1", &image);
    assert_eq!(talk.delete("/v2/a/manifests/1").await.status, 202);
    assert_eq!(talk.get("/v2/a/manifests/1").await.status, 404);
    assert_eq!(talk.get("/v2/a/manifests/2").await.status, 200);
    assert_eq!(talk.delete(&format!("/v2/a/manifests/{}", image.digest)).await.status, 202);
    assert_eq!(talk.get("/v2/a/manifests/2").await.status, 404);
    assert_eq!(talk.get("/v2/a/tags/list").await.json()["tags"], serde_json::json!([]));
    let content = talk.registry.folder().join(image.blobs[1].0.layout_path());
    let blob = |repository| format!("/v2/{repository}/blobs/{}", image.blobs[1].0);
    assert_eq!(talk.delete(&blob("a")).await.status, 202);
    assert_eq!(talk.delete(&blob("a")).await.status, 404);
    assert_eq!(talk.get(&blob("b")).await.status, 200);
    assert!(content.is_file());
    assert_eq!(talk.delete(&format!("/v2/b/manifests/{}", image.digest)).await.status, 202);
    assert_eq!(talk.delete(&blob("b")).await.status, 202);
    assert!(!content.exists());
}

#[tokio::test]
async fn what_something_else_needs_is_not_deleted() {
    let talk = Talk::start();
    let (image, index) = (images::image(1), images::multi_platform(2));
    talk.registry.put_image("a", "1", &image);
    talk.registry.put_image("a", "2", &image);
    talk.registry.put_image("a", "many", &index);
    talk.registry.put_image("b", "1", &image);
    let child = &index.children[0];
    let manifest = |digest: &Digest| format!("/v2/a/manifests/{digest}");
    let blob = |digest: &Digest| format!("/v2/a/blobs/{digest}");
    for (path, by) in [
        (blob(&image.blobs[0].0), format!("manifest {}", image.digest)),
        (blob(&image.blobs[1].0), format!("manifest {}", image.digest)),
        (blob(&child.blobs[0].0), format!("manifest {}", child.digest)),
        (manifest(&child.digest), format!("index {}", index.digest)),
        (manifest(&image.digest), "among them 1 and 2".to_owned()),
    ] {
        let refused = talk.delete(&path).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (405, "DENIED"), "{path}");
        assert_eq!(refused.header("allow"), "GET, HEAD");
        let message = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("still needed") && message.contains(&by), "{path}: {message}");
        assert_eq!(talk.get(&path).await.status, 200, "{path}");
    }
    // In the order in which nothing is left without what it needs, all of it goes.
    for path in ["/v2/a/manifests/1".to_owned(), manifest(&image.digest), manifest(&index.digest)]
        .into_iter()
        .chain(index.children.iter().map(|child| manifest(&child.digest)))
        .chain(image.blobs.iter().map(|(digest, _)| blob(digest)))
        .chain([blob(&child.blobs[0].0)])
    {
        assert_eq!(talk.delete(&path).await.status, 202, "{path}");
        assert_eq!(talk.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(talk.get("/v2/b/manifests/1").await.status, 200);
    assert_eq!(talk.get(&format!("/v2/b/blobs/{}", image.blobs[1].0)).await.status, 200);
}

/// A manifest that nobody can pull keeps nothing.
#[tokio::test]
async fn a_damaged_manifest_needs_nothing() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "1", &image);
    std::fs::write(talk.registry.folder().join(image.digest.layout_path()), b"{}").unwrap();
    assert_eq!(talk.get("/v2/a/manifests/1").await.status, 500);
    assert_eq!(talk.delete(&format!("/v2/a/blobs/{}", image.blobs[1].0)).await.status, 202);
    assert_eq!(talk.delete(&format!("/v2/a/manifests/{}", image.digest)).await.status, 202);
    assert_eq!(talk.get("/v2/a/manifests/1").await.status, 404);
}

#[tokio::test]
async fn a_blob_that_is_damaged_on_disk_never_arrives_as_if_it_were_whole() {
    let talk = Talk::start();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 700_000)).layer(Layer::empty()).build();
    talk.registry.put_image("a", "1", &image);
    for (digest, bytes) in &image.blobs {
        let (path, file) =
            (format!("/v2/a/blobs/{digest}"), talk.registry.folder().join(digest.layout_path()));
        assert_eq!(talk.get(&path).await.body, bytes.to_vec());
        let flipped: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        let cut = &bytes[..bytes.len().saturating_sub(1)];
        for damaged in [&flipped[..], cut].into_iter().filter(|damaged| *damaged != bytes) {
            std::fs::write(&file, damaged).unwrap();
            let answer = talk.client.get(talk.registry.url(&path)).send().await.unwrap();
            let status = answer.status();
            match answer.bytes().await {
                Ok(body) => assert_eq!(status, 500, "{} bytes", body.len()),
                Err(_) => assert_eq!(status, 200),
            }
        }
    }
}
