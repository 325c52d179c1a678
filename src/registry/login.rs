//! Storing and removing a login in the containers auth file, for `bundle login` and `bundle logout`.
//!
//! The file is replaced atomically, readable by its owner only; whatever else it holds is kept.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::RegistryClient;
use super::auth_file::{self, Login, encode_pair, normalized};
use super::credentials::login_file;
use super::environment::Environment;
use super::error::{ErrorKind, RegistryError};
use crate::app::own_file::{self, FolderLock};
use crate::image::HostName;
use crate::secret::Secret;

/// Stores a login for `host` and returns the file it went into.
pub fn store_login(
    auth_file: Option<&Path>,
    environment: &Environment,
    host: &HostName,
    username: &str,
    password: &Secret,
) -> Result<PathBuf, RegistryError> {
    let store = || {
        if username.is_empty() || username.contains(':') {
            return Err("a user name must not be empty or hold a colon".to_owned());
        }
        let (file, _alone) = changing(&login_file(auth_file, environment)?)?;
        let mut object = auth_file::read(&file)?.unwrap_or_default();
        let auths = auths(&mut object, &file)?;
        auths.retain(|key, _| normalized(key) != host.as_str());
        auths.insert(host.to_string(), json!({ "auth": encode_pair(username, password) }));
        replace(&file, &object)?;
        Ok(file)
    };
    store().map_err(|why| RegistryError::new(host, format!("login to {host}"), ErrorKind::Credentials(why)))
}

/// Removes the login for `host`. `None`: the file held none.
pub fn remove_login(
    auth_file: Option<&Path>,
    environment: &Environment,
    host: &HostName,
) -> Result<Option<PathBuf>, RegistryError> {
    let remove = || {
        let file = login_file(auth_file, environment)?;
        if !file.exists() {
            return Ok(None);
        }
        let (file, _alone) = changing(&file)?;
        let Some(mut object) = auth_file::read(&file)? else {
            return Ok(None);
        };
        let auths = auths(&mut object, &file)?;
        let before = auths.len();
        auths.retain(|key, _| normalized(key) != host.as_str());
        if auths.len() == before {
            return Ok(None);
        }
        replace(&file, &object)?;
        Ok(Some(file))
    };
    remove()
        .map_err(|why| RegistryError::new(host, format!("logout from {host}"), ErrorKind::Credentials(why)))
}

impl RegistryClient {
    /// The login for `path` at `host` as container tools store one (`{"auths": …}`), for a cluster to pull with; none
    /// where none is known. A login that only this program could use is an error.
    pub async fn docker_config(&self, host: &HostName, path: &str) -> Result<Option<Secret>, RegistryError> {
        let refuse =
            |why: String| RegistryError::new(host, format!("login for {host}"), ErrorKind::Credentials(why));
        let Some(found) = self.0.store.lookup(host, path, false).await.map_err(refuse)? else {
            return Ok(None);
        };
        let Login::Basic { username, password } = &found.login else {
            let why =
                format!("the login in {} is a token, and kubelets take user name and password", found.origin);
            return Err(refuse(why));
        };
        let key = if host.is_docker_hub() { "https://index.docker.io/v1/" } else { host.as_str() };
        let entry = json!({
            "username": username, "password": password.expose(), "auth": encode_pair(username, password),
        });
        Ok(Some(Secret::new(json!({ "auths": { key: entry } }).to_string())))
    }
}

fn auths<'a>(object: &'a mut Map<String, Value>, file: &Path) -> Result<&'a mut Map<String, Value>, String> {
    object
        .entry("auths")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| format!("credential file {}: `auths` is not an object", file.display()))
}

/// The file that is to be changed, and the right to change it: logins at the same time lose nothing of each other. A
/// symbolic link stays one; its target is what is replaced.
fn changing(file: &Path) -> Result<(PathBuf, FolderLock), String> {
    let refuse = |error: std::io::Error| format!("cannot write credential file {}: {error}", file.display());
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    std::fs::create_dir_all(own_file::folder_of(&target)).map_err(refuse)?;
    let lock = FolderLock::beside(&target).map_err(refuse)?;
    Ok((target, lock))
}

fn replace(target: &Path, object: &Map<String, Value>) -> Result<(), String> {
    let refuse =
        |error: std::io::Error| format!("cannot write credential file {}: {error}", target.display());
    let mut aside = own_file::aside(target, 0o600).map_err(refuse)?;
    serde_json::to_writer_pretty(aside.as_file_mut(), object).map_err(|error| refuse(error.into()))?;
    aside.as_file_mut().write_all(b"\n").map_err(refuse)?;
    aside.as_file().sync_all().map_err(refuse)?;
    aside.persist(target).map_err(|error| refuse(error.error))?;
    Ok(())
}
