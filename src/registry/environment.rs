//! The environment variables that registry clients use, read once, so that tests can provide their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::app::unusable::Unusable;

/// A snapshot of environment variables. Proxy URLs hold passwords, so it does not print its values.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Exactly these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The variable as it is; empty counts as unset.
    pub(super) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The variable as text, with the white space around it; empty counts as unset. An error does not repeat the value.
    pub fn exact(&self, name: &str) -> Result<Option<&str>, Unusable> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| Unusable::new(format!("{name} is not UTF-8")))
    }

    /// The same without white space around it.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Unusable> {
        Ok(self.exact(name)?.map(str::trim).filter(|text| !text.is_empty()))
    }

    /// The variable as a path; empty counts as unset.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        self.path("XDG_CONFIG_HOME").or_else(|| Some(self.path("HOME")?.join(".config")))
    }

    /// `$XDG_STATE_HOME`, else `~/.local/state`.
    pub(super) fn state_home(&self) -> Option<PathBuf> {
        let absolute = |name| self.path(name).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn what_is_no_utf_8_is_named_and_still_a_path() {
        let odd = OsString::from_vec(b"/home/m\xfcller".to_vec());
        let environment = Environment([("HOME".into(), odd.clone())].into());
        assert_eq!(environment.text("HOME").unwrap_err().why, "HOME is not UTF-8");
        assert_eq!(environment.path("HOME"), Some(odd.into()));
        let environment = Environment::of(&[("A", " x "), ("B", ""), ("C", " ")]);
        assert_eq!(environment.text("A"), Ok(Some("x")));
        for unset in ["B", "C", "D"] {
            assert_eq!(environment.text(unset), Ok(None), "{unset}");
        }
    }
}
