//! Registry hosts: names, IPv4 and IPv6 addresses, with or without a port.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::reference_error::{ReferenceError, shown};

const HUB: &str = "docker.io";

/// A registry host with an optional port, lowercase, `docker.io` for Docker Hub.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    pub(super) fn docker_hub() -> Self {
        Self(HUB.into())
    }

    /// The name in references: `docker.io`, `quay.io`, `localhost:5000`, `[::1]:5000`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == HUB
    }

    /// The host to connect to, with its port if one is given. Docker Hub serves its API elsewhere.
    pub fn connect_authority(&self) -> &str {
        if self.is_docker_hub() { "registry-1.docker.io" } else { &self.0 }
    }

    /// The host without its port; IPv6 addresses without their brackets.
    pub fn bare_host(&self) -> &str {
        if let Some(rest) = self.0.strip_prefix('[') {
            return rest.split(']').next().unwrap_or(rest);
        }
        self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host)
    }

    pub fn port(&self) -> Option<u16> {
        let after = match self.0.rfind(']') {
            Some(end) => &self.0[end + 1..],
            None => &self.0,
        };
        after.rsplit_once(':')?.1.parse().ok()
    }

    /// `localhost`, 127.0.0.0/8 and `::1`: the hosts spoken to in plain HTTP without being asked.
    pub fn is_loopback(&self) -> bool {
        let host = self.bare_host();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for HostName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains('@') {
            // What stands before it may be a password.
            let why = "user names and passwords do not belong in an address";
            return Err(ReferenceError::Host { host: "…@…".to_owned(), why });
        }
        let refuse = |why| ReferenceError::Host { host: shown(text), why };
        let lower = text.to_ascii_lowercase();
        let (host, port) = if let Some(rest) = lower.strip_prefix('[') {
            let (address, after) = rest.split_once(']').ok_or_else(|| refuse("the bracket is not closed"))?;
            if address.contains('%') {
                return Err(refuse("an IPv6 zone is only valid on this machine"));
            }
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refuse("not an IPv6 address"))?;
            match after {
                "" => (lower.as_str(), None),
                _ => (
                    lower.as_str(),
                    Some(after.strip_prefix(':').ok_or_else(|| refuse("only a port may follow"))?),
                ),
            }
        } else {
            let (host, port) = match lower.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (lower.as_str(), None),
            };
            if lower.contains("://") {
                return Err(refuse("write the host only, without http:// or https://"));
            }
            if lower.contains('/') {
                return Err(refuse("write the host only, without a path"));
            }
            if port.is_some_and(|port| port.contains(':')) {
                return Err(refuse("IPv6 addresses are written in brackets, [::1]:5000"));
            }
            let label = |label: &str| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            };
            if !host.split('.').all(label) {
                return Err(refuse("not a host name"));
            }
            (host, port)
        };
        if let Some(port) = port {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            if !digits || port.parse::<u16>().is_ok_and(|n| n == 0) || port.parse::<u16>().is_err() {
                return Err(refuse("the port is not a number from 1 to 65535"));
            }
        }
        if port.is_none() && matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
            return Ok(Self(HUB.into()));
        }
        Ok(Self(lower.into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_know_their_parts() {
        let host: HostName = "[::1]:5000".parse().unwrap();
        assert_eq!((host.bare_host(), host.port(), host.is_loopback()), ("::1", Some(5000), true));
        let host: HostName = "127.0.0.9".parse().unwrap();
        assert_eq!((host.bare_host(), host.port(), host.is_loopback()), ("127.0.0.9", None, true));
        let hub: HostName = "index.docker.io".parse().unwrap();
        assert_eq!((hub.as_str(), hub.connect_authority()), ("docker.io", "registry-1.docker.io"));
    }
}
