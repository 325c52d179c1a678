use std::collections::HashMap;

use super::*;

/// Faults of a small registry.
#[derive(Clone, Default)]
struct Faults {
    refuse_patch: Option<u16>,
    refuse_put_body: bool,
    /// The largest request body let through.
    max_body: Option<usize>,
    /// Answers to manifests before the blobs are seen.
    blind_manifests: usize,
    mountable: bool,
    /// Forgets this many sessions on their first PATCH.
    lose_sessions: usize,
    /// Keeps only this much of the first requests with PATCH, each.
    keep_only: Vec<usize>,
    /// Damages every body it gets.
    garbles: bool,
    /// Answers so many commits with 503, and keeps the session.
    failing_commits: usize,
    /// Then states this much more than it keeps.
    overstate: usize,
    /// So much more of the first request it kept only a part of is still under way when the status is asked for.
    late: usize,
    resuming: Resuming,
}

/// How the registry handles an upload that is resumed.
#[derive(Clone, Copy, Default, PartialEq)]
enum Resuming {
    #[default]
    Works,
    /// Nothing is said about the range of an upload that holds nothing.
    MuteWhenEmpty,
    /// The registry fails at every request that resumes an upload or ends an old one.
    Fails,
}

#[derive(Default)]
struct Store {
    faults: Faults,
    sessions: HashMap<String, Vec<u8>>,
    blobs: HashMap<String, Bytes>,
    next: usize,
    /// What comes late.
    under_way: Vec<u8>,
}

/// Whether the request resumes an upload, or ends the one of an earlier run.
fn goes_on(seen: &Seen, session: &str) -> bool {
    match seen.method.as_str() {
        "PATCH" => seen.header("content-range").is_some_and(|range| !range.starts_with("0-")),
        "PUT" => session == "old",
        _ => false,
    }
}

impl Store {
    fn answer(&mut self, seen: &Seen) -> Response<Body> {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let parameter = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        if !seen.complete || self.faults.max_body.is_some_and(|max| seen.body.len() > max) {
            return reply(413, "<html><title>413 Request Entity Too Large</title>");
        }
        let session = path.rsplit('/').next().unwrap_or_default().to_owned();
        if self.faults.resuming == Resuming::Fails && goes_on(seen, &session) {
            return reply(500, "");
        }
        match seen.method.as_str() {
            "HEAD" => match self.blobs.get(&session) {
                Some(blob) => reply(200, blob.clone()),
                None => reply(404, ""),
            },
            "GET" => {
                let Some(data) = self.sessions.get_mut(&session) else {
                    return reply(404, "");
                };
                let range = format!("0-{}", data.len().saturating_sub(1) + self.faults.overstate);
                data.append(&mut self.under_way);
                if self.faults.resuming == Resuming::MuteWhenEmpty && data.is_empty() {
                    return reply(204, "");
                }
                status(204).header("range", range).body(Body::empty()).unwrap()
            }
            "POST" if parameter("mount").is_some() && self.faults.mountable => reply(201, ""),
            "POST" => {
                self.next += 1;
                let id = format!("s{}", self.next);
                self.sessions.insert(id.clone(), Vec::new());
                status(202)
                    .header("location", format!("{path}{id}?_state=a%2Fb"))
                    .body(Body::empty())
                    .unwrap()
            }
            "PATCH" => {
                if let Some(code) = self.faults.refuse_patch {
                    return reply(code, "no PATCH here");
                }
                if self.faults.lose_sessions > 0 {
                    self.faults.lose_sessions -= 1;
                    self.sessions.remove(&session);
                }
                assert_eq!(parameter("_state"), Some("a%2Fb"));
                let Some(data) = self.sessions.get_mut(&session) else {
                    return reply(404, "");
                };
                let start =
                    seen.header("content-range").and_then(|range| range.split_once('-')?.0.parse().ok());
                if self.faults.late > 0 && start.is_some_and(|start: usize| start != data.len()) {
                    let range = format!("0-{}", data.len() - 1);
                    return status(416).header("range", range).body(Body::empty()).unwrap();
                }
                let kept = self.faults.keep_only.pop().unwrap_or(seen.body.len());
                if kept < seen.body.len() {
                    self.under_way = seen.body[kept..kept + self.faults.late].to_vec();
                }
                data.extend_from_slice(&seen.body[..kept]);
                if self.faults.garbles
                    && let Some(byte) = data.last_mut()
                {
                    *byte ^= 1;
                }
                let range = format!("0-{}", data.len() - 1);
                status(202)
                    .header("location", seen.path.clone())
                    .header("range", range)
                    .body(Body::empty())
                    .unwrap()
            }
            "PUT" if path.contains("/manifests/") => {
                if self.faults.blind_manifests > 0 {
                    self.faults.blind_manifests -= 1;
                    return reply(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{}}]}"#);
                }
                status(201).header("oci-subject", "x").body(Body::empty()).unwrap()
            }
            "PUT" => {
                if self.faults.refuse_put_body && !seen.body.is_empty() {
                    return reply(404, "");
                }
                if self.faults.failing_commits > 0 && seen.body.is_empty() {
                    self.faults.failing_commits -= 1;
                    return reply(503, "");
                }
                let Some(mut data) = self.sessions.remove(&session) else {
                    return reply(404, "");
                };
                data.extend_from_slice(&seen.body);
                let digest = parameter("digest").unwrap();
                if Digest::sha256(&data).to_string() != digest {
                    return reply(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
                }
                self.blobs.insert(digest.to_owned(), data.into());
                reply(201, "")
            }
            _ => reply(204, ""),
        }
    }
}

async fn registry(faults: Faults) -> (Fake, Arc<Mutex<Store>>) {
    let store = Arc::new(Mutex::new(Store { faults, ..Store::default() }));
    let shared = Arc::clone(&store);
    let fake =
        Fake::start(
            move |seen| {
                if seen.path == "/v2/" { reply(200, "{}") } else { shared.lock().unwrap().answer(seen) }
            },
        )
        .await;
    (fake, store)
}

#[tokio::test]
async fn the_ladder_finds_the_form_that_works_and_remembers_it() {
    let large = Some(1 << 20);
    for (faults, patches) in [
        (Faults::default(), 1),
        (Faults { refuse_patch: Some(405), ..Faults::default() }, 1),
        (Faults { max_body: large, ..Faults::default() }, 5),
        (Faults { lose_sessions: 2, ..Faults::default() }, 3),
    ] {
        let (fake, store) = registry(faults.clone()).await;
        let (client, repository, bytes) = (plain(), fake.repository("a/b"), content(3 << 20));
        let source = Memory::new(&bytes);
        let push = || client.push_blob(&repository, &source.digest, bytes.len() as u64, &source, None);
        assert_eq!(push().await.unwrap(), Pushed::Uploaded { bytes: 3 << 20 });
        assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], bytes);
        assert_eq!(push().await.unwrap(), Pushed::AlreadyThere);
        assert!(fake.seen("PATCH", "").iter().all(|seen| seen.header("content-length").is_some()));
        if faults.max_body.is_none() {
            assert_eq!(fake.seen("PATCH", "").len(), patches);
        }
        // The second blob goes the way that worked for the first.
        let before = fake.seen("POST", "").len();
        let second = Memory::new(&content(2_000_000));
        client.push_blob(&repository, &second.digest, 2_000_000, &second, None).await.unwrap();
        assert_eq!(fake.seen("POST", "").len(), before + 1);
    }
}

#[tokio::test]
async fn a_put_with_body_that_is_refused_leads_on_to_chunks() {
    let faults = Faults { refuse_patch: Some(405), refuse_put_body: true, ..Faults::default() };
    let (fake, _) = registry(faults).await;
    let source = Memory::new(&content(100));
    let error =
        plain().push_blob(&fake.repository("a"), &source.digest, 100, &source, None).await.unwrap_err();
    // Nothing works at this one; the client must come to an end and say what was answered.
    assert!(matches!(error.status(), Some(404 | 405)), "{error}");
    assert!(fake.log.lock().unwrap().len() < 80);
}

#[tokio::test]
async fn damaged_content_is_never_committed() {
    for refuse_patch in [None, Some(405)] {
        let (fake, store) = registry(Faults { refuse_patch, ..Faults::default() }).await;
        let mut source = Memory::new(&content(100_000));
        source.digest = Digest::sha256(b"something else");
        let error = plain()
            .push_blob(&fake.repository("a"), &source.digest, 100_000, &source, None)
            .await
            .unwrap_err();
        assert!(error.source_error().unwrap().to_string().contains("damaged"));
        assert!(store.lock().unwrap().blobs.is_empty());
        assert!(fake.seen("PUT", "").iter().all(|seen| !seen.complete));
        assert!(!fake.seen("DELETE", "").is_empty());
    }
}

#[tokio::test]
async fn mounting_is_tried_and_its_session_is_used_when_refused() {
    for mountable in [true, false] {
        let (fake, _) = registry(Faults { mountable, ..Faults::default() }).await;
        let bytes = content(10);
        let source = Memory::new(&bytes);
        let (to, from) = (fake.repository("a"), fake.repository("c/d"));
        let pushed = plain().push_blob(&to, &source.digest, 10, &source, Some(&from)).await.unwrap();
        assert_eq!(pushed, if mountable { Pushed::Mounted } else { Pushed::Uploaded { bytes: 10 } });
        let posts = fake.seen("POST", "");
        assert_eq!(posts.len(), 1);
        assert!(posts[0].path.contains("from=c/d") && posts[0].header("content-length") == Some("0"));
    }
}

#[tokio::test]
async fn empty_blobs_and_sessions_by_hand_work() {
    let (fake, store) = registry(Faults::default()).await;
    let (client, repository) = (plain(), fake.repository("a"));
    let empty = Memory::new(&Bytes::new());
    let pushed = client.push_blob(&repository, &empty.digest, 0, &empty, None).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded { bytes: 0 });
    let bytes = content(5000);
    let mut upload = Upload::begin(&client, &repository, Algorithm::Sha256).await.unwrap();
    upload.append(bytes.slice(..3000)).await.unwrap();
    upload.append(bytes.slice(3000..)).await.unwrap();
    assert_eq!(upload.offset(), 5000);
    upload.finish(&Digest::sha256(&bytes)).await.unwrap();
    assert_eq!(store.lock().unwrap().blobs.len(), 2);
    let ranges: Vec<_> =
        fake.seen("PATCH", "").iter().filter_map(|s| s.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["0-2999", "3000-4999"]);
    client.check_push_access(&repository).await.unwrap();
    assert_eq!(fake.seen("DELETE", "").len(), 1);
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_not_seen_yet_is_sent_again() {
    let (fake, _) = registry(Faults { blind_manifests: 2, ..Faults::default() }).await;
    let bytes = Bytes::from_static(b"{\"manifests\": [ ] }\n");
    let manifest = crate::image::RawManifest::new(bytes.clone(), None, None).unwrap();
    let target = ManifestTarget::Digest(manifest.digest);
    let (client, repository) = (plain(), fake.repository("a"));
    let put = client.put_manifest(&repository, &target, &manifest).await.unwrap();
    assert!(put.subject_recorded);
    let puts = fake.seen("PUT", "/manifests/");
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|p| p.body == bytes && p.header("content-type") == Some(&manifest.media_type)));
    let wrong = ManifestTarget::Digest(Digest::sha256(b"x"));
    assert_eq!(
        client.put_manifest(&repository, &wrong, &manifest).await.unwrap_err().class(),
        ErrorClass::Content
    );
}

#[tokio::test]
async fn a_broken_upload_goes_on_only_where_that_leads_to_the_blob() {
    for (overstate, sessions) in [(0, 1), (100, 2)] {
        let faults = Faults { keep_only: vec![4000], overstate, ..Faults::default() };
        let (fake, store) = registry(faults).await;
        let source = Memory::new(&content(10_000));
        let pushed = plain().push_blob(&fake.repository("a"), &source.digest, 10_000, &source, None).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 10_000 });
        assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], source.bytes);
        assert_eq!(fake.seen("POST", "").len(), sessions);
        let range = format!("{}-9999", 4000 + overstate);
        assert_eq!(fake.seen("PATCH", "")[1].header("content-range"), Some(range.as_str()));
    }
}

/// A registry may still be reading what a broken connection had under way when it is asked how far it got.
#[tokio::test]
async fn what_arrives_after_the_status_was_asked_for_is_not_sent_again() {
    let faults = Faults { keep_only: vec![4000], late: 500, ..Faults::default() };
    let (fake, store) = registry(faults).await;
    let source = Memory::new(&content(10_000));
    let pushed = plain().push_blob(&fake.repository("a"), &source.digest, 10_000, &source, None).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 10_000 });
    assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], source.bytes);
    assert_eq!(fake.seen("POST", "").len(), 1);
    let ranges: Vec<_> =
        fake.seen("PATCH", "").iter().map(|seen| seen.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("4000-9999".to_owned()), Some("4500-9999".to_owned())]);
}

#[tokio::test]
async fn what_arrives_late_of_data_that_cannot_be_replayed_is_not_sent_again_either() {
    let faults = Faults { keep_only: vec![4000], late: 500, ..Faults::default() };
    let (fake, store) = registry(faults).await;
    let (bytes, client) = (content(10_000), plain());
    let mut upload = Upload::begin(&client, &fake.repository("a"), Algorithm::Sha256).await.unwrap();
    upload.append(bytes.clone()).await.unwrap();
    upload.finish(&Digest::sha256(&bytes)).await.unwrap();
    assert_eq!(store.lock().unwrap().blobs[&Digest::sha256(&bytes).to_string()], bytes);
    assert_eq!(fake.seen("POST", "").len(), 1);
}

/// However often it breaks: what a registry is sure to have is not sent again, in one piece or in chunks, and neither
/// are blobs whose commit fails in passing.
#[tokio::test]
async fn an_upload_that_breaks_again_and_again_goes_on_each_time() {
    for chunked in [false, true] {
        let size = 20 << 20;
        let faults = Faults {
            keep_only: vec![100_000; 12],
            max_body: chunked.then_some(8 << 20),
            failing_commits: 3,
            ..Faults::default()
        };
        let (fake, store) = registry(faults).await;
        let source = Memory::new(&content(size));
        let pushed =
            plain().push_blob(&fake.repository("a"), &source.digest, size as u64, &source, None).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: size as u64 });
        assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], source.bytes);
        assert!(store.lock().unwrap().faults.keep_only.is_empty());
        // One for the form that got through, and one for the form that was too large.
        assert_eq!(fake.seen("POST", "").len(), if chunked { 2 } else { 1 });
    }
}

/// The bundle is not to blame, nor is it sent for ever.
#[tokio::test]
async fn what_arrives_altered_is_sent_once_more_and_blamed_on_the_way() {
    let (fake, _) = registry(Faults { garbles: true, keep_only: vec![500, 500], ..Faults::default() }).await;
    let source = Memory::new(&content(10_000));
    let pushed = plain().push_blob(&fake.repository("a"), &source.digest, 10_000, &source, None).await;
    let error = pushed.unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("DIGEST_INVALID"), ErrorClass::Other));
    assert!(error.hint().unwrap().contains("on its way"), "{:?}", error.hint());
    assert!(fake.seen("POST", "").len() <= 3);
}

/// An earlier run got so far: its session holds `held`, or is gone.
async fn after_a_kill(
    held: Option<&[u8]>,
    faults: Faults,
) -> (Fake, Arc<Mutex<Store>>, Memory, Result<Pushed, RegistryError>) {
    let (fake, store) = registry(faults).await;
    let source = Memory::new(&content(20 << 20));
    let repository = fake.repository("a");
    let home = tempfile::tempdir().unwrap();
    let environment = Environment::of(&[("HOME", home.path().to_str().unwrap())]);
    let location = fake.url("/v2/a/blobs/uploads/old?_state=a%2Fb").parse().unwrap();
    if let Some(held) = held {
        store.lock().unwrap().sessions.insert("old".to_owned(), held.to_vec());
    }
    Sessions::open(&environment, "key").unwrap().opened(&repository, &source.digest, &location);
    let client = plain();
    client.keep_sessions(Sessions::open(&environment, "key").unwrap());
    let size = source.bytes.len() as u64;
    let pushed = client.push_blob(&repository, &source.digest, size, &source, None).await;
    assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], source.bytes);
    (fake, store, source, pushed)
}

#[tokio::test]
async fn what_an_earlier_run_sent_is_not_sent_again() {
    let all = content(20 << 20);
    for held in [&all[..15 << 20], &all[..]] {
        let (fake, _, source, pushed) = after_a_kill(Some(held), Faults::default()).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: (source.bytes.len() - held.len()) as u64 });
        assert!(fake.seen("POST", "").is_empty());
        let sent: usize = fake.seen("PATCH", "").iter().map(|seen| seen.body.len()).sum();
        assert_eq!(sent, source.bytes.len() - held.len());
    }
}

#[tokio::test]
async fn a_session_that_is_not_what_it_seems_costs_one_clean_upload() {
    let (wrong, longer) = (vec![7; 9 << 20], vec![7; 21 << 20]);
    for held in [Some(&wrong[..]), Some(&longer[..]), None] {
        let (fake, _, source, pushed) = after_a_kill(held, Faults::default()).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 20 << 20 });
        assert_eq!(fake.seen("POST", "").len(), 1);
        let whole = fake.seen("PATCH", "").into_iter().filter(|seen| seen.header("content-range").is_none());
        assert_eq!(whole.map(|seen| seen.body.len()).collect::<Vec<_>>(), [source.bytes.len()]);
    }
}

#[tokio::test]
async fn where_only_whole_requests_get_through_they_are_smaller_the_next_time() {
    for resuming in [Resuming::Works, Resuming::MuteWhenEmpty] {
        let faults = Faults { resuming, ..Faults::default() };
        let (fake, _, _, pushed) = after_a_kill(Some(b""), faults).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 20 << 20 });
        let sizes: Vec<_> = fake.seen("PATCH", "").iter().map(|seen| seen.body.len() >> 20).collect();
        assert_eq!(sizes, [8, 8, 4]);
    }
}

/// Gitea states what it got of a cut request, and can neither go on from there nor end it.
#[tokio::test]
async fn a_session_that_fails_where_it_is_gone_on_with_is_given_up_at_once() {
    let all = content(20 << 20);
    let faults = || Faults { resuming: Resuming::Fails, ..Faults::default() };
    let (fake, _, source, pushed) = after_a_kill(Some(&all[..8 << 20]), faults()).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 20 << 20 });
    assert_eq!(fake.seen("PATCH", "/old").len(), 1);
    assert_eq!(fake.seen("POST", "").len(), 1);
    let sent: usize = fake.seen("PATCH", "").iter().map(|seen| seen.body.len()).sum();
    assert_eq!(sent, source.bytes.len() + (12 << 20));

    // All of it is there, and cannot be ended.
    let (fake, _, _, pushed) = after_a_kill(Some(&all[..]), faults()).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 20 << 20 });
    assert_eq!(fake.seen("PUT", "/old").len(), 1);

    // Cut within one run.
    let (fake, store) = registry(Faults { keep_only: vec![4000], ..faults() }).await;
    let source = Memory::new(&content(10_000));
    let pushed = plain().push_blob(&fake.repository("a"), &source.digest, 10_000, &source, None).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded { bytes: 10_000 });
    assert_eq!(store.lock().unwrap().blobs[&source.digest.to_string()], source.bytes);
    assert_eq!(fake.seen("PATCH", "").len(), 3);
}
