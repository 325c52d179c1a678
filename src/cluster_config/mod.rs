//! What the cluster needs afterwards: Helm values that point a chart at the destination, configuration that points
//! runtimes there without a chart's help, a Secret to pull with; and the proof that nothing it names is missing.

mod assign;
mod manifest_check;
mod mirrors;
mod pull_secret;
mod values;

pub(crate) use manifest_check::{Answer, Coverage};
pub(crate) use mirrors::{MirrorError, MirrorFile, MirrorKind, Reach, mirror_files};
pub(crate) use pull_secret::{SecretName, pull_secret};
pub(crate) use values::{ValuesError, ValuesStyle, bundle_values, helm_values, is_as_made};
