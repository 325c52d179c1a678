//! Counters of what went over the wire, for reports and progress.

use std::sync::atomic::AtomicU64;

use super::retry::RateLimit;
use crate::image::HostName;

/// Bytes of bodies, over all hosts.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// Requests are counted by what they ask for; registries bill some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    ManifestHead,
    ManifestGet,
    ManifestPut,
    BlobHead,
    BlobGet,
    BlobPush,
    Other,
}

impl RequestKind {
    pub(super) const COUNT: usize = 7;
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Body bytes, retransmissions included.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// By registry, sorted.
    pub hosts: Vec<HostStats>,
}

/// What has happened at one registry, redirect targets included.
#[derive(Clone, Debug)]
pub struct HostStats {
    pub host: HostName,
    pub manifest_heads: u64,
    /// The requests that count against Docker Hub's pull limit.
    pub manifest_gets: u64,
    pub manifest_puts: u64,
    pub blob_heads: u64,
    pub blob_gets: u64,
    pub blob_pushes: u64,
    pub other: u64,
    /// The current limit of concurrent requests, without HEADs.
    pub concurrency: usize,
    /// The fewest there were: below four, the registry showed signs of overload.
    pub fewest: usize,
    /// The last the registry said.
    pub rate_limit: Option<RateLimit>,
    /// Seconds by which its clock is ahead of this machine's, where it tells.
    pub clock_ahead: Option<i64>,
}
