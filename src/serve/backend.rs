//! What every route works with: the store, on blocking threads, and the limits that hold for all requests.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use super::body::Body;
use super::limits::PaceLimits;
use super::notices::Notices;
use super::pace::Incoming;
use super::store::{Store, StoreError, WritableStore};

/// Maximum number of pushed manifests that are parsed at the same time.
const PARSED_AT_ONCE: usize = 4;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Backend {
    store: Arc<dyn Store>,
    read_only: bool,
    pub(super) notices: Notices,
    pub(super) pace: PaceLimits,
    parsing: Arc<Semaphore>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

impl Backend {
    pub(super) fn new(store: Arc<dyn Store>, read_only: bool) -> Self {
        let parsing = Arc::new(Semaphore::new(PARSED_AT_ONCE));
        Self { store, read_only, notices: Notices::default(), pace: PaceLimits::default(), parsing }
    }

    /// Waits for a permit to parse a manifest.
    pub(super) async fn parsing(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.parsing).acquire_owned().await;
        permit.map_err(|_| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the registry is shutting down")
        })
    }

    /// The body of a request.
    pub(super) fn incoming(&self, body: Body) -> Incoming {
        Incoming::new(body, self.pace)
    }

    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    pub(super) fn has_parts(&self) -> bool {
        self.store.has_parts()
    }

    /// Runs `work` on a blocking thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(store.as_ref())).await;
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the store failed");
        Ok(done.map_err(failed)??)
    }

    /// Refuses the request if the registry is read-only. Called before any body is read.
    pub(super) fn check_writable(&self) -> Result<(), Refusal> {
        if self.read_only || self.store.writable().is_none() {
            let mut refusal = Refusal::method("GET, HEAD");
            refusal = refusal.detail(json!("this registry is read-only"));
            return Err(refusal);
        }
        Ok(())
    }

    /// Runs `work` on a blocking thread if the registry may be written to.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn WritableStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.check_writable()?;
        self.read(move |store| match store.writable() {
            Some(store) => work(store),
            None => Err(std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem).into()),
        })
        .await
    }

    /// Lets the store remove abandoned uploads, on a blocking thread.
    pub(super) fn tidy(&self) {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.writable().map(WritableStore::tidy));
    }
}
