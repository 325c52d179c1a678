//! How a bundle is cut: into exact sizes, so that the volume of an offset can be computed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveError, VolumesError};

/// With smaller volumes, the number of files would become unreasonable.
pub const MIN_VOLUME: u64 = 64 << 10;
/// Maximum number of volumes; more cannot be handled as media.
pub(super) const MAX_VOLUMES: usize = 9999;
/// At least three digits, so that most sets look alike.
const DIGITS: usize = 3;

/// The size of volumes, and the number of digits in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Bytes of every volume except the last.
    pub size: u64,
    pub digits: usize,
}

impl Cut {
    /// Cuts of `size` bytes for a file of at most `max_len`. The number of digits follows from that bound, so that the
    /// names are known before the first byte; `cat` in the order of names joins the volumes.
    pub fn new(size: u64, max_len: u64) -> Result<Self, ArchiveError> {
        let count = max_len.div_ceil(size.max(1));
        if size < MIN_VOLUME || count > MAX_VOLUMES as u64 {
            return Err(ArchiveError::Volumes(VolumesError::Size { size, count }));
        }
        Ok(Self { size, digits: DIGITS.max(count.to_string().len()) })
    }

    /// The name of volume `index`, counted from 0: `<base>.001` is the first.
    pub fn name(&self, base: &Path, index: usize) -> PathBuf {
        let mut name = base.as_os_str().to_owned();
        name.push(format!(".{:0width$}", index + 1, width = self.digits));
        name.into()
    }
}

/// The number of volumes of `size` bytes that `len` bytes fill.
pub(super) fn count(size: u64, len: u64) -> usize {
    usize::try_from(len.div_ceil(size)).unwrap_or(usize::MAX).max(1)
}

/// The first part of `range` that is in one volume: the volume, and the bytes in it.
pub(super) fn first_piece(size: u64, range: &Range<u64>) -> (usize, Range<u64>) {
    let (index, from) = (range.start / size, range.start % size);
    let to = size.min(from + (range.end - range.start));
    (usize::try_from(index).unwrap_or(usize::MAX), from..to)
}

/// The base and the number of a volume's name: `x.tar.zst.002` is `x.tar.zst` and 2.
pub(super) fn number_of(path: &Path) -> Option<(PathBuf, usize, usize)> {
    let digits = path.extension()?.to_str()?;
    let valid = digits.len() >= DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| valid && *number > 0)?;
    Some((path.with_extension(""), number, digits.len()))
}

/// The name that volume `index`, counted from 0, has if these are the volumes before it.
pub(super) fn beyond(before: &[PathBuf], index: usize) -> PathBuf {
    let last = before.last().and_then(|path| number_of(path));
    last.map_or_else(PathBuf::new, |(base, _, digits)| Cut { size: 0, digits }.name(&base, index))
}

/// The common name of the set to which the parity volume at `path` belongs.
pub(super) fn parity_of(path: &Path) -> Option<PathBuf> {
    let digits = path.extension()?.to_str()?.strip_prefix('p')?;
    let valid = digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| path.with_extension(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_as_many_digits_as_the_bound_needs() {
        let base = Path::new("a/x.tar.zst");
        let cut = Cut::new(1 << 20, 5 << 20).unwrap();
        assert_eq!(cut.name(base, 0), Path::new("a/x.tar.zst.001"));
        let many = Cut::new(1 << 20, (5000 << 20) + 1).unwrap();
        assert_eq!(many.name(base, 11), Path::new("a/x.tar.zst.0012"));
        assert_eq!(number_of(&many.name(base, 11)), Some((base.to_owned(), 12, 4)));
        for other in ["x.tar.zst", "x.01", "x.000", "x.1a1", "001"] {
            assert_eq!(number_of(Path::new(other)), None, "{other}");
        }
        assert!(Cut::new(MIN_VOLUME - 1, 1).is_err() && Cut::new(MIN_VOLUME, 1 << 40).is_err());
        assert_eq!((count(9, 0), count(9, 9), count(9, 10)), (1, 1, 2));
    }

    proptest! {
        #[test]
        fn pieces_cover_a_range_exactly(size in MIN_VOLUME..200_000, start in 0u64..1_000_000, len in 1u64..600_000) {
            let mut left = start..start + len;
            while !left.is_empty() {
                let (index, piece) = first_piece(size, &left);
                prop_assert_eq!(index as u64 * size + piece.start, left.start);
                prop_assert!(piece.end <= size && !piece.is_empty());
                left.start += piece.end - piece.start;
            }
            prop_assert_eq!(left.start, left.end);
        }
    }
}
