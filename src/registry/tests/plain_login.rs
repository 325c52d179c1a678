//! A login is sent in clear text to loopback and to hosts that were named for it, whatever leads elsewhere.

use std::net::SocketAddr;

use super::*;
use crate::secret::Secret;

/// A server that wants a login for everything, under a name that is not loopback.
struct Lure {
    fake: Fake,
    host: HostName,
}

impl Lure {
    async fn new() -> Self {
        let fake = Fake::start(|seen| match seen.header("authorization") {
            None => status(401).header("www-authenticate", "Basic realm=x").body(Body::empty()).unwrap(),
            Some(_) => reply(200, r#"{"token":"t","tags":["a"]}"#),
        })
        .await;
        let port = fake.host.as_str().rsplit_once(':').unwrap().1;
        let host = format!("lure.example:{port}").parse().unwrap();
        Self { fake, host }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// A client that has a login for both hosts.
    fn client(&self, registry: &Fake, change: impl FnOnce(&mut ClientOptions)) -> RegistryClient {
        let given = |host: &HostName| GivenCredentials {
            host: host.clone(),
            username: "user".into(),
            password: Secret::new("geheim"),
            origin: "--username",
        };
        let address: SocketAddr = self.fake.host.as_str().parse().unwrap();
        client(|options| {
            options.retries = 1;
            options.given = vec![given(&self.host), given(&registry.host)];
            options.addresses = vec![("lure.example".to_owned(), vec![address])];
            change(options);
        })
    }

    /// No request carried a login, and the error names this host and the way to allow it.
    fn held_out(&self, what: &str, error: &RegistryError) {
        let logins =
            self.fake.log.lock().unwrap().iter().filter(|s| s.header("authorization").is_some()).count();
        assert_eq!(logins, 0, "{what}: a login was sent in clear text");
        assert_eq!(error.class(), ErrorClass::Denied, "{what}: {error}");
        assert!(error.to_string().contains("over plain HTTP"), "{what}: {error}");
        assert!(error.hint().unwrap().contains(&format!("--plain-http {}", self.host)), "{what}: {error}");
    }
}

fn to(location: String) -> Response<Body> {
    status(307).header("location", location).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn no_way_leads_a_login_into_clear_text() {
    let bytes = content(10);
    let digest = Digest::sha256(&bytes);

    let lure = Lure::new().await;
    let target = lure.url("/blob");
    let registry = Fake::start(move |_| to(target.clone())).await;
    let client = lure.client(&registry, |_| {});
    let error = client.blob(&(&registry.repository("a")).into(), &digest, 10, 0).await.unwrap_err();
    lure.held_out("a redirect", &error);

    let lure = Lure::new().await;
    let link = format!("<{}>; rel=\"next\"", lure.url("/v2/a/tags/list?last=x"));
    let registry =
        Fake::start(move |_| status(200).header("link", &link).body(r#"{"tags":["x"]}"#.into()).unwrap())
            .await;
    let error = lure.client(&registry, |_| {}).tags(&registry.repository("a")).await.unwrap_err();
    lure.held_out("a page of a list", &error);

    let lure = Lure::new().await;
    let location = lure.url("/v2/a/blobs/uploads/1");
    let registry = Fake::start(move |seen| match seen.method.as_str() {
        "POST" => status(202).header("location", &location).body(Body::empty()).unwrap(),
        _ => reply(404, "{}"),
    })
    .await;
    let (client, source) = (lure.client(&registry, |_| {}), Memory::new(&bytes));
    let push = client.push_blob(&registry.repository("a"), &digest, 10, &source, None).await;
    lure.held_out("an upload's location", &push.unwrap_err());

    let lure = Lure::new().await;
    let registry = Fake::start(|_| reply(404, "{}")).await;
    let place = BlobPlace::elsewhere(&lure.url("/layer")).unwrap();
    let client = lure.client(&registry, |options| options.login_hosts = vec![lure.host.clone()]);
    lure.held_out("an address in a manifest", &client.blob(&place, &digest, 10, 0).await.unwrap_err());

    let lure = Lure::new().await;
    let realm = format!("Bearer realm=\"{}\",service=\"x\"", lure.url("/token"));
    let registry =
        Fake::start(move |_| status(401).header("www-authenticate", &realm).body(Body::empty()).unwrap())
            .await;
    let error = lure.client(&registry, |_| {}).tags(&registry.repository("a")).await.unwrap_err();
    lure.held_out("a token server", &error);
    assert!(lure.fake.log.lock().unwrap().is_empty(), "it was asked all the same");
}

#[tokio::test]
async fn a_host_that_is_named_for_it_gets_its_login_in_clear_text() {
    let lure = Lure::new().await;
    let target = lure.url("/v2/a/tags/list");
    let registry = Fake::start(move |_| to(target.clone())).await;
    let client = lure.client(&registry, |options| options.plain_http = vec![lure.host.clone()]);
    assert_eq!(client.tags(&registry.repository("a")).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn an_address_in_a_manifest_gets_the_login_of_a_source_and_of_nobody_else() {
    let bytes = content(10);
    let digest = Digest::sha256(&bytes);
    let served = bytes.clone();
    let publisher = Fake::start(move |seen| match seen.header("authorization") {
        None => status(401).header("www-authenticate", "Basic realm=x").body(Body::empty()).unwrap(),
        Some(_) => reply(200, served.clone()),
    })
    .await;
    let place = BlobPlace::elsewhere(&publisher.url("/layer")).unwrap();
    let given = GivenCredentials {
        host: publisher.host.clone(),
        username: "user".into(),
        password: Secret::new("geheim"),
        origin: "--username",
    };
    let stranger = client(|options| {
        options.retries = 1;
        options.given = vec![given.clone()];
    });
    let error = stranger.blob(&place, &digest, 10, 0).await.unwrap_err();
    assert!(publisher.seen("GET", "").iter().all(|seen| seen.header("authorization").is_none()));
    assert!(error.hint().unwrap().contains("--foreign-layers keep-urls"), "{error}");
    assert!(error.hint().unwrap().contains(publisher.host.as_str()), "{error}");
    let source = client(|options| {
        options.given = vec![given];
        options.login_hosts = vec![publisher.host.clone()];
    });
    let mut stream = source.blob(&place, &digest, 10, 0).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), bytes);
}

#[tokio::test]
async fn the_host_that_refuses_is_the_one_that_is_named() {
    let store = Fake::start(|_| reply(403, "no")).await;
    let target = store.url("/blob?X-Amz-Signature=abc");
    let registry = Fake::start(move |_| to(target.clone())).await;
    let client = client(|options| options.retries = 1);
    let error =
        client.blob(&(&registry.repository("a")).into(), &Digest::sha256(b""), 1, 0).await.unwrap_err();
    assert!(error.hint().unwrap().contains(store.host.as_str()), "{error} {:?}", error.hint());
    assert!(!error.to_string().contains("abc"));
}
