//! Storing and removing a login in the containers auth file, for `bundle login` and `bundle logout`.
//!
//! The file is replaced atomically, readable by its owner only; whatever else it holds is kept.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::RegistryClient;
use super::auth_file::{self, Login, encode_pair, normalized};
use super::credentials::login_file;
use super::environment::Environment;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use crate::app::own_file::{self, FolderLock};
use crate::app::unusable::Unusable;
use crate::image::HostName;
use crate::secret::Secret;

/// Why a login is not stored or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Unusable(Unusable),
    #[error("cannot write credential file {}: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
}

impl From<Unusable> for StoreError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(unusable)
    }
}

/// Stores a login for `host` and returns the file it went into.
pub fn store_login(
    auth_file: Option<&Path>,
    environment: &Environment,
    host: &HostName,
    username: &str,
    password: &Secret,
) -> Result<PathBuf, StoreError> {
    let (file, _alone) = changing(&login_file(auth_file, environment)?)?;
    let mut object = auth_file::read(&file)?.unwrap_or_default();
    let auths = auths(&mut object, &file)?;
    auths.retain(|key, _| normalized(key) != host.as_str());
    auths.insert(host.to_string(), json!({ "auth": encode_pair(username, password) }));
    replace(&file, &object)?;
    Ok(file)
}

/// Removes the login for `host`. `None`: the file held none.
pub fn remove_login(
    auth_file: Option<&Path>,
    environment: &Environment,
    host: &HostName,
) -> Result<Option<PathBuf>, StoreError> {
    let file = login_file(auth_file, environment)?;
    // What cannot be looked at is not taken for absent.
    if matches!(file.try_exists(), Ok(false)) {
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
}

impl RegistryClient {
    /// The login for `path` at `host` as container tools store one (`{"auths": …}`), for a cluster to pull with; none
    /// where none is known. A login that only this program could use is an error.
    pub async fn docker_config(&self, host: &HostName, path: &str) -> Result<Option<Secret>, RegistryError> {
        let refuse = |why: Unusable| {
            RegistryError::new(host, format!("login for {host}"), ErrorKind::Credentials(why))
        };
        let looked = self.0.store.lookup(host, path, false).await.map_err(refuse)?;
        let Some(found) = looked.found else {
            return looked.passed_over.into_iter().next().map_or(Ok(None), |unusable| Err(refuse(unusable)));
        };
        let Login::Basic { username, password } = &found.login else {
            let why =
                format!("the login in {} is a token, and kubelets take user name and password", found.origin);
            return Err(refuse(Unusable::new(why)));
        };
        let key = if host.is_docker_hub() { "https://index.docker.io/v1/" } else { host.as_str() };
        let entry = json!({
            "username": username, "password": password.expose(), "auth": encode_pair(username, password),
        });
        Ok(Some(Secret::new(json!({ "auths": { key: entry } }).to_string())))
    }
}

fn auths<'a>(
    object: &'a mut Map<String, Value>,
    file: &Path,
) -> Result<&'a mut Map<String, Value>, Unusable> {
    object
        .entry("auths")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| auth_file::of_file(file, "`auths` is not a JSON object"))
}

/// The file that is to be changed, and the right to change it: logins at the same time lose nothing of each other. A
/// symbolic link stays one; its target is what is replaced.
fn changing(file: &Path) -> Result<(PathBuf, FolderLock), StoreError> {
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    std::fs::create_dir_all(own_file::folder_of(&target)).map_err(|error| unwritable(file, error))?;
    let lock = FolderLock::beside(&target).map_err(|error| unwritable(file, error))?;
    Ok((target, lock))
}

fn replace(target: &Path, object: &Map<String, Value>) -> Result<(), StoreError> {
    let text = serde_json::to_string_pretty(object).map(Zeroizing::new);
    let text = text.map_err(|error| unwritable(target, error.into()))?;
    let text = Zeroizing::new(format!("{}\n", *text));
    own_file::replace_private(target, text.as_bytes()).map_err(|error| unwritable(target, error))
}

fn unwritable(file: &Path, error: std::io::Error) -> StoreError {
    StoreError::Write { path: file.to_owned(), error }
}
