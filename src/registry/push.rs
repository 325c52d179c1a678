//! Pushes a blob: checks presence, tries to mount, then tries the upload methods one after another. The method that
//! worked is remembered per registry.
//!
//! Before a failure is reported, the registry is asked whether it has the blob after all.

use std::sync::atomic::Ordering;

use reqwest::Method;
use url::Url;

use super::body::Payload;
use super::error::RegistryError;
use super::error_kind::ErrorClass;
use super::host::Host;
use super::http::{Call, Retries, Target};
use super::sessions::Sessions;
use super::stats::RequestKind;
use super::token::Scope;
use super::upload::{MountAnswer, SessionStatus, Upload};
use super::{BlobSource, RegistryClient};
use crate::image::{Algorithm, Digest, Repository};

/// How a blob was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    AlreadyThere,
    Mounted,
    Uploaded { bytes: u64 },
}

/// A form of upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadMethod {
    /// POST, one PATCH with the whole blob, empty PUT.
    Patch,
    /// POST, PUT with the whole blob.
    Put,
    /// POST, PATCH in chunks of this many bytes, empty PUT.
    Chunks(u64),
}

/// From the form that registries are tested with to the smallest chunks a proxy may insist on (nginx lets 1 MiB
/// through by default).
const METHODS: [UploadMethod; 6] = [
    UploadMethod::Patch,
    UploadMethod::Put,
    UploadMethod::Chunks(8 << 20),
    UploadMethod::Chunks(4 << 20),
    UploadMethod::Chunks(1 << 20),
    UploadMethod::Chunks(256 << 10),
];
const FIRST_CHUNKS: usize = 2;
/// After this many failed uploads in a row, each with all retries, further ones get one attempt.
const LOST_BEFORE_GIVING_UP: u32 = 3;
/// Uploads of blobs over this many bytes are resumed in the middle.
const LARGE: u64 = 8 << 20;
/// Breaks after which a large blob is tried in chunks.
const BREAKS_BEFORE_CHUNKS: u32 = 3;

/// What to do after a failed upload.
enum Verdict {
    Final,
    Again,
    /// Try the methods from this index on.
    Climb(usize),
}

impl RegistryClient {
    /// Pushes a blob to `repository`: nothing is sent if it exists; otherwise it is mounted from `mount_from` or
    /// uploaded.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        source: &dyn BlobSource,
        mount_from: Option<&Repository>,
    ) -> Result<Pushed, RegistryError> {
        // The mount goes first: where it works it is the one request, whether the blob was there or not.
        let mut session = None;
        if let Some(from) = mount_from.filter(|from| from.host() == repository.host() && *from != repository)
        {
            match Upload::mount(self, repository, digest, from).await? {
                MountAnswer::Mounted => return Ok(Pushed::Mounted),
                MountAnswer::Session(upload) => session = Some(upload),
                MountAnswer::Refused => {}
            }
        }
        match self.has_blob(repository, digest).await? {
            // A registry that states another size holds something damaged; some state none.
            Some(held) if held == size || held == 0 => {
                if let Some(upload) = session {
                    upload.cancel().await;
                }
                return Ok(Pushed::AlreadyThere);
            }
            _ => {}
        }
        let host = self.0.host(repository.host());
        let note =
            SessionRecord { sessions: self.0.sessions.get().filter(|_| size > LARGE), repository, digest };
        if let Some(bytes) = self.go_on(&note, size, source).await? {
            if let Some(upload) = session {
                upload.cancel().await;
            }
            return Ok(Pushed::Uploaded { bytes });
        }
        self.upload(&host, &note, size, source, session).await
    }

    /// The same without the check for presence, for a registry that claims to have blobs that it does not have.
    pub async fn push_blob_unasked(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        source: &dyn BlobSource,
    ) -> Result<Pushed, RegistryError> {
        let host = self.0.host(repository.host());
        let note =
            SessionRecord { sessions: self.0.sessions.get().filter(|_| size > LARGE), repository, digest };
        note.ended();
        self.upload(&host, &note, size, source, None).await
    }

    /// Goes down the ladder of forms, in `session` if there is one already.
    async fn upload(
        &self,
        host: &Host,
        note: &SessionRecord<'_>,
        size: u64,
        source: &dyn BlobSource,
        mut session: Option<Upload>,
    ) -> Result<Pushed, RegistryError> {
        let (repository, digest) = (note.repository, note.digest);
        let remembered = host.upload_rung.load(Ordering::Relaxed);
        // Where only whole requests get through, smaller ones lose less.
        let mut rung = if note.buffers() { remembered.max(FIRST_CHUNKS) } else { remembered };
        let given_up = host.lost_uploads.load(Ordering::Relaxed) >= LOST_BEFORE_GIVING_UP;
        let mut retries = if given_up { Retries::none(&self.0, host) } else { Retries::new(&self.0, host) };
        loop {
            let mut upload = match session.take() {
                Some(upload) => upload,
                None => Upload::begin(self, repository, digest.algorithm()).await?,
            };
            note.opened(&upload);
            let sent = send(&mut upload, METHODS[rung], size, source, note, &mut retries).await;
            let Err(error) = sent else {
                note.ended();
                host.lost_uploads.store(0, Ordering::Relaxed);
                if !note.buffers() {
                    host.upload_rung.store(rung, Ordering::Relaxed);
                }
                return Ok(Pushed::Uploaded { bytes: size });
            };
            upload.cancel().await;
            note.ended();
            if error.source_error().is_some() {
                return Err(error);
            }
            if let Ok(Some(_)) = self.has_blob(repository, digest).await {
                return Ok(Pushed::Uploaded { bytes: size });
            }
            match verdict(&error, host, rung, retries.failures()) {
                Verdict::Climb(next) if next < METHODS.len() => rung = next,
                Verdict::Final | Verdict::Climb(_) => return Err(error),
                Verdict::Again => {
                    if let Err(error) = retries.after_any(error).await {
                        host.lost_uploads.fetch_add(1, Ordering::Relaxed);
                        return Err(error);
                    }
                    if retries.failures() == BREAKS_BEFORE_CHUNKS && rung < FIRST_CHUNKS && size > LARGE {
                        rung = FIRST_CHUNKS;
                    }
                }
            }
        }
    }

    /// Goes on with an upload of an earlier run, where the registry is sure how far it got; the bytes sent come back.
    /// `None`: it has to be sent from its start.
    async fn go_on(
        &self,
        note: &SessionRecord<'_>,
        size: u64,
        source: &dyn BlobSource,
    ) -> Result<Option<u64>, RegistryError> {
        let Some((sessions, location)) = note.earlier() else {
            return Ok(None);
        };
        let mut upload = Upload::at(self, note.repository, note.digest.algorithm(), location);
        let standing = upload.status().await;
        if let SessionStatus::Holds(held) = standing
            && held <= size
        {
            upload.resume_at(held);
            let host = self.0.host(note.repository.host());
            let mut retries = Retries::new(&self.0, &host);
            match send(&mut upload, UploadMethod::Patch, size, source, note, &mut retries).await {
                Ok(()) => {
                    note.ended();
                    return Ok(Some(size - held));
                }
                Err(error) if error.source_error().is_some() => return Err(error),
                // What is there may not be what it seems: the blob is sent once more, whole.
                Err(_) => {}
            }
        }
        if standing == SessionStatus::Nothing {
            sessions.found_to_buffer();
        }
        // The registry may have ended it for a request whose answer the earlier run did not live to see.
        if let Ok(Some(_)) = self.has_blob(note.repository, note.digest).await {
            note.ended();
            return Ok(Some(0));
        }
        upload.cancel().await;
        note.ended();
        Ok(None)
    }

    /// Takes a blob over from another repository of the same registry. `false`: it has to be uploaded.
    pub async fn mount_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<bool, RegistryError> {
        if from.host() != repository.host() {
            return Ok(false);
        }
        match Upload::mount(self, repository, digest, from).await? {
            MountAnswer::Mounted => Ok(true),
            MountAnswer::Session(upload) => {
                upload.cancel().await;
                Ok(false)
            }
            MountAnswer::Refused => Ok(false),
        }
    }

    /// Whether an account that may push to `repository` is let in, without opening an upload: less sure, and leaves
    /// nothing behind.
    pub async fn check_push_login(&self, repository: &Repository) -> Result<(), RegistryError> {
        let host = self.0.host(repository.host());
        let path = format!("/v2/{}/blobs/{}", repository.path(), Digest::sha256(b""));
        let mut call =
            Call::new(&host, Method::HEAD, Target::Path(path), format!("write access to {repository}"));
        call.scope = Scope::push(repository.path());
        call.kind = RequestKind::BlobHead;
        let answer = self.0.send(&call).await?;
        match answer.status.as_u16() {
            401 | 403 => Err(call.refusal(answer).await),
            _ => Ok(()),
        }
    }

    /// Whether blobs may be pushed to `repository`: opens an upload and gives it up again.
    pub async fn check_push_access(&self, repository: &Repository) -> Result<(), RegistryError> {
        Upload::begin(self, repository, Algorithm::Sha256).await?.cancel().await;
        Ok(())
    }
}

/// What is kept of one upload for a later run; nothing of a small one.
struct SessionRecord<'a> {
    sessions: Option<&'a Sessions>,
    repository: &'a Repository,
    digest: &'a Digest,
}

impl<'a> SessionRecord<'a> {
    fn earlier(&self) -> Option<(&'a Sessions, Url)> {
        let sessions = self.sessions?;
        Some((sessions, sessions.earlier(self.repository, self.digest)?))
    }

    fn buffers(&self) -> bool {
        self.sessions.is_some_and(Sessions::buffers)
    }

    fn opened(&self, upload: &Upload) {
        if let Some(sessions) = self.sessions {
            sessions.opened(self.repository, self.digest, upload.location());
        }
    }

    fn ended(&self) {
        if let Some(sessions) = self.sessions {
            sessions.ended(self.repository, self.digest);
        }
    }
}

/// Sends what the session does not hold yet, and commits it.
async fn send(
    upload: &mut Upload,
    rung: UploadMethod,
    size: u64,
    source: &dyn BlobSource,
    note: &SessionRecord<'_>,
    retries: &mut Retries<'_>,
) -> Result<(), RegistryError> {
    let chunk = match rung {
        UploadMethod::Patch => size,
        UploadMethod::Chunks(chunk) => chunk,
        UploadMethod::Put => {
            return upload.commit(note.digest, Payload::Source { source, from: 0, length: size }).await;
        }
    };
    // Some registries count wrongly. When going on after a break does not lead to the blob, the break is what failed,
    // and only a new session helps.
    let (mut broken, mut reached) = (None, upload.offset());
    // Where it was gone on after a break: some registries count there what they cannot use (Gitea).
    let mut resumed_at = Some(upload.offset()).filter(|at| *at > 0);
    while upload.offset() < size {
        let from = upload.offset();
        let error = match upload
            .send_until(source, size.min(from + chunk), rung != UploadMethod::Patch || from > 0)
            .await
        {
            Ok(()) => {
                note.opened(upload);
                continue;
            }
            Err(error) if error.source_error().is_some() => return Err(error),
            Err(error) => error,
        };
        if resumed_at == Some(from) && error.is_server_fault() {
            return Err(broken.unwrap_or(error));
        }
        let late = from > 0 && error.is_out_of_order();
        let held = if late || error.is_transient() { upload.status().await } else { SessionStatus::Unknown };
        // One that refuses to go on from where it says it is does not know this form.
        let least = if late { from + 1 } else { from };
        match held {
            SessionStatus::Holds(held) if (least..=size).contains(&held) => {
                upload.resume_at(held);
                resumed_at = Some(held);
                // A break after progress does not count as a failed attempt.
                if held > reached {
                    reached = held;
                    broken.get_or_insert(error);
                } else {
                    retries.after(error).await?;
                }
            }
            _ => return Err(broken.unwrap_or(error)),
        }
    }
    upload.settle(note.digest, resumed_at.is_some(), retries).await.map_err(|error| broken.unwrap_or(error))
}

fn verdict(error: &RegistryError, host: &Host, rung: usize, failures: u32) -> Verdict {
    if error.is_transient() {
        return Verdict::Again;
    }
    match (error.status(), error.code()) {
        // The source vouches for its content, so it was the way there that garbled it; not twice in a row. A registry that
        // does not know the algorithm will not know it the second time.
        (_, Some("DIGEST_INVALID")) if failures == 0 && !error.is_of_rare_digest() => Verdict::Again,
        (_, Some("DIGEST_INVALID")) => Verdict::Final,
        _ if error.is_lost_session() => {
            host.pace.slow_down();
            Verdict::Again
        }
        (Some(413), _) => Verdict::Climb((rung + 1).max(FIRST_CHUNKS)),
        (Some(400 | 405 | 406 | 411 | 415 | 416 | 501), _) => Verdict::Climb(rung + 1),
        _ => match error.class() {
            ErrorClass::Unreachable => Verdict::Again,
            _ => Verdict::Final,
        },
    }
}
