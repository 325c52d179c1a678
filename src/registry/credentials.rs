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

use super::auth_file::{self, Login};
use super::environment::Environment;
use super::helper;
use crate::app::unusable::Unusable;
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
    /// The name of the source in messages: `--username`, `DST_REGISTRY_USERNAME`.
    pub origin: &'static str,
}

/// A cloud's own chain of credentials, which is asked when nothing else has any.
pub trait CredentialProvider: Send + Sync + fmt::Debug {
    /// User name and password for `host`; none where it is not for this host. `renewed`: the last ones were refused.
    /// An error is in words for people, and holds no secret.
    fn credentials<'a>(
        &'a self,
        host: &'a HostName,
        renewed: bool,
    ) -> BoxFuture<'a, Result<Option<(String, Secret)>, String>>;

    /// The name of the source in messages.
    fn origin(&self) -> &'static str;
}

/// Credentials, with the name of their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) login: Login,
    pub(super) origin: String,
}

/// The result of a search for credentials.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) found: Option<Credentials>,
    /// A problem with a file in a default place.
    pub(super) passed_over: Vec<Unusable>,
}

/// A problem that ends the search.
enum Stop {
    /// Here and in all.
    Final(Unusable),
    /// Here, and in all if the user named the file.
    OfFile(Unusable),
}

/// Finds credentials.
pub(super) struct CredentialStore {
    given: Vec<GivenCredentials>,
    auth_file: Option<PathBuf>,
    last_resort: Option<Arc<dyn CredentialProvider>>,
    environment: Environment,
    /// Answers of helpers, so that a helper runs once for 30 repositories. Locked while a helper runs.
    helped: tokio::sync::Mutex<HashMap<(String, String), Option<Login>>>,
}

/// A file to search.
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
    /// asked again. What is wrong with a file that was named, or with what a file says for this very host's helper, is an
    /// error; what is wrong with a file that merely is in its usual place is passed over, and told.
    pub(super) async fn lookup(
        &self,
        host: &HostName,
        path: &str,
        renewed: bool,
    ) -> Result<Looked, Unusable> {
        let mut looked = Looked::default();
        if let Some(given) = self.given.iter().find(|given| given.host == *host) {
            let login = Login::Basic { username: given.username.clone(), password: given.password.clone() };
            looked.found = Some(Credentials { login, origin: given.origin.to_owned() });
            return Ok(looked);
        }
        for candidate in candidates(self.auth_file.as_deref(), &self.environment) {
            let found = self.look_into(&candidate, host, path, renewed, &mut looked.passed_over).await;
            match found {
                Ok(Some(credentials)) => {
                    looked.found = Some(credentials);
                    return Ok(looked);
                }
                Ok(None) => {}
                Err(Stop::Final(unusable)) => return Err(unusable),
                Err(Stop::OfFile(unusable)) if candidate.required => return Err(unusable),
                Err(Stop::OfFile(unusable)) => looked.passed_over.push(unusable),
            }
        }
        if let Some(provider) = &self.last_resort {
            let made = provider.credentials(host, renewed).await.map_err(Unusable::new)?;
            let login = made.map(|(username, password)| Login::Basic { username, password });
            looked.found = login.map(|login| Credentials { login, origin: provider.origin().to_owned() });
        }
        Ok(looked)
    }

    /// The credentials of one file: from its helper first, then from the file itself.
    async fn look_into(
        &self,
        candidate: &Candidate,
        host: &HostName,
        path: &str,
        renewed: bool,
        passed_over: &mut Vec<Unusable>,
    ) -> Result<Option<Credentials>, Stop> {
        let (file, legacy) = (candidate.path.as_path(), candidate.legacy);
        let Some(object) = auth_file::read(file).map_err(Stop::OfFile)? else {
            if candidate.required {
                let refused = Unusable::new(format!("credential file {} does not exist", file.display()));
                return Err(Stop::Final(refused.hint("create one with bundle login --auth-file FILE")));
            }
            return Ok(None);
        };
        let helper =
            if legacy { None } else { auth_file::helper(&object, host, file).map_err(Stop::OfFile)? };
        if let Some(helper) = helper {
            match self.ask(&helper.name, host, renewed).await {
                Ok(Some(login)) => {
                    let origin = format!("credential helper {} ({})", helper.name, file.display());
                    return Ok(Some(Credentials { login, origin }));
                }
                Ok(None) => {}
                Err(unusable) => {
                    let unusable = unusable.about(format_args!("credential file {}", file.display()));
                    if helper.is_own || candidate.required {
                        return Err(Stop::Final(unusable));
                    }
                    passed_over.push(unusable);
                }
            }
        }
        let login = auth_file::login(&object, host, path, legacy, file).map_err(Stop::OfFile)?;
        Ok(login.map(|login| Credentials { login, origin: file.display().to_string() }))
    }

    async fn ask(&self, name: &str, host: &HostName, renewed: bool) -> Result<Option<Login>, Unusable> {
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

/// The files in search order. If the user named one, it is the only one.
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
pub(super) fn login_file(auth_file: Option<&Path>, environment: &Environment) -> Result<PathBuf, Unusable> {
    if let Some(named) = auth_file.map(Path::to_path_buf).or_else(|| environment.path("REGISTRY_AUTH_FILE")) {
        return Ok(named);
    }
    let session = environment.path("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir());
    session.or_else(|| environment.config_home()).map(|dir| dir.join("containers/auth.json")).ok_or_else(
        || {
            Unusable::new("there is no place to store credentials: HOME is not set")
                .hint("name a file with --auth-file FILE")
        },
    )
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
            let looked = store.lookup(&"r.io".parse().unwrap(), "a/b", false).await;
            looked.map_err(|error| error.why).map(|looked| {
                let name = looked.found.map(|found| match found.login {
                    Login::Basic { username, .. } => username,
                    other => panic!("{other:?}"),
                });
                (name, looked.passed_over.into_iter().map(|passed| passed.why).collect::<Vec<_>>())
            })
        };
        assert_eq!(found(&[], None, &variables[1..]).await, Ok((None, vec![])));
        // From the last source to the first: each new one comes before those already there.
        for (file, name) in [
            ("home/.dockercfg", "legacy"),
            ("docker/config.json", "docker"),
            ("config/containers/auth.json", "config"),
            ("run/containers/auth.json", "run"),
        ] {
            write(&at(file), name);
            assert_eq!(found(&[], None, &variables[1..]).await, Ok((Some(name.to_owned()), vec![])));
        }
        // A file the user named must exist and stands alone.
        assert!(found(&[], None, &variables).await.unwrap_err().contains("named.json"));
        write(&at("named.json"), "named");
        assert_eq!(found(&[], None, &variables).await, Ok((Some("named".to_owned()), vec![])));
        write(&at("flag.json"), "flag");
        assert_eq!(
            found(&[], Some(&text("flag.json")), &variables).await,
            Ok((Some("flag".to_owned()), vec![]))
        );
        assert_eq!(found(&[given], Some("gone"), &variables).await, Ok((Some("given".to_owned()), vec![])));
        // What cannot be read is named, and its text is not shown. The search goes on, unless the user named the file.
        std::fs::write(at("run/containers/auth.json"), "{\"geheim").unwrap();
        let (name, passed_over) = found(&[], None, &variables[1..]).await.unwrap();
        assert_eq!(name.as_deref(), Some("config"));
        assert_eq!(passed_over.len(), 1);
        assert!(passed_over[0].contains("run/containers/auth.json: it is not valid JSON"), "{passed_over:?}");
        assert!(!passed_over[0].contains("geheim"), "{passed_over:?}");
        let flag = text("run/containers/auth.json");
        let error = found(&[], Some(&flag), &variables[1..]).await.unwrap_err();
        assert!(error.contains("it is not valid JSON") && !error.contains("geheim"), "{error}");
    }

    #[tokio::test]
    async fn what_is_broken_in_a_usual_place_is_passed_over_and_what_was_asked_for_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().display().to_string();
        let file = dir.path().join(".docker/config.json");
        std::fs::create_dir(dir.path().join(".docker")).unwrap();
        let looked = async |flag: Option<&Path>| {
            let environment = Environment::of(&[("HOME", &home), ("PATH", "/none")]);
            let store = CredentialStore::new(Vec::new(), flag.map(Path::to_owned), None, environment);
            store.lookup(&"r.io".parse().unwrap(), "a", false).await
        };
        // A store that is not installed: nobody asked for it here, and the file itself is still looked into.
        for (auths, found) in [("{}", false), (r#"{"r.io":{"username":"u","password":"p"}}"#, true)] {
            std::fs::write(&file, format!(r#"{{"credsStore":"absent","auths":{auths}}}"#)).unwrap();
            let here = looked(None).await.unwrap();
            assert_eq!(here.found.is_some(), found);
            let why = "config.json: credential helper docker-credential-absent is configured, but not found on PATH";
            assert!(here.passed_over[0].why.ends_with(why), "{here:?}");
            assert!(here.passed_over[0].hint.as_ref().unwrap().contains("--auth-file FILE"));
            assert_eq!(looked(Some(&file)).await.unwrap_err(), here.passed_over[0]);
        }
        // A helper for this very host.
        std::fs::write(&file, r#"{"credHelpers":{"r.io":"absent"}}"#).unwrap();
        assert!(looked(None).await.unwrap_err().why.contains("not found on PATH"));
        std::fs::write(&file, r#"{"credHelpers":{"other.io":"absent"}}"#).unwrap();
        assert_eq!(looked(None).await.unwrap(), Looked::default());
        // A login that cannot be used.
        std::fs::write(&file, r#"{"auths":{"r.io":{"auth":"?"}}}"#).unwrap();
        assert!(looked(None).await.unwrap().passed_over[0].why.contains("`auth` is not base64"));
        assert!(looked(Some(&file)).await.unwrap_err().why.contains("`auth` is not base64"));
        // A folder that cannot be entered.
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_dir(dir.path().join(".docker")).unwrap();
        std::os::unix::fs::symlink(".docker", dir.path().join(".docker")).unwrap();
        let here = looked(None).await.unwrap();
        assert!(here.passed_over[0].why.starts_with("cannot read credential file"), "{here:?}");
        assert!(looked(Some(&file)).await.is_err());
    }
}
