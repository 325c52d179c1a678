//! The Kubernetes Secret with which a cluster pulls from the destination (`kubernetes.io/dockerconfigjson`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// The name and namespace of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretName {
    name: String,
    namespace: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name in Kubernetes (lowercase letters, digits, '-' and '.', a letter or digit first and last)"
)]
pub(crate) struct SecretNameError(String);

impl SecretName {
    pub(crate) fn new(name: &str, namespace: Option<&str>) -> Result<Self, SecretNameError> {
        for text in [Some(name), namespace].into_iter().flatten() {
            let part = |part: &str| {
                let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
            };
            if text.len() > 253 || !text.split('.').all(part) {
                return Err(SecretNameError(text.chars().take(80).collect()));
            }
        }
        Ok(Self { name: name.to_owned(), namespace: namespace.map(str::to_owned) })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }
}

/// The manifest of the Secret that holds `config`, a registry's login as container tools store it.
pub(crate) fn pull_secret(name: &SecretName, config: &Secret) -> Secret {
    let namespace =
        name.namespace.as_ref().map(|space| format!("  namespace: {space}\n")).unwrap_or_default();
    Secret::new(format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n{namespace}type: kubernetes.io/dockerconfigjson\ndata:\n  \
         .dockerconfigjson: {}\n",
        name.name,
        STANDARD.encode(config.expose())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_holds_the_login_and_nothing_is_injected() {
        let name = SecretName::new("pull-1.x", Some("shop")).unwrap();
        let manifest = pull_secret(&name, &Secret::new("{}"));
        insta::assert_snapshot!(manifest.expose(), @r"
        apiVersion: v1
        kind: Secret
        metadata:
          name: pull-1.x
          namespace: shop
        type: kubernetes.io/dockerconfigjson
        data:
          .dockerconfigjson: e30=
        ");
        assert!(!format!("{manifest:?}").contains("e30"));
        for bad in ["", "A", "a b", "a\nb", "-a", "a-", "a..b", "a/b"] {
            assert!(SecretName::new(bad, None).is_err() && SecretName::new("a", Some(bad)).is_err(), "{bad}");
        }
    }
}
