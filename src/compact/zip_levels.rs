//! Finds the level of zlib with which a zip entry was deflated.

use crate::encoders::Zlib;

/// By likelihood.
const LEVELS: [u8; 9] = [6, 9, 1, 8, 7, 5, 4, 3, 2];
/// Bytes of an entry that are encoded before they are compared.
const STEP: usize = 64 << 10;
/// So many entries in a row that no level makes are a sign that no more will follow: then only the last one found is tried.
const PATIENCE: u32 = 64;

/// Tries levels of zlib.
#[derive(Debug, Default)]
pub(super) struct ZipLevels {
    encoders: [Option<Zlib>; LEVELS.len()],
    /// Which made the entry before.
    last: usize,
    /// Entries since then that none made.
    in_vain: u32,
    made: Vec<u8>,
}

impl ZipLevels {
    /// The level that makes these bytes from raw ones.
    pub(super) fn of(&mut self, made: &[u8], raw: &[u8]) -> Option<u8> {
        let (last, is_patient) = (self.last, self.in_vain < PATIENCE);
        let others = (0..LEVELS.len()).filter(|at| *at != last && is_patient);
        let found = std::iter::once(last).chain(others).find(|at| self.makes(*at, made, raw));
        match found {
            Some(at) => (self.last, self.in_vain) = (at, 0),
            None => self.in_vain = self.in_vain.saturating_add(1),
        }
        found.map(|at| LEVELS[at])
    }

    fn makes(&mut self, at: usize, wanted: &[u8], raw: &[u8]) -> bool {
        let encoder = &mut self.encoders[at];
        if encoder.is_none() {
            *encoder = Zlib::new(LEVELS[at]);
        }
        let Some(zlib) = encoder else { return false };
        let mut rest = wanted;
        for step in raw.chunks(STEP) {
            self.made.clear();
            zlib.write(step, &mut self.made);
            let Some(behind) = rest.strip_prefix(&self.made[..]) else {
                // It is in the middle of a stream.
                *encoder = None;
                return false;
            };
            rest = behind;
        }
        self.made.clear();
        zlib.end(&mut self.made);
        self.made == rest
    }
}
