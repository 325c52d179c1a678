//! What the cluster needs afterwards: Helm values that point a chart at the destination.

mod values;

pub use values::{ValuesError, helm_values};
