//! A bundle cut into volumes of an exact size: the same bytes in several files, which `cat` joins again.
//!
//! Volumes have no header of their own. A sidecar file, the list (`X.volumes.json`), has the number, size and sha256 of
//! each volume of a set. A blob may span volumes. Parity volumes can replace lost ones.

mod check;
mod cut;
mod files;
mod input;
mod list;
mod parity;
mod parity_size;
mod set;
mod survey;
mod waiting;

pub use cut::{Cut, MIN_VOLUME};
pub use list::{LIST_SUFFIX, VolumeEntry, VolumeList};
pub use parity::{parity_name, protect, remove_parity};
pub use parity_size::{COLUMNS, parity_len};
pub use set::{VolumeInput, volume_base, volumes_of};
pub use survey::Survey;
pub use waiting::{Wait, WaitingVolumes};

pub(super) use check::{blame, compare_with_list};
pub(super) use files::{Files, Names, failed};
pub(super) use waiting::pipe_error;
