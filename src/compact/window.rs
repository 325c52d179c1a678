//! The window: old content that a member copies from, and that is the dictionary of its zstd frame.
//!
//! It slides over the content of *bases*, which are other blobs. Each member says which ranges of the window before stay,
//! and which ranges of bases follow them. Writer and reader take these steps with the same code. A step is refused before
//! anything is read if its lengths are not possible; the number of bases that are open, and how often one is begun anew, are
//! bounded.

use std::io::{self, Read};

use super::WINDOW;
use super::error::CompactError;
use super::inflated_base::view;
use super::member::{Added, WindowStep};

/// Bases that one blob may read.
pub(super) const MOST_BASES: usize = 4;
/// How often a blob may begin a base anew, to read what lies before the place where it is.
pub(super) const MOST_REWINDS: u32 = 12;

/// The content of a base, from its start.
pub type BaseContent = Box<dyn Read + Send>;
/// Opens the base with this number.
pub(super) type Open<'a> = dyn FnMut(u32) -> Result<BaseContent, CompactError> + 'a;

/// Old content, and how far each base has been read.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    bases: Vec<Base>,
    rewinds: u32,
}

struct Base {
    number: u32,
    is_inflated: bool,
    /// Bytes of it that were read.
    at: u64,
    content: BaseContent,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Window {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How often a base may still be begun anew.
    pub(super) fn rewinds_left(&self) -> u32 {
        MOST_REWINDS - self.rewinds
    }

    /// Bytes of base `number` that were read.
    pub(super) fn position(&self, number: u32) -> u64 {
        self.bases.iter().find(|base| base.number == number).map_or(0, |base| base.at)
    }

    /// Moves on. After an error the window is of no use.
    pub(super) fn step(&mut self, step: &WindowStep, open: &mut Open<'_>) -> Result<(), CompactError> {
        const OUTSIDE: CompactError = CompactError::Invalid("a member keeps what is not in its window");
        let mut end = 0;
        let mut kept = 0;
        for range in &step.kept {
            let from = usize::try_from(range.start).map_err(|_| OUTSIDE)?;
            let to = usize::try_from(range.end).map_err(|_| OUTSIDE)?;
            if from < end || to <= from || to > self.bytes.len() {
                return Err(OUTSIDE);
            }
            self.bytes.copy_within(from..to, kept);
            (kept, end) = (kept + (to - from), to);
        }
        self.bytes.truncate(kept);
        for added in &step.added {
            if self.bytes.len() as u64 + added.len > WINDOW {
                return Err(CompactError::Invalid("a window is too large"));
            }
            self.add(added, open)?;
        }
        Ok(())
    }

    fn add(&mut self, added: &Added, open: &mut Open<'_>) -> Result<(), CompactError> {
        let Added { base: number, is_inflated, at, len } = *added;
        let mut open = || open(number).map(|content| view(content, is_inflated));
        let known =
            self.bases.iter().position(|base| (base.number, base.is_inflated) == (number, is_inflated));
        let index = match known {
            Some(index) if at < self.bases[index].at => {
                if self.rewinds == MOST_REWINDS {
                    return Err(CompactError::Invalid("it reads a base too often"));
                }
                self.rewinds += 1;
                (self.bases[index].at, self.bases[index].content) = (0, open()?);
                index
            }
            Some(index) => index,
            None if self.bases.len() == MOST_BASES => {
                return Err(CompactError::Invalid("it reads too many bases"));
            }
            None => {
                self.bases.push(Base { number, is_inflated, at: 0, content: open()? });
                self.bases.len() - 1
            }
        };
        let base = &mut self.bases[index];
        let skip = at - base.at;
        let skipped = io::copy(&mut (&mut base.content).take(skip), &mut io::sink())?;
        let read = (&mut base.content).take(len).read_to_end(&mut self.bytes)?;
        base.at += skipped + read as u64;
        if skipped == skip && read as u64 == len { Ok(()) } else { Err(CompactError::Base(number)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bases of 100 bytes: number `n` has `n`, `n + 1`, ….
    #[expect(clippy::unnecessary_wraps, reason = "opening may fail elsewhere")]
    fn open(number: u32) -> Result<BaseContent, CompactError> {
        let first = u8::try_from(number).unwrap();
        Ok(Box::new(io::Cursor::new((first..first + 100).collect::<Vec<u8>>())))
    }

    fn added(base: u32, at: u64, len: u64) -> WindowStep {
        WindowStep { added: vec![Added { base, is_inflated: false, at, len }], ..WindowStep::default() }
    }

    #[test]
    fn ranges_stay_and_follow() {
        let mut window = Window::default();
        window.step(&added(1, 10, 5), &mut open).unwrap();
        assert_eq!(window.bytes(), [11, 12, 13, 14, 15]);
        let step = WindowStep { kept: vec![1..2, 3..5], ..added(1, 20, 2) };
        window.step(&step, &mut open).unwrap();
        assert_eq!(window.bytes(), [12, 14, 15, 21, 22]);
        assert_eq!(window.position(1), 22);
        assert_eq!(window.rewinds_left(), MOST_REWINDS);
        window.step(&added(1, 0, 1), &mut open).unwrap();
        assert_eq!(window.bytes(), [1]);
        assert_eq!(window.rewinds_left(), MOST_REWINDS - 1);
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        for ranges in [&[(0, 6)][..], &[(3, 3)], &[(1, 3), (2, 4)], &[(4, 2)], &[(u64::MAX - 1, u64::MAX)]] {
            let kept = ranges.iter().map(|(from, to)| *from..*to).collect();
            let mut window = Window::default();
            window.step(&added(0, 0, 5), &mut open).unwrap();
            let step = WindowStep { kept, ..WindowStep::default() };
            assert!(matches!(window.step(&step, &mut open), Err(CompactError::Invalid(_))), "{step:?}");
        }
        for (at, len) in [(96, 5), (101, 1), (u64::MAX, 1)] {
            let error = Window::default().step(&added(7, at, len), &mut open).unwrap_err();
            assert!(matches!(error, CompactError::Base(7)), "{error}");
        }
        let error = Window::default().step(&added(7, 0, WINDOW + 1), &mut open).unwrap_err();
        assert!(matches!(error, CompactError::Invalid("a window is too large")), "{error}");
    }

    #[test]
    fn bases_and_rewinds_are_counted() {
        let mut window = Window::default();
        for number in 0..4 {
            window.step(&added(number, 50, 1), &mut open).unwrap();
        }
        assert!(window.step(&added(4, 0, 1), &mut open).is_err());
        for _ in 0..MOST_REWINDS {
            window.step(&added(0, 50, 1), &mut open).unwrap();
        }
        assert!(window.step(&added(0, 50, 1), &mut open).is_err());
    }
}
