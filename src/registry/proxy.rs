//! Which proxy leads to a URL: `HTTP(S)_PROXY`, `ALL_PROXY` and `NO_PROXY`, either case.
//!
//! `NO_PROXY` holds hosts (with their subdomains), `.suffix` and `*.suffix` (subdomains only), `host:port`,
//! addresses, CIDR blocks and `*`. Loopback never goes through a proxy, nor do the services that give a machine or
//! container its cloud credentials.
//!
//! `hyper_util::client::proxy::matcher` (0.1) cannot carry these rules, so it is not used:
//!
//! - It compares `NO_PROXY` with the host alone: `registry.local:5000` there never matches anything.
//! - It does not know `*.suffix`, separates entries by commas only, and lets `.suffix` match the suffix itself.
//! - Its exceptions are `NO_PROXY` and nothing else, so loopback and the addresses of cloud credentials would go through
//!   the proxy.
//! - It takes a proxy URL that it cannot read for no proxy at all. Here that is an error which names the variable.
//! - It does not tell which variable a proxy came from, which errors and hints name.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use super::environment::Environment;
use super::redact::{clean, masked_origin};
use super::warnings::Warnings;
use crate::app::unusable::Unusable;

/// Characters that end the address of a proxy, or its user name and password, unless they are percent-encoded.
const ENCODED: [(char, &str); 4] = [('\\', "%5C"), ('/', "%2F"), ('?', "%3F"), ('#', "%23")];

/// The proxies of the environment.
#[derive(Clone)]
pub(super) struct ProxyRules {
    http: Setting,
    https: Setting,
    exceptions: Vec<Exception>,
}

/// A proxy, if a variable names one.
type Setting = Result<Option<Arc<Proxy>>, Unusable>;

/// One proxy, and the variable that names it.
pub(super) struct Proxy {
    /// With its user name and password.
    pub(super) url: Url,
    pub(super) name: ProxyName,
    pub(super) has_login: bool,
}

/// What people know a proxy by: its address without a login, and the variable that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyName {
    pub address: String,
    pub variable: &'static str,
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} ({})", self.address, self.variable)
    }
}

#[derive(Clone, Debug)]
enum Exception {
    Everything,
    Network(IpNet),
    Name { name: String, port: Option<u16>, itself: bool },
}

impl ProxyRules {
    pub(super) fn from_environment(environment: &Environment, warnings: &Warnings) -> Self {
        let setting = |names: &[&'static str]| {
            for name in names {
                if let Some(text) = environment.text(name)? {
                    return Ok(Some(Arc::new(Proxy::parse(name, text)?)));
                }
            }
            Ok(None)
        };
        Self {
            http: setting(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: setting(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            exceptions: exceptions(environment, warnings),
        }
    }

    /// The proxy for `target`. A setting that cannot be used is an error that names its variable, not its text.
    pub(super) fn proxy_for(&self, target: &Url) -> Setting {
        let setting = if target.scheme() == "https" { &self.https } else { &self.http };
        if matches!(setting, Ok(None))
            || is_local(target)
            || self.exceptions.iter().any(|exception| exception.covers(target))
        {
            return Ok(None);
        }
        setting.clone()
    }
}

/// The entries of `NO_PROXY`. An entry that cannot be read is ignored with a warning.
fn exceptions(environment: &Environment, warnings: &Warnings) -> Vec<Exception> {
    let set = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| match environment.text(name) {
        Ok(text) => text.map(|text| (name, text)),
        Err(unusable) => {
            warnings.add(unusable.why);
            None
        }
    });
    let Some((variable, text)) = set else { return Vec::new() };
    let mut exceptions = Vec::new();
    for entry in text.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()) {
        match Exception::parse(entry) {
            Some(exception) => exceptions.push(exception),
            None => warnings.add(format!(
                "{variable}: {:?} is neither a host, an address nor a network, so it is ignored",
                clean(entry, 100)
            )),
        }
    }
    exceptions
}

impl Proxy {
    /// A proxy out of `variable`. The `url` crate, as browsers do, takes `\` for `/`, and both, `?` and `#` for the end of
    /// the address: a password with one of these would be sent to a host that is half of a user name.
    fn parse(variable: &'static str, text: &str) -> Result<Self, Unusable> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(Unusable::new(format!("{variable} must be an http:// or https:// URL")).hint(
                format!("write {variable}=http://HOST:PORT; other kinds of proxies are not supported"),
            ));
        }
        let (login, address) =
            rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        if let Some(login) = login {
            check_login(variable, &scheme, login, address)?;
        }
        let url = Url::parse(&format!("{scheme}://{rest}")).ok().filter(Url::has_host);
        let url = url.ok_or_else(|| {
            Unusable::new(format!("{variable} is not the URL of a proxy"))
                .hint(format!("write {variable}=http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT"))
        })?;
        let name = ProxyName { address: masked_origin(&url), variable };
        Ok(Self { has_login: login.is_some(), url, name })
    }
}

/// Refuses a user name and password in which a character would end the address.
fn check_login(variable: &str, scheme: &str, login: &str, address: &str) -> Result<(), Unusable> {
    let found: Vec<_> = ENCODED.iter().filter(|(character, _)| login.contains(*character)).collect();
    if found.is_empty() {
        return Ok(());
    }
    let list = |of: &dyn Fn(&(char, &str)) -> String| {
        found.iter().map(|pair| of(pair)).collect::<Vec<_>>().join(" and ")
    };
    let characters = list(&|(character, _)| format!("`{character}`"));
    let encoded = list(&|(character, code)| format!("`{character}` as {code}"));
    let address = address.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let address = clean(address, 200);
    Err(Unusable::new(format!(
        "the user name or password in {variable} has {characters} in it, which ends the address of the proxy"
    ))
    .hint(format!("write {encoded}: {variable}={scheme}://USER:PASSWORD@{address}")))
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
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
        let is_name = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c));
        is_name.then(|| Self::Name { name: bare.to_owned(), port, itself: suffix.is_none() })
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
        ProxyRules::from_environment(&Environment::of(variables), &Warnings::default())
    }

    fn proxy(variables: &[(&str, &str)], target: &str) -> Result<Option<String>, Unusable> {
        let found = rules(variables).proxy_for(&Url::parse(target).unwrap());
        found.map(|proxy| proxy.map(|proxy| proxy.url.to_string()))
    }

    fn goes_direct(no_proxy: &str, url: &str) -> bool {
        proxy(&[("ALL_PROXY", "proxy:3128"), ("NO_PROXY", no_proxy)], url).unwrap().is_none()
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
        let variables = [("https_proxy", "http://u:p@s:1"), ("http_proxy", "")];
        assert_eq!(proxy(&variables, "http://a/"), Ok(None));
        assert_eq!(proxy(&variables, "https://a/"), Ok(Some("http://u:p@s:1/".to_owned())));
    }

    #[test]
    fn a_bad_setting_is_named_and_not_shown() {
        for url in ["http://u:secret@:x", "socks5://secret:1", "http://", "http://sec ret"] {
            let error = proxy(&[("HTTPS_PROXY", url)], "https://a/").unwrap_err();
            let text = format!("{error} {:?}", error.hint);
            assert!(error.why.contains("HTTPS_PROXY") && !text.contains("sec"), "{text}");
            // It is nothing to hosts that need no proxy.
            assert_eq!(proxy(&[("HTTPS_PROXY", url), ("NO_PROXY", "a")], "https://a/"), Ok(None));
        }
    }

    #[test]
    fn characters_that_end_an_address_are_refused_with_their_code() {
        for (login, characters, encoded) in [
            (r"CORP\secret:pw", r"`\`", r"`\` as %5C"),
            ("secret:p#w", "`#`", "`#` as %23"),
            ("secret:p/w?", "`/` and `?`", "`/` as %2F and `?` as %3F"),
            ("secret:p#w@x", "`#`", "`#` as %23"),
        ] {
            for scheme in ["http://", ""] {
                let value = format!("{scheme}{login}@proxy.corp:3128/");
                let error = proxy(&[("ALL_PROXY", &value)], "https://a/").unwrap_err();
                let why = format!(
                    "the user name or password in ALL_PROXY has {characters} in it, which ends the address of the proxy"
                );
                assert_eq!(error.why, why);
                let hint = format!("write {encoded}: ALL_PROXY=http://USER:PASSWORD@proxy.corp:3128");
                assert_eq!(error.hint, Some(hint));
            }
        }
        // What is encoded, and what needs no code.
        let login = "HTTP://CORP%5Cu:p%23%2F@w:x!$&'()*+,;=@proxy.corp:3128";
        let found = rules(&[("HTTP_PROXY", login)]).proxy_for(&Url::parse("http://a/").unwrap());
        let found = found.unwrap().unwrap();
        assert_eq!((found.url.username(), found.url.host_str()), ("CORP%5Cu", Some("proxy.corp")));
        assert_eq!(found.name.to_string(), "the proxy http://proxy.corp:3128 (HTTP_PROXY)");
        assert!(found.has_login);
    }

    #[test]
    fn exceptions_that_are_none_are_told() {
        let warnings = Warnings::default();
        let environment = Environment::of(&[("no_proxy", "a.io, b:port,.,10.0.0.0/64 c.io")]);
        let rules = ProxyRules::from_environment(&environment, &warnings);
        assert_eq!(rules.exceptions.len(), 2);
        let told = warnings.take();
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("no_proxy: \".\" is neither a host"), "{told:?}");
    }
}
