//! What a registry says it has, asked with curl and not with the HTTP client of the program under test.

use std::process::Command;

use airgap_bundle::image::media_type as types;

/// How a registry is asked.
#[derive(Clone, Debug)]
pub struct Look {
    scheme: &'static str,
    arguments: Vec<String>,
}

impl Look {
    /// In plain HTTP, as nobody.
    pub fn plain() -> Self {
        Self { scheme: "http", arguments: Vec::new() }
    }

    /// In plain HTTP, with a login.
    pub fn user(login: &str) -> Self {
        Self { scheme: "http", arguments: vec!["--user".to_owned(), login.to_owned()] }
    }

    /// In HTTPS, with these arguments for curl.
    pub fn secure(arguments: &[&str]) -> Self {
        Self { scheme: "https", arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    /// The digest that a tag of `place`, which is `registry/repository`, has.
    pub fn digest(&self, place: &str, tag: &str) -> String {
        let accept = [types::OCI_INDEX, types::OCI_MANIFEST, types::DOCKER_MANIFEST].join(", ");
        let (registry, repository) = place.split_once('/').expect("a repository is in a registry");
        let url = format!("{}://{registry}/v2/{repository}/manifests/{tag}", self.scheme);
        let mut curl = Command::new("curl");
        curl.args(["-fsSI", "--noproxy", "*", "-H", &format!("Accept: {accept}")])
            .args(&self.arguments)
            .arg(&url);
        let output = curl.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let digest = said.lines().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("docker-content-digest").then(|| value.trim().to_owned())
        });
        digest.unwrap_or_else(|| panic!("{url} has no digest: {said}"))
    }
}

/// Whether something answers there, with whatever status.
pub fn answers(url: &str) -> bool {
    let curl = Command::new("curl").args(["-s", "--noproxy", "*", "-o", "/dev/null", url]).status();
    curl.is_ok_and(|status| status.success())
}

/// Whether something answers there with success.
pub fn is_fine(url: &str) -> bool {
    let curl = Command::new("curl").args(["-fs", "--noproxy", "*", "-o", "/dev/null", url]).status();
    curl.is_ok_and(|status| status.success())
}
