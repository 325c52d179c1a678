//! How much work goes into the compact form.

use serde::{Deserialize, Serialize};

/// How much work goes into the compact form, to make and to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Content is held without the gzip around it.
    #[default]
    Normal,
    /// Zip entries in the content are inflated too, and zstd searches longer.
    Max,
}

impl Effort {
    /// Whether it is the default.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    pub(super) fn zstd_level(self) -> i32 {
        match self {
            Self::Normal => 6,
            Self::Max => 12,
        }
    }

    pub(super) fn inflates_zip(self) -> bool {
        self == Self::Max
    }
}
