//! What the cluster needs afterwards: Helm values that point a chart at the destination, and a Secret to pull with.

mod assign;
mod pull_secret;
mod values;

pub use assign::Conflict;
pub use pull_secret::{SecretName, SecretNameError, pull_secret};
pub use values::{ValuesError, ValuesStyle, helm_values};
