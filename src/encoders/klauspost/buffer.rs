//! The buffer of levels 7 to 9, and reading at positions in it, which never fails.

/// The buffer holds two windows.
pub(super) const BUFFER: usize = 1 << 16;

#[inline]
pub(super) fn four(buffer: &[u8; BUFFER + 8], position: i32) -> u32 {
    let at = at(position);
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&buffer[at..at + 4]);
    u32::from_le_bytes(bytes)
}

#[inline]
pub(super) fn eight(buffer: &[u8; BUFFER + 8], position: i32) -> u64 {
    let at = at(position);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&buffer[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The index of a position.
#[expect(clippy::cast_sign_loss, reason = "the mask makes an index of anything")]
#[inline]
pub(super) fn at(position: i32) -> usize {
    position as u32 as usize & (BUFFER - 1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most `BUFFER`")]
pub(super) fn narrow(length: usize) -> i32 {
    debug_assert!(length <= BUFFER);
    length as i32
}
