//! Limits for clients: memory, time, connections, and what counts as one client.

use std::net::IpAddr;
use std::time::Duration;

/// Bytes of a blob that are in memory at once, per request.
pub const CHUNK: usize = 256 << 10;

/// A client, for the limits: an IP address. Networks do not count as one client, because all nodes of a site may be in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        // A socket for both versions shows IPv4 addresses inside of IPv6 ones.
        Self(address.to_canonical())
    }
}

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all clients. Each may hold a few chunks in memory.
    pub connections: usize,
    /// For one client.
    pub per_client: usize,
    /// From connecting, or from the end of an answer, until the head of a request is there. Handshakes count.
    pub waiting: Duration,
    pub pace: PaceLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A registry for one cluster has far fewer clients.
            connections: 256,
            per_client: 64,
            waiting: Duration::from_secs(30),
            pace: PaceLimits::default(),
        }
    }
}

/// How slow a client may be in the middle of a request or of an answer.
#[derive(Clone, Copy, Debug)]
pub struct PaceLimits {
    /// Longest time without data.
    pub patience: Duration,
    /// Lowest average rate, in bytes per second.
    pub least_rate: u64,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self { patience: Duration::from_mins(1), least_rate: 1024 }
    }
}

/// Limits of the uploads that are open at once. Each one has a file on the disk.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// For one client.
    pub per_client: usize,
    /// Of all clients.
    pub in_all: usize,
    /// An upload without a request for this long is removed.
    pub abandoned: Duration,
    /// The same when a new upload would exceed a limit.
    pub spare: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            // An import has one upload per job, and those that earlier runs left.
            per_client: 128,
            in_all: 1024,
            // Long enough to start a killed import again, so that it can resume.
            abandoned: Duration::from_hours(1),
            // Longer than the slowest body that is accepted needs between two pieces that are written.
            spare: Duration::from_mins(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_however_it_is_shown() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("10.0.0.1"), peer("::ffff:10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_ne!(peer("fd00::1"), peer("fd00::2"));
    }
}
