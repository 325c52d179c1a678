//! The state of one registry host: scheme, pace, tokens, and what it has refused before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::OnceCell;
use url::Url;

use super::auth_state::AuthState;
use super::pace::{Concurrency, locked};
use super::retry::RateLimit;
use super::stats::{HostStats, RequestKind};
use crate::image::{Digest, HostName};

/// One registry.
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) pace: Concurrency,
    pub(super) auth: AuthState,
    pub(super) requests: [AtomicU64; RequestKind::COUNT],
    pub(super) rate_limit: Mutex<Option<RateLimit>>,
    /// Seconds by which its clock is ahead of this machine's, from its last answer.
    pub(super) clock_ahead: Mutex<Option<i64>>,
    /// The form of upload that worked last, an index into the upload ladder.
    pub(super) upload_rung: AtomicUsize,
    /// Uploads that failed since the last one that succeeded.
    pub(super) lost_uploads: AtomicU32,
    /// A GET has confirmed a 404 of a HEAD, so later ones are trusted.
    pub(super) head_tells_absence: AtomicBool,
    /// Repositories, by path, without the referrers API: a registry may route repositories to several servers.
    pub(super) without_referrers: Mutex<HashSet<String>>,
    /// Locks, so that only one task writes the list of referrers of a repository and subject.
    pub(super) fallback_lists: Mutex<HashMap<(String, Digest), FallbackList>>,
    pub(super) scheme: OnceCell<&'static str>,
}

type FallbackList = Arc<tokio::sync::Mutex<()>>;

impl Host {
    pub(super) fn new(name: &HostName, jobs: usize) -> Self {
        Self {
            name: name.clone(),
            pace: Concurrency::new(jobs),
            auth: AuthState::default(),
            requests: Default::default(),
            rate_limit: Mutex::default(),
            clock_ahead: Mutex::default(),
            upload_rung: AtomicUsize::new(0),
            lost_uploads: AtomicU32::new(0),
            head_tells_absence: AtomicBool::new(false),
            without_referrers: Mutex::default(),
            fallback_lists: Mutex::default(),
            scheme: OnceCell::new(),
        }
    }

    /// Takes the scheme from an address of the host, so that it need not be probed.
    pub(super) fn speaks(&self, url: &Url) {
        let _ = self.scheme.set(if url.scheme() == "https" { "https" } else { "http" });
    }

    /// The counters of this host.
    pub(super) fn stats(&self) -> HostStats {
        let count = |kind: RequestKind| self.requests[kind as usize].load(Ordering::Relaxed);
        HostStats {
            host: self.name.clone(),
            manifest_heads: count(RequestKind::ManifestHead),
            manifest_gets: count(RequestKind::ManifestGet),
            manifest_puts: count(RequestKind::ManifestPut),
            blob_heads: count(RequestKind::BlobHead),
            blob_gets: count(RequestKind::BlobGet),
            blob_pushes: count(RequestKind::BlobPush),
            other: count(RequestKind::Other),
            concurrency: self.pace.transfers.limit(),
            fewest: self.pace.transfers.fewest(),
            rate_limit: locked(&self.rate_limit).clone(),
            clock_ahead: *locked(&self.clock_ahead),
        }
    }
}
