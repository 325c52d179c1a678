//! Which proxy leads to a URL: `HTTP(S)_PROXY`, `ALL_PROXY` and `NO_PROXY`, either case.
//!
//! `NO_PROXY` holds hosts (with their subdomains), `.suffix` and `*.suffix` (subdomains only), `host:port`,
//! addresses, CIDR blocks and `*`. Loopback never goes through a proxy, nor do the services that give a machine or
//! container its cloud credentials.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::environment::Environment;

/// The proxies of the environment.
#[derive(Clone, Default)]
pub(super) struct ProxyRules {
    http: Option<Setting>,
    https: Option<Setting>,
    exceptions: Vec<Exception>,
}

#[derive(Clone)]
struct Setting {
    variable: &'static str,
    url: String,
}

#[derive(Clone, Debug)]
enum Exception {
    Everything,
    Network(IpNet),
    Name { name: String, port: Option<u16>, itself: bool },
}

impl ProxyRules {
    pub(super) fn from_environment(environment: &Environment) -> Self {
        let setting = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let url = environment.get(name)?.trim();
                (!url.is_empty()).then(|| Setting { variable: name, url: url.to_owned() })
            })
        };
        let no_proxy =
            environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")).unwrap_or_default();
        Self {
            http: setting(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: setting(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            exceptions: no_proxy.split([',', ' ']).filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy for `target`. A setting that is no URL is an error that names its variable, not its text.
    pub(super) fn proxy_for(&self, target: &Url) -> Result<Option<Url>, String> {
        let setting = if target.scheme() == "https" { &self.https } else { &self.http };
        let Some(setting) = setting else { return Ok(None) };
        if is_local(target) || self.exceptions.iter().any(|exception| exception.covers(target)) {
            return Ok(None);
        }
        let text =
            if setting.url.contains("://") { setting.url.clone() } else { format!("http://{}", setting.url) };
        let proxy = Url::parse(&text).map_err(|_| format!("{} is not a URL", setting.variable))?;
        match proxy.scheme() {
            "http" | "https" if proxy.has_host() => Ok(Some(proxy)),
            _ => Err(format!("{} must be an http:// or https:// URL", setting.variable)),
        }
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let suffix = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
        let bare = suffix.unwrap_or(name).trim_matches(['[', ']']).trim_end_matches('.');
        (!bare.is_empty()).then(|| Self::Name { name: bare.to_owned(), port, itself: suffix.is_none() })
    }

    fn covers(&self, target: &Url) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(network) => address(target).is_some_and(|address| network.contains(&address)),
            Self::Name { name, port, itself } => {
                let host =
                    target.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || (*itself && host == name))
                    && port.is_none_or(|port| target.port_or_known_default() == Some(port))
            }
        }
    }
}

fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Metadata services of EC2 and ECS.
const METADATA: [&str; 3] = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254"];

fn is_local(url: &Url) -> bool {
    url.host_str() == Some("localhost")
        || address(url).is_some_and(|a| a.is_loopback() || METADATA.contains(&a.to_string().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(variables: &[(&str, &str)]) -> ProxyRules {
        ProxyRules::from_environment(&Environment::of(variables))
    }

    fn goes_direct(no_proxy: &str, url: &str) -> bool {
        let rules = rules(&[("ALL_PROXY", "proxy:3128"), ("NO_PROXY", no_proxy)]);
        rules.proxy_for(&Url::parse(url).unwrap()).unwrap().is_none()
    }

    #[test]
    fn no_proxy_follows_the_table() {
        for (no_proxy, url, direct) in [
            ("", "https://quay.io/", false),
            ("*", "https://quay.io/", true),
            ("quay.io", "https://quay.io/", true),
            ("quay.io", "https://cdn.quay.io/", true),
            ("quay.io", "https://notquay.io/", false),
            (".quay.io", "https://cdn.quay.io/", true),
            (".quay.io", "https://quay.io/", false),
            ("*.quay.io", "https://cdn.quay.io/", true),
            ("reg:5000", "https://reg:5000/", true),
            ("reg:5000", "https://reg/", false),
            ("reg:443", "https://reg/", true),
            ("10.0.0.0/8", "http://10.1.2.3:5000/", true),
            ("10.0.0.0/8", "http://11.1.2.3:5000/", false),
            ("a, 10.1.2.3 ,b", "http://10.1.2.3/", true),
            ("fd00::/8", "http://[fd00::1]/", true),
            ("[fd00::1]", "http://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "http://[fd00::1]:5000/", true),
            ("QUAY.IO", "https://quay.io/", true),
        ] {
            assert_eq!(goes_direct(no_proxy, url), direct, "{no_proxy} {url}");
        }
    }

    #[test]
    fn loopback_is_direct_and_schemes_are_kept_apart() {
        for url in [
            "http://127.0.0.1:5000/",
            "http://localhost/",
            "http://[::1]:1/",
            "https://127.9.9.9/",
            "http://169.254.169.254/x",
        ] {
            assert!(goes_direct("", url), "{url}");
        }
        let rules = rules(&[("https_proxy", "http://u:p@s:1"), ("http_proxy", "")]);
        assert!(rules.proxy_for(&Url::parse("http://a/").unwrap()).unwrap().is_none());
        let proxy = rules.proxy_for(&Url::parse("https://a/").unwrap()).unwrap().unwrap();
        assert_eq!(proxy.as_str(), "http://u:p@s:1/");
    }

    #[test]
    fn a_bad_setting_is_named_and_not_shown() {
        for url in ["http://u:secret@:x", "socks5://secret:1"] {
            let error =
                rules(&[("HTTPS_PROXY", url)]).proxy_for(&Url::parse("https://a/").unwrap()).unwrap_err();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
        }
    }
}
