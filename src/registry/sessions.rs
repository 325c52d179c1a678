//! Records open upload sessions, so that the next import can resume those of one that was killed.
//!
//! There is one small file per bundle and destination. Only its owner can read it, because a location is as good as a
//! password for its upload. Lines are appended and never changed; an incomplete one is ignored. If the file cannot be
//! written, or another import uses it, nothing is recorded; uploads then start again from their beginning.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use url::Url;

use super::environment::Environment;
use super::pace::locked;
use crate::image::{Digest, Repository};

/// Registries remove unfinished uploads after about this long.
const STALE: Duration = Duration::from_hours(168);
/// A longer file was not written by this program.
const MAX_FILE: u64 = 4 << 20;

/// The open sessions of one bundle's import into one destination.
pub struct Sessions {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    open: HashMap<(String, Digest), Url>,
    buffers: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Record {
    Opened {
        repository: String,
        digest: Digest,
        location: String,
        /// Seconds since 1970.
        at: u64,
    },
    Ended {
        repository: String,
        digest: Digest,
    },
    /// The data of an interrupted request was lost although its session exists: a proxy buffers requests.
    Buffers,
}

impl Sessions {
    /// The sessions under `key`; none if they cannot be recorded.
    pub fn open(environment: &Environment, key: &str) -> Option<Self> {
        let folder = environment.state_home()?.join("airgap-bundle").join("imports");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        clean(&folder);
        let path = folder.join(key);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&path).ok()?;
        file.try_lock().ok()?;
        let mut text = Vec::new();
        (&mut file).take(MAX_FILE).read_to_end(&mut text).ok()?;
        if text.last().is_some_and(|byte| *byte != b'\n') {
            // An incomplete last line must not be joined with the next one.
            file.write_all(b"\n").ok()?;
        }
        let mut state = State { file, open: HashMap::new(), buffers: false };
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(record) = serde_json::from_slice(line) {
                state.apply(record);
            }
        }
        Some(Self { path, state: Mutex::new(state) })
    }

    /// Where an earlier run was sending `digest`.
    pub(super) fn earlier(&self, repository: &Repository, digest: &Digest) -> Option<Url> {
        locked(&self.state).open.get(&(repository.to_string(), *digest)).cloned()
    }

    /// The session for `digest` is at `location` now.
    pub(super) fn opened(&self, repository: &Repository, digest: &Digest, location: &Url) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let (repository, location) = (repository.to_string(), location.to_string());
        self.record(Record::Opened { repository, digest: *digest, location, at });
    }

    /// There is no session for `digest` any more.
    pub(super) fn ended(&self, repository: &Repository, digest: &Digest) {
        if self.earlier(repository, digest).is_some() {
            self.record(Record::Ended { repository: repository.to_string(), digest: *digest });
        }
    }

    /// Whether something before the registry passes on whole requests only, so that a part of one is lost.
    pub(super) fn buffers(&self) -> bool {
        locked(&self.state).buffers
    }

    pub(super) fn found_to_buffer(&self) {
        self.record(Record::Buffers);
    }

    /// The import is done, so no session has to be resumed.
    pub fn finished(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Errors are ignored: an upload that is not recorded is only sent again.
    fn record(&self, record: Record) {
        let Ok(mut line) = serde_json::to_vec(&record) else { return };
        line.push(b'\n');
        let mut state = locked(&self.state);
        if state.file.write_all(&line).is_ok() {
            let _ = state.file.sync_data();
        }
        state.apply(record);
    }
}

impl Drop for Sessions {
    /// A file with nothing in it is of no use to the next run.
    fn drop(&mut self) {
        if locked(&self.state).file.metadata().is_ok_and(|meta| meta.len() == 0) {
            self.finished();
        }
    }
}

impl State {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Opened { repository, digest, location, at } => {
                let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(at));
                // A clock that was set back makes nothing stale.
                let fresh = age.unwrap_or_default() < STALE;
                if let Some(location) = Url::parse(&location).ok().filter(|_| fresh) {
                    self.open.insert((repository, digest), location);
                }
            }
            Record::Ended { repository, digest } => {
                self.open.remove(&(repository, digest));
            }
            Record::Buffers => self.buffers = true,
        }
    }
}

/// Removes files of imports that were never resumed.
fn clean(folder: &Path) {
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = file.metadata().and_then(|meta| meta.modified()).map(|time| time.elapsed());
        if matches!(age, Ok(Ok(age)) if age > STALE) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_open_is_known_to_the_next_run_and_to_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::of(&[("HOME", home.path().to_str().unwrap())]);
        let repository = Repository::new("r.io".parse().unwrap(), "a/b").unwrap();
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let location = Url::parse("https://r.io/v2/a/b/blobs/uploads/1?_state=x%2Fy").unwrap();
        let path = {
            let sessions = Sessions::open(&environment, "key").unwrap();
            sessions.opened(&repository, &one, &location);
            sessions.opened(&repository, &two, &location);
            sessions.ended(&repository, &two);
            assert!(Sessions::open(&environment, "key").is_none(), "another import is using it");
            assert!(!format!("{sessions:?}").contains("_state"));
            sessions.path.clone()
        };
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A kill in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"opened\":{\"repos").unwrap();
        let sessions = Sessions::open(&environment, "key").unwrap();
        assert_eq!(sessions.earlier(&repository, &one), Some(location.clone()));
        assert_eq!(sessions.earlier(&repository, &two), None);
        assert!(!sessions.buffers());
        sessions.found_to_buffer();
        drop(sessions);
        let sessions = Sessions::open(&environment, "key").unwrap();
        assert!(sessions.buffers() && sessions.earlier(&repository, &one).is_some());
        sessions.finished();
        assert!(!path.exists());
        drop(Sessions::open(&environment, "key").unwrap());
        assert!(!path.exists(), "nothing was opened");
        assert!(Sessions::open(&Environment::default(), "key").is_none(), "there is no home");
    }

    #[test]
    fn after_a_week_nothing_is_gone_on_with() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::of(&[("XDG_STATE_HOME", home.path().to_str().unwrap())]);
        let sessions = Sessions::open(&environment, "old").unwrap();
        let repository = Repository::new("r.io".parse().unwrap(), "a").unwrap();
        let digest = Digest::sha256(b"1");
        let week_ago = SystemTime::now() - STALE - Duration::from_mins(1);
        let at = week_ago.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let location = "https://r.io/x".to_owned();
        sessions.record(Record::Opened { repository: repository.to_string(), digest, location, at });
        let path = sessions.path.clone();
        drop(sessions);
        assert_eq!(Sessions::open(&environment, "old").unwrap().earlier(&repository, &digest), None);
        File::options().write(true).open(&path).unwrap().set_modified(week_ago).unwrap();
        drop(Sessions::open(&environment, "other").unwrap());
        assert!(!path.exists());
    }
}
