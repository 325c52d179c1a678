//! What an image's config says of how it runs (OCI image-spec, config.md): for people and policies, never for hashing.
//!
//! Configs come from anywhere and say anything: a field of another shape counts as absent. A config that tools read in
//! different ways is refused, as a manifest is.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Platform;
use super::decisive::{Fields, KeyError, Keys};
use super::kept::{self, Cut};

const ROOT: Keys = Keys {
    decisive: &["config", "rootfs", "os", "architecture", "variant", "os.version", "os.features"],
    lenient: &["created"],
};
/// The fields of OCI's and Docker's `config`.
const CONFIG: Keys = Keys {
    decisive: &[
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "StopTimeout",
        "ArgsEscaped",
        "Healthcheck",
        "Shell",
        "OnBuild",
        "Hostname",
        "Domainname",
        "NetworkDisabled",
        "MacAddress",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Memory",
        "MemorySwap",
        "CpuShares",
    ],
    lenient: &[],
};
const HEALTH_CHECK: Keys = Keys {
    decisive: &["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"],
    lenient: &[],
};
const ROOTFS: Keys = Keys { decisive: &["type", "diff_ids"], lenient: &[] };

/// Characters of a user. No runtime finds one with a longer name, and the whole of it decides whether that is root.
const MAX_USER: usize = 4096;
/// Bytes of what names a platform.
const MAX_PLATFORM: usize = 255;

/// The parts of a config that people decide upon. Only [`Self::user`] and [`Self::platform`] are decided upon by the
/// program, and both are whole; of all other fields the beginning is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it was built for; none where it does not say, or says nonsense.
    pub platform: Option<Platform>,
    /// As it stands there; RFC 3339 where the builder kept to the rules.
    pub created: Option<String>,
    /// Empty where the image does not say: then it runs as root.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub working_dir: String,
    pub stop_signal: String,
    /// `NAME=VALUE`, in the order in which they stand there; a name may be repeated.
    pub env: Vec<String>,
    /// `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    /// Digests of its layers when they are not compressed, as they stand there.
    pub diff_ids: Vec<String>,
    /// There are more of them than are kept.
    pub diff_ids_cut: bool,
    /// What is not kept, by the name of the field in this program's outputs.
    pub cut: BTreeMap<&'static str, Cut>,
}

/// Why a config cannot be read, or not in one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the config is not a JSON object")]
    NotAnObject,
    #[error("{}{error}", if place.is_empty() { "the config: ".to_owned() } else { format!("the config: {place}: ") })]
    Key { place: &'static str, error: KeyError },
    #[error("the config: the user is longer than {MAX_USER} bytes")]
    LongUser,
}

impl ConfigError {
    /// Whether tools read the config in different ways. Otherwise nobody can read it.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Key { error: KeyError::Repeated(_) | KeyError::OtherCase { .. }, .. })
    }
}

impl ImageConfig {
    /// Reads the config `bytes`.
    pub fn of(bytes: &[u8]) -> Result<Self, ConfigError> {
        let root = ROOT.read(bytes).map_err(|error| ConfigError::Key { place: "", error })?;
        let root = root.ok_or(ConfigError::NotAnObject)?;
        let rootfs = part("rootfs", ROOTFS, root.get("rootfs"))?;
        let config = part("config", CONFIG, root.get("config"))?;
        part("config.Healthcheck", HEALTH_CHECK, config.get("Healthcheck"))?;
        let user: String = value(&config, "User").unwrap_or_default();
        if user.len() > MAX_USER {
            return Err(ConfigError::LongUser);
        }
        let (mut cut, mut ids_cut) = (BTreeMap::new(), BTreeMap::new());
        let diff_ids = keep(&mut ids_cut, "layer", rootfs.get("diff_ids"), kept::words);
        Ok(Self {
            platform: platform(&root),
            created: keep(&mut cut, "created", root.get("created"), kept::text),
            user,
            entrypoint: keep(&mut cut, "entrypoint", config.get("Entrypoint"), kept::words),
            cmd: keep(&mut cut, "command", config.get("Cmd"), kept::words),
            working_dir: keep(&mut cut, "working directory", config.get("WorkingDir"), kept::text)
                .unwrap_or_default(),
            stop_signal: keep(&mut cut, "stop signal", config.get("StopSignal"), kept::text)
                .unwrap_or_default(),
            env: keep(&mut cut, "env", config.get("Env"), kept::words),
            exposed_ports: keep(&mut cut, "port", config.get("ExposedPorts"), kept::names),
            volumes: keep(&mut cut, "volume", config.get("Volumes"), kept::names),
            labels: keep(&mut cut, "label", config.get("Labels"), kept::texts),
            diff_ids,
            diff_ids_cut: !ids_cut.is_empty(),
            cut,
        })
    }

    /// Whether a runtime could take the JSON `bytes` for the config of an image, whatever media type they have: it has the
    /// parts that a container is made from, in some spelling.
    pub fn is_like(bytes: &[u8]) -> bool {
        const PARTS: Keys = Keys { decisive: &["config", "rootfs"], lenient: &[] };
        match PARTS.read(bytes) {
            Ok(fields) => fields.is_some_and(|fields| !fields.is_empty()),
            Err(KeyError::Json(_)) => false,
            Err(KeyError::Repeated(_) | KeyError::OtherCase { .. }) => true,
        }
    }

    /// What content that could be a config says in a way that tools read differently, if it does.
    pub fn ambiguity(bytes: &[u8]) -> Option<ConfigError> {
        Self::of(bytes).err().filter(|error| error.is_ambiguous() && Self::is_like(bytes))
    }

    /// The environment by name, for comparing; values of a repeated name are joined.
    pub fn env_by_name(&self) -> BTreeMap<String, String> {
        let mut by_name: BTreeMap<String, String> = BTreeMap::new();
        for entry in &self.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            match by_name.get_mut(name) {
                Some(values) => *values = format!("{values}, {value}"),
                None => drop(by_name.insert(name.to_owned(), value.to_owned())),
            }
        }
        by_name
    }

    /// Whether it says anything about a container: what runs in it, how, or on which platform.
    pub(super) fn is_to_run(&self) -> bool {
        let texts = [&self.user, &self.working_dir, &self.stop_signal];
        let lists = [&self.entrypoint, &self.cmd, &self.env];
        texts.iter().any(|text| !text.is_empty())
            || lists.iter().any(|list| !list.is_empty())
            || !self.exposed_ports.is_empty()
            || !self.volumes.is_empty()
            || !self.cut.is_empty()
            || self.platform.as_ref().is_some_and(|platform| !platform.is_unknown())
    }

    /// Bytes of the texts that are kept.
    pub fn weight(&self) -> usize {
        let words = self.entrypoint.iter().chain(&self.cmd).chain(&self.env);
        let names = self.exposed_ports.iter().chain(&self.volumes);
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        words.chain(names).chain(labels).map(String::len).sum()
    }

    /// Whether it runs as root: by saying so, by not saying anything else, or by a number that runtimes have taken for
    /// root since it is none of a user (CVE-2024-40635). A name is taken at its word: what number it has says a file in
    /// the layers. An administrator of Windows counts as root. So does an image for Windows that names no user: which
    /// one it gets is a matter of its base.
    pub fn is_root(&self) -> bool {
        const USERS: std::ops::RangeInclusive<i128> = 1..=i32::MAX as i128;
        let is_linux = self.platform.as_ref().is_some_and(|platform| platform.os == "linux");
        if is_administrator(&self.user, is_linux) {
            return true;
        }
        let user = self.user.split(':').next().unwrap_or_default();
        let is_number = user.strip_prefix(['-', '+']).unwrap_or(user).bytes().all(|b| b.is_ascii_digit());
        let is_a_user = || user.parse().is_ok_and(|number| USERS.contains(&number));
        user == "root" || (is_number && !is_a_user())
    }
}

/// Whether Windows knows `user` as an account with all rights, with or without a domain, by name or SID. On Linux some of
/// the names are those of any user.
fn is_administrator(user: &str, is_linux: bool) -> bool {
    const ALWAYS: [&str; 4] = ["containeradministrator", "s-1-5-93-2-1", "s-1-5-18", "s-1-5-32-544"];
    const WINDOWS: [&str; 5] = ["system", "localsystem", "local system", "administrator", "administrators"];
    let name = user.trim().rsplit(['\\', '/']).next().unwrap_or_default().trim().to_lowercase();
    ALWAYS.contains(&name.as_str()) || (!is_linux && WINDOWS.contains(&name.as_str()))
}

/// The fields of the object under a key, if it is one.
fn part<'a>(
    place: &'static str,
    keys: Keys,
    value: Option<&&'a RawValue>,
) -> Result<Fields<'a>, ConfigError> {
    let read = value.map(|value| keys.read(value.get().as_bytes())).transpose();
    let read = read.map_err(|error| ConfigError::Key { place, error })?;
    Ok(read.flatten().unwrap_or_default())
}

/// The value of `key`, if it has this shape.
fn value<T: DeserializeOwned>(fields: &Fields<'_>, key: &str) -> Option<T> {
    serde_json::from_str(fields.get(key)?.get()).ok()
}

/// What `read` keeps of a field; what it cuts is noted under `name`.
fn keep<T: Default>(
    cut: &mut BTreeMap<&'static str, Cut>,
    name: &'static str,
    field: Option<&&RawValue>,
    read: impl Fn(&RawValue) -> (T, Option<Cut>),
) -> T {
    let Some(field) = field else { return T::default() };
    let (kept, left) = read(field);
    cut.extend(left.map(|left| (name, left)));
    kept
}

fn platform(root: &Fields<'_>) -> Option<Platform> {
    let part = |key: &str| value::<String>(root, key).filter(|text| !text.is_empty());
    let variant = part("variant").map(|variant| format!("/{variant}")).unwrap_or_default();
    let name = format!("{}/{}{variant}", part("os")?, part("architecture")?);
    if name.len() > MAX_PLATFORM { None } else { name.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_config_says_is_read_and_nonsense_is_not_there() {
        let config = ImageConfig::of(
            br#"{"created":"2024-01-02T03:04:05Z","os":"linux","architecture":"arm64","variant":"v8",
            "config":{"User":"1000:1000","Entrypoint":["/app"],"Cmd":"-x","WorkingDir":"/srv",
            "Env":["PATH=/bin","A=b=c","BARE","PATH=/x"],"ExposedPorts":{"8080/tcp":{},"53/udp":{}},
            "Volumes":{"/data":{}},"Labels":{"a":"b","n":1,"a":"c"},"StopSignal":"SIGINT"}}"#,
        )
        .unwrap();
        assert_eq!((config.user.as_str(), config.is_root()), ("1000:1000", false));
        assert_eq!(config.platform.as_ref().map(ToString::to_string).as_deref(), Some("linux/arm64/v8"));
        assert_eq!((&config.entrypoint, &config.cmd), (&vec!["/app".to_owned()], &vec!["-x".to_owned()]));
        assert_eq!(config.env.len(), 4);
        let env = config.env_by_name();
        let env = |name: &str| env.get(name).map(String::as_str);
        assert_eq!((env("A"), env("BARE"), env("PATH")), (Some("b=c"), Some(""), Some("/bin, /x")));
        assert_eq!(config.exposed_ports.len(), 2);
        assert_eq!(config.labels, BTreeMap::from([("a".to_owned(), "c".to_owned())]));
        let odd = br#"{"created":5,"os":7,"config":{"User":7,"Env":{},"ExposedPorts":[],"Labels":null}}"#;
        assert_eq!(ImageConfig::of(odd), Ok(ImageConfig::default()));
        assert_eq!(ImageConfig::of(br#"{"config":null}"#), Ok(ImageConfig::default()));
        assert_eq!(ImageConfig::of(b"[]"), Err(ConfigError::NotAnObject));
    }

    #[test]
    fn what_decides_is_whole_or_nothing() {
        let with_user =
            |user: &str| ImageConfig::of(format!(r#"{{"config":{{"User":"{user}"}}}}"#).as_bytes());
        // A number with many zeros in front of it is not root, and would be if it were cut.
        let user = format!("{}7", "0".repeat(2000));
        let config = with_user(&user).unwrap();
        assert_eq!((config.is_root(), config.user), (false, user));
        let error = with_user(&"0".repeat(MAX_USER + 1)).unwrap_err();
        assert!(error == ConfigError::LongUser && !error.is_ambiguous());
        let env = r#""a","#.repeat(300);
        let config = format!(r#"{{"config":{{"Env":[{env}"b"],"User":"7"}}}}"#);
        let config = ImageConfig::of(config.as_bytes()).unwrap();
        assert_eq!((config.env.len(), config.cut["env"].entries, config.user.as_str()), (200, 101, "7"));
    }

    #[test]
    fn a_config_that_tools_read_in_different_ways_is_refused() {
        for (config, says) in [
            (
                r#"{"config":{"User":"1000"},"config":{"Env":["A=1"]}}"#,
                r#"the config: the key "config" appears"#,
            ),
            (r#"{"Config":{"User":"0"},"config":{"User":"1000"}}"#, r#""Config""#),
            (r#"{"config":{"User":"1000","user":"0"}}"#, r#"the config: config: the key "user""#),
            (r#"{"config":{"User":"1000","u\u017fer":"0"}}"#, "config: the key"),
            (r#"{"config":{"Entrypoint":["/a"],"Entrypoint":["/b"]}}"#, "Entrypoint"),
            (r#"{"config":{"Labels":{"a":"1"},"Labels":{"b":"2"}}}"#, "Labels"),
            (r#"{"config":{"exposedports":{"1/tcp":{}}}}"#, "exposedports"),
            (r#"{"config":{"Healthcheck":{"Test":["NONE"],"test":["CMD","/x"]}}}"#, "config.Healthcheck"),
            (r#"{"os":"linux","OS":"windows"}"#, r#""OS""#),
            (r#"{"rootfs":{"type":"layers","diff_ids":[],"diff_ids":[]}}"#, "rootfs: the key"),
            ("{", "not JSON"),
        ] {
            let error = ImageConfig::of(config.as_bytes()).expect_err(config).to_string();
            assert!(error.contains(says), "{config}: {error}");
        }
        for fine in [
            r#"{"config":{"User":"1000"},"history":[],"history":[],"author":"a","Author":"b"}"#,
            r#"{"config":{"Labels":{"a":"1","A":"2"},"x":1,"x":2}}"#,
        ] {
            assert!(ImageConfig::of(fine.as_bytes()).is_ok(), "{fine}");
        }
    }

    #[test]
    fn what_a_runtime_could_take_for_a_config_is_known_by_its_parts() {
        for (config, is_like) in [
            (r#"{"rootfs":{}}"#, true),
            (r#"{"Config":{}}"#, true),
            (r#"{"config":{},"config":{}}"#, true),
            (r#"{"name":"chart","version":"1"}"#, false),
            ("{}", false),
            ("[]", false),
            ("config", false),
        ] {
            assert_eq!(ImageConfig::is_like(config.as_bytes()), is_like, "{config}");
        }
    }

    #[test]
    fn root_has_many_names() {
        for (user, root) in [
            ("", true),
            ("root", true),
            ("0", true),
            ("0:0", true),
            ("00", true),
            ("-0", true),
            ("+0:5", true),
            ("-1", true),
            ("4294967296", true),
            ("99999999999999999999999999999999999999999999", true),
            ("2147483647", false),
            ("root:app", true),
            ("1000", false),
            ("app", false),
            ("app:0", false),
        ] {
            let config = ImageConfig { user: user.to_owned(), ..ImageConfig::default() };
            assert_eq!(config.is_root(), root, "{user}");
        }
        for (os, user, root) in [
            ("windows", "ContainerAdministrator", true),
            ("windows", "CONTAINERADMINISTRATOR", true),
            ("linux", "ContainerAdministrator", true),
            ("windows", "User Manager\\ContainerAdministrator", true),
            ("windows", "NT AUTHORITY\\SYSTEM", true),
            ("windows", "nt authority\\system ", true),
            ("windows", ".\\Administrator", true),
            ("windows", "S-1-5-18", true),
            ("windows", "", true),
            ("windows", "ContainerUser", false),
            ("windows", "NT AUTHORITY\\NetworkService", false),
            ("linux", "system", false),
            ("linux", "administrator", false),
        ] {
            let platform = format!("{os}/amd64").parse().ok();
            let config = ImageConfig { user: user.to_owned(), platform, ..ImageConfig::default() };
            assert_eq!(config.is_root(), root, "{os}: {user}");
        }
        // Nothing says that it is not for Windows.
        let config = ImageConfig { user: "Administrator".to_owned(), ..ImageConfig::default() };
        assert!(config.is_root());
    }
}
