//! Failures of a proxy are reported as such.

use super::*;

/// What becomes of a ping of `host` through the proxy that `variable` names.
async fn through(variable: &str, proxy: &str, host: &str, plain_http: bool) -> RegistryError {
    let host: HostName = host.parse().unwrap();
    let client = client(|options| {
        options.retries = 1;
        options.plain_http.extend(plain_http.then(|| host.clone()));
        options.environment = Environment::of(&[(variable, proxy)]);
    });
    client.ping(&host).await.unwrap_err()
}

#[tokio::test]
async fn a_password_that_the_proxy_refuses_is_asked_for_with_its_variable() {
    let proxy = Fake::start(|_| reply(407, "")).await;
    for (plain_http, variable) in [(false, "HTTPS_PROXY"), (true, "http_proxy")] {
        for (login, says, verb) in [
            ("me:geheim@", "does not accept the user name and password in", "correct them"),
            ("", "asks for a user name and password", "set them"),
        ] {
            let address = format!("http://{login}{}", proxy.host);
            let error = through(variable, &address, "registry.test", plain_http).await;
            assert_eq!(error.class(), ErrorClass::Denied);
            let text = error.to_string();
            assert!(text.contains(&format!("the proxy http://{} ({variable}) {says}", proxy.host)), "{text}");
            let hint = error.hint().unwrap();
            let form = format!("{verb}: {variable}=http://USER:PASSWORD@{}", proxy.host);
            assert!(hint.starts_with(&form) && !format!("{text}{hint}").contains("geheim"), "{hint}");
        }
    }
    // Once, since it will not change.
    assert_eq!(proxy.log.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_proxy_that_is_down_or_unknown_or_does_not_let_through_is_named() {
    let closed = Fake::start(|_| reply(403, "")).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    // No resolver knows a label of this length.
    let unknown = format!("{}.test:3128", "x".repeat(80));
    for (proxy, says) in [
        (closed.host.as_str(), "refuses to connect to this host"),
        (nobody.as_str(), "cannot connect to the proxy"),
        (unknown.as_str(), "cannot connect to the proxy"),
    ] {
        let error = through("ALL_PROXY", proxy, "registry.test:5000", false).await;
        assert_eq!(error.class(), ErrorClass::Unreachable);
        let text = error.to_string();
        assert!(text.contains(says) && text.contains(&format!("{proxy} (ALL_PROXY)")), "{text}");
        assert!(error.hint().unwrap().contains("NO_PROXY=registry.test"), "{:?}", error.hint());
    }
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_sent() {
    let host: HostName = "registry.test".parse().unwrap();
    let value = r"CORP\user:geheim@proxy.test:3128";
    let client = client(|options| options.environment = Environment::of(&[("https_proxy", value)]));
    let error = client.check_settings(&[host]).unwrap_err();
    assert!(error.why.contains("https_proxy has `\\` in it"), "{error}");
    assert!(error.hint.unwrap().contains("`\\` as %5C"));
    // It is nothing to a registry that no proxy leads to.
    assert_eq!(client.check_settings(&["127.0.0.1:5000".parse().unwrap()]), Ok(()));
}
