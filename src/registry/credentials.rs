//! Which credentials belong to a registry or repository, and where they came from.
//!
//! Order: given (flag, environment), then the files of container tools, each with its helpers first, then what a
//! cloud's own chain gives. The search goes on to the next until one has an answer. A credential is offered to its own
//! registry only.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::auth_file::{self, Found, Login};
use super::environment::Environment;
use super::helper;
use crate::image::HostName;
use crate::secret::Secret;

/// The user name under which helpers hand out OAuth 2 refresh tokens.
const IDENTITY_USER: &str = "<token>";

/// Credentials that were given on the command line or in the environment.
#[derive(Clone, Debug)]
pub struct GivenCredentials {
    pub host: HostName,
    pub username: String,
    pub password: Secret,
    /// How the user knows them: `--username`, `DST_REGISTRY_USERNAME`.
    pub origin: &'static str,
}

/// Credentials that are made when nothing else has any: a cloud's own chain.
pub trait CredentialProvider: Send + Sync + fmt::Debug {
    /// User name and password for `host`; none where it is not for this host. `renewed`: the last ones were refused.
    /// An error is in words for people, and holds no secret.
    fn credentials<'a>(
        &'a self,
        host: &'a HostName,
        renewed: bool,
    ) -> BoxFuture<'a, Result<Option<(String, Secret)>, String>>;

    /// How the user knows them.
    fn origin(&self) -> &'static str;
}

/// Credentials, with the name of where they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) login: Login,
    pub(super) origin: String,
}

/// Finds credentials.
pub(super) struct CredentialStore {
    given: Vec<GivenCredentials>,
    auth_file: Option<PathBuf>,
    last_resort: Option<Arc<dyn CredentialProvider>>,
    environment: Environment,
    /// Answers of helpers, so that 30 repositories are one question. Locked while a helper runs.
    helped: tokio::sync::Mutex<HashMap<(String, String), Option<Login>>>,
}

/// A file to look into.
struct Candidate {
    path: PathBuf,
    /// Named by the user: must exist.
    required: bool,
    legacy: bool,
}

impl CredentialStore {
    pub(super) fn new(
        given: Vec<GivenCredentials>,
        auth_file: Option<PathBuf>,
        last_resort: Option<Arc<dyn CredentialProvider>>,
        environment: Environment,
    ) -> Self {
        Self { given, auth_file, last_resort, environment, helped: tokio::sync::Mutex::default() }
    }

    /// The credentials for `path` at `host`. `renewed`: what was found before has been refused, so helpers are
    /// asked again.
    pub(super) async fn lookup(
        &self,
        host: &HostName,
        path: &str,
        renewed: bool,
    ) -> Result<Option<Credentials>, String> {
        if let Some(given) = self.given.iter().find(|given| given.host == *host) {
            let login = Login::Basic { username: given.username.clone(), password: given.password.clone() };
            return Ok(Some(Credentials { login, origin: given.origin.to_owned() }));
        }
        for candidate in candidates(self.auth_file.as_deref(), &self.environment) {
            let Some(object) = auth_file::read(&candidate.path)? else {
                if candidate.required {
                    return Err(format!("credential file {} does not exist", candidate.path.display()));
                }
                continue;
            };
            let shown = candidate.path.display();
            if let Found::Helper(name) = auth_file::helper(&object, host)
                && !candidate.legacy
                && let Some(login) = self.ask(&name, host, renewed).await?
            {
                let origin = format!("credential helper {name} ({shown})");
                return Ok(Some(Credentials { login, origin }));
            }
            if let Found::Login(login) = auth_file::login(&object, host, path, candidate.legacy) {
                return Ok(Some(Credentials { login, origin: shown.to_string() }));
            }
        }
        let Some(provider) = &self.last_resort else {
            return Ok(None);
        };
        let made = provider.credentials(host, renewed).await?;
        let login = made.map(|(username, password)| Login::Basic { username, password });
        Ok(login.map(|login| Credentials { login, origin: provider.origin().to_owned() }))
    }

    async fn ask(&self, name: &str, host: &HostName, renewed: bool) -> Result<Option<Login>, String> {
        let server = if host.is_docker_hub() { "https://index.docker.io/v1/" } else { host.as_str() };
        let key = (name.to_owned(), server.to_owned());
        let mut helped = self.helped.lock().await;
        if !renewed && let Some(known) = helped.get(&key) {
            return Ok(known.clone());
        }
        let login = helper::get(name, server, &self.environment).await?.map(|(username, secret)| {
            if username == IDENTITY_USER {
                Login::Identity { username: String::new(), token: secret }
            } else {
                Login::Basic { username, password: secret }
            }
        });
        helped.insert(key, login.clone());
        Ok(login)
    }
}

/// The files in their order. One that the user named stands alone.
fn candidates(auth_file: Option<&Path>, environment: &Environment) -> Vec<Candidate> {
    let named = auth_file.map(Path::to_path_buf).or_else(|| environment.path("REGISTRY_AUTH_FILE"));
    if let Some(path) = named {
        return vec![Candidate { path, required: true, legacy: false }];
    }
    let home = environment.path("HOME");
    let docker = environment.path("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
    let files = [
        Some(session_file(environment)),
        environment.config_home().map(|dir| dir.join("containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ];
    let modern = files.into_iter().flatten().map(|path| Candidate { path, required: false, legacy: false });
    let legacy = home.map(|home| Candidate { path: home.join(".dockercfg"), required: false, legacy: true });
    modern.chain(legacy).collect()
}

/// The file of this session: `$XDG_RUNTIME_DIR/containers/auth.json`, else `/run/containers/<uid>/auth.json`.
fn session_file(environment: &Environment) -> PathBuf {
    match environment.path("XDG_RUNTIME_DIR") {
        Some(dir) => dir.join("containers/auth.json"),
        None => format!("/run/containers/{}/auth.json", rustix::process::getuid().as_raw()).into(),
    }
}

/// Where `login` writes: the named file, else the containers file of this session, else the one in `~/.config`.
pub(super) fn login_file(auth_file: Option<&Path>, environment: &Environment) -> Result<PathBuf, String> {
    if let Some(named) = auth_file.map(Path::to_path_buf).or_else(|| environment.path("REGISTRY_AUTH_FILE")) {
        return Ok(named);
    }
    let session = environment.path("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir());
    session
        .or_else(|| environment.config_home())
        .map(|dir| dir.join("containers/auth.json"))
        .ok_or_else(|| "no place for credentials: HOME is not set; name a file with --auth-file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, username: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let entry = format!(r#""r.io":{{"username":"{username}","password":"p"}}"#);
        let legacy = path.ends_with(".dockercfg");
        let text = if legacy { format!("{{{entry}}}") } else { format!(r#"{{"auths":{{{entry}}}}}"#) };
        std::fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn sources_come_in_their_order_and_the_search_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = |name: &str| at(name).display().to_string();
        let (named, run, config, docker, home) =
            (text("named.json"), text("run"), text("config"), text("docker"), text("home"));
        let given = GivenCredentials {
            host: "r.io".parse().unwrap(),
            username: "given".to_owned(),
            password: Secret::default(),
            origin: "--username",
        };
        let variables = [
            ("REGISTRY_AUTH_FILE", named.as_str()),
            ("XDG_RUNTIME_DIR", &run),
            ("XDG_CONFIG_HOME", &config),
            ("DOCKER_CONFIG", &docker),
            ("HOME", &home),
        ];
        let found = async |given: &[GivenCredentials], flag: Option<&str>, variables: &[(&str, &str)]| {
            let environment = Environment::of(variables);
            let store = CredentialStore::new(given.to_vec(), flag.map(PathBuf::from), None, environment);
            store.lookup(&"r.io".parse().unwrap(), "a/b", false).await.map(|found| {
                found.map(|found| match found.login {
                    Login::Basic { username, .. } => username,
                    other => panic!("{other:?}"),
                })
            })
        };
        assert_eq!(found(&[], None, &variables[1..]).await, Ok(None));
        // From the last source to the first: each new one comes before those already there.
        for (file, name) in [
            ("home/.dockercfg", "legacy"),
            ("docker/config.json", "docker"),
            ("config/containers/auth.json", "config"),
            ("run/containers/auth.json", "run"),
        ] {
            write(&at(file), name);
            assert_eq!(found(&[], None, &variables[1..]).await, Ok(Some(name.to_owned())));
        }
        // A file the user named must exist and stands alone.
        assert!(found(&[], None, &variables).await.unwrap_err().contains("named.json"));
        write(&at("named.json"), "named");
        assert_eq!(found(&[], None, &variables).await, Ok(Some("named".to_owned())));
        write(&at("flag.json"), "flag");
        assert_eq!(found(&[], Some(&text("flag.json")), &variables).await, Ok(Some("flag".to_owned())));
        assert_eq!(found(&[given], Some("gone"), &variables).await, Ok(Some("given".to_owned())));
        // What cannot be read is named, and its text is not shown.
        std::fs::write(at("run/containers/auth.json"), "{\"geheim").unwrap();
        let error = found(&[], None, &variables[1..]).await.unwrap_err();
        assert!(error.contains("auth.json is not valid JSON") && !error.contains("geheim"), "{error}");
    }
}
