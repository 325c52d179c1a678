//! Basic authentication against an htpasswd file of bcrypt hashes.
//!
//! Passwords are never kept: a login that succeeded is remembered by the digest of its header.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::Semaphore;

use crate::app::foreign_text;
use crate::app::unusable::Unusable;
use crate::image::Digest;

/// Longest file of users that is read, in bytes.
const MAX_HTPASSWD: u64 = 16 << 20;

/// Maximum number of remembered logins. Beyond it, all are forgotten and checked again.
const REMEMBERED: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    #[error("{0}")]
    Read(Unusable),
    #[error("{path}, line {line}: {why}")]
    Line { path: PathBuf, line: usize, why: &'static str },
    #[error("{0} has no user, so nobody could log in")]
    Empty(PathBuf),
}

/// The users of a registry and the hashes of their passwords.
pub struct Users {
    hashes: HashMap<String, String>,
    admitted: Mutex<HashSet<Digest>>,
    /// Checking a password costs a core for tens of milliseconds, by design.
    checks: Arc<Semaphore>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("count", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl Users {
    pub fn from_htpasswd(path: &Path) -> Result<Self, HtpasswdError> {
        let text = foreign_text::named(path, MAX_HTPASSWD)
            .map_err(|error| HtpasswdError::Read(error.about(path.display())))?;
        let mut hashes = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |why| HtpasswdError::Line { path: path.to_owned(), line: index + 1, why };
            let (user, hash) = line.split_once(':').ok_or_else(|| refuse("there is no user:hash"))?;
            if !["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
                return Err(refuse("the hash is not bcrypt (make it with htpasswd -B)"));
            }
            hash.parse::<bcrypt::HashParts>().map_err(|_| refuse("the bcrypt hash is damaged"))?;
            hashes.insert(user.to_owned(), hash.to_owned());
        }
        if hashes.is_empty() {
            return Err(HtpasswdError::Empty(path.to_owned()));
        }
        Ok(Self { hashes, admitted: Mutex::default(), checks: Arc::new(Semaphore::new(2)) })
    }

    /// Whether the request carries the name and password of a user.
    pub(super) async fn admits(self: Arc<Self>, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else {
            return false;
        };
        let login = Digest::sha256(format!("{user}\0{password}").as_bytes());
        if self.remembered().contains(&login) {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.checks).acquire_owned().await else {
            return false;
        };
        let users = Arc::clone(&self);
        let check = move || {
            // The permit stays with the check when the client disconnects. Otherwise a client could start any number of checks.
            let _permit = permit;
            users.check(&user, &password)
        };
        let admitted = tokio::task::spawn_blocking(check).await;
        let admitted = admitted.unwrap_or(false);
        if admitted {
            let mut remembered = self.remembered();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(login);
        }
        admitted
    }

    fn check(&self, user: &str, password: &str) -> bool {
        if let Some(hash) = self.hashes.get(user) {
            return bcrypt::verify(password, hash).unwrap_or(false);
        }
        // As slow as for a known user, so that the time does not reveal which users exist.
        let _ = self.hashes.values().next().map(|hash| bcrypt::verify(password, hash));
        false
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
