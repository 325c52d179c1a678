//! What the file system of an output supports: sparse files, the largest file size, and free space.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::app::own_file;
use crate::app::own_file::folder_of;

/// Maximum offset at which the probe writes its byte: beyond what file systems with gaps allocate at once.
const MAX_GAP: u64 = 2 << 20;
/// Minimum offset: beyond a block.
const MIN_GAP: u64 = 64 << 10;

/// The largest file on FAT, in bytes.
pub(crate) const FAT_LARGEST: u64 = (4 << 30) - 1;

/// How the medium of an output handles a write beyond the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A gap takes no space: blobs can be written at their offsets in any order.
    Sparse,
    /// A gap is filled with zeros, as on FAT, exFAT and some network shares: bytes are written in order.
    Filling,
}

impl Medium {
    /// Tests this with a file beside `target`, which will have `size` bytes; filling the gap costs at most a
    /// sixty-fourth of that. If the probe fails, the medium counts as sparse: the actual problem is reported when the
    /// file is written.
    pub(crate) fn of(target: &Path, size: u64) -> Self {
        let gap = (size / 64).clamp(MIN_GAP, MAX_GAP);
        let allocated = (|| {
            let probe = own_file::aside(target, 0o600)?;
            let file = own_file::open(probe.path(), false)?;
            file.write_all_at(b"x", gap)?;
            // A network share knows the allocated size only after a sync.
            file.sync_data()?;
            Ok::<_, std::io::Error>(file.metadata()?.blocks() * 512)
        })();
        if allocated.is_ok_and(|allocated| allocated >= gap / 2) { Self::Filling } else { Self::Sparse }
    }
}

/// The largest file that the file system of `target` allows, if that limit is small (FAT: 4 GiB - 1).
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

/// Bytes that can still be written in the folder of `target`. None if the system does not report it.
pub(crate) fn free_space(target: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder_of(target)).ok()?;
    // Some file systems in user space report zero, which does not mean that they are full.
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
