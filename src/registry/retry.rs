//! When to try again: exponential backoff with full jitter, and what `Retry-After` and rate limit headers say.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use super::redact::clean;

/// A registry that wants a longer wait than this gets none: the run ends resumable instead.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The wait before try `attempt + 1`, where `attempt` counts from 1.
pub(super) fn backoff(base: Duration, attempt: u32) -> Duration {
    let ceiling = base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_BACKOFF);
    // Full jitter: clients that failed together must not come back together.
    ceiling.mul_f64(0.1 + 0.9 * fastrand::f64())
}

/// `Retry-After`: seconds, or an HTTP date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // The server's own clock decides where it is given: ours may be years off.
    let now = headers
        .get("date")
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .unwrap_or_else(SystemTime::now);
    Some(date.duration_since(now).unwrap_or_default())
}

/// Seconds by which the server's clock is ahead of ours (`Date`, RFC 9110, 6.6.1).
pub(super) fn clock_ahead(headers: &HeaderMap) -> Option<i64> {
    let there = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Some(match there.duration_since(SystemTime::now()) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    })
}

/// What a registry said about the pulls left: `ratelimit-remaining: 76;w=21600`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub remaining: u64,
    /// The length of the window the limit is for.
    pub window: Option<Duration>,
    /// Whose quota it is: an account or an address, as the registry words it.
    pub source: Option<String>,
}

impl RateLimit {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("ratelimit-remaining")?.to_str().ok()?;
        let mut parts = text.split(';').map(str::trim);
        let remaining = parts.next()?.parse().ok()?;
        let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok().map(Duration::from_secs));
        let source =
            headers.get("docker-ratelimit-source").map(|s| clean(&String::from_utf8_lossy(s.as_bytes()), 80));
        Some(Self { remaining, window, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(&headers(&[("retry-after", later), ("date", now)])),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after(&headers(&[("retry-after", later)])), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }

    #[test]
    fn rate_limits_are_read() {
        let limit = RateLimit::of(&headers(&[
            ("ratelimit-remaining", "0;w=21600"),
            ("docker-ratelimit-source", "1.2.3.4"),
        ]));
        let expected =
            RateLimit { remaining: 0, window: Some(Duration::from_hours(6)), source: Some("1.2.3.4".into()) };
        assert_eq!(limit, Some(expected));
        assert_eq!(RateLimit::of(&headers(&[("ratelimit-remaining", "many")])), None);
    }

    #[test]
    fn backoff_grows_and_is_bounded() {
        for attempt in 1..100 {
            let wait = backoff(Duration::from_millis(500), attempt);
            assert!(wait >= Duration::from_millis(50) && wait <= LONGEST_BACKOFF, "{wait:?}");
        }
    }
}
