//! What the file system of an output can do: whether it has sparse files, how large a file it holds, how much room.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::app::own_file;
use crate::app::own_file::folder_of;

/// Where the probe writes its byte, at the most: beyond what file systems with gaps allocate at once.
const MAX_GAP: u64 = 2 << 20;
/// At the least: beyond a block.
const MIN_GAP: u64 = 64 << 10;

/// The largest file on FAT, in bytes.
pub(crate) const FAT_LARGEST: u64 = (4 << 30) - 1;

/// What the medium of an output makes of a write beyond the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A gap takes no space: blobs can be written into their places in any order.
    Sparse,
    /// A gap is filled with zeros, as on FAT, exFAT and some network shares: bytes are written in order.
    Filling,
}

impl Medium {
    /// Finds out with a file beside `target`, which is to have `size` bytes: a gap that is filled costs a sixty-fourth of
    /// them. A probe that fails says nothing: what is wrong shows when writing.
    pub(crate) fn of(target: &Path, size: u64) -> Self {
        let gap = (size / 64).clamp(MIN_GAP, MAX_GAP);
        let allocated = (|| {
            let probe = own_file::aside(target, 0o600)?;
            let file = own_file::open(probe.path(), false)?;
            file.write_all_at(b"x", gap)?;
            // A share knows what a file takes when it has it.
            file.sync_data()?;
            Ok::<_, std::io::Error>(file.metadata()?.blocks() * 512)
        })();
        if allocated.is_ok_and(|allocated| allocated >= gap / 2) { Self::Filling } else { Self::Sparse }
    }
}

/// The largest file that the file system of `target` holds, where it is one with a small limit (FAT: 4 GiB - 1).
pub(crate) fn largest_file(target: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        const MSDOS_SUPER_MAGIC: u64 = 0x4d44;
        let stat = rustix::fs::statfs(folder_of(target)).ok()?;
        (u64::try_from(stat.f_type).ok()? == MSDOS_SUPER_MAGIC).then_some(FAT_LARGEST)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = target;
        None
    }
}

/// Bytes that can still be written in the folder of `target`. None where the system does not say.
pub(crate) fn free_space(target: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder_of(target)).ok()?;
    // Some file systems in user space say nothing, which is not the same as none.
    if stat.f_blocks == 0 { None } else { stat.f_bavail.checked_mul(stat.f_frsize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_and_knows_a_sparse_file_system() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 10 << 20, 100 << 30] {
            assert_eq!(Medium::of(&folder.path().join("out"), size), Medium::Sparse, "{size}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
