//! Which releases write the same bytes.

/// Releases that write the same at every level, by the first one of klauspost/compress. The comments tell what each
/// changed; releases in between changed nothing that can be seen in the bytes. 1.18.1 is missing: it can write
/// streams that are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// 1.15.12 (and 1.15.11) to 1.15.14.
    V1_15_12,
    /// 1.15.15 to 1.17.11. Levels 7 to 9 look for a better match at the end of a match in another way, and level 9
    /// weighs matches otherwise.
    V1_15_15,
    /// 1.18.0. Level 4 compares the wrong bytes when it chooses between two matches.
    V1_18_0,
    /// 1.18.2 to 1.19.2. Blocks that may go on have no more codes than needed, which all levels but -2 and 0 show, and
    /// level 9 counts fewer bytes for its weights.
    V1_18_2,
    /// 1.20.0. Levels 7 to 9 no longer count a dictionary to the first block.
    V1_20_0,
    /// Go 1.27. Level 9 gives bytes that it has not counted a weight.
    Go1_27,
}

impl Variant {
    /// All, the oldest first.
    pub const ALL: [Self; 6] =
        [Self::V1_15_12, Self::V1_15_15, Self::V1_18_0, Self::V1_18_2, Self::V1_20_0, Self::Go1_27];

    /// Its part of an encoder's name, which never changes.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::V1_15_12 => "klauspost-1.15.12",
            Self::V1_15_15 => "klauspost-1.15.15",
            Self::V1_18_0 => "klauspost-1.18.0",
            Self::V1_18_2 => "klauspost-1.18.2",
            Self::V1_20_0 => "klauspost-1.20.0",
            Self::Go1_27 => "go127",
        }
    }

    /// The oldest variant that writes the same at this level, with or without dictionaries. Different variants that
    /// this gives may still write the same for most inputs.
    #[must_use]
    pub fn oldest(self, level: i8, dictionaries: bool) -> Self {
        let changes: &[Self] = match level {
            1..=3 | 5 | 6 => &[Self::V1_18_2],
            4 => &[Self::V1_18_2, Self::V1_18_0],
            7 | 8 if dictionaries => &[Self::V1_20_0, Self::V1_18_2, Self::V1_15_15],
            7 | 8 => &[Self::V1_18_2, Self::V1_15_15],
            9 if dictionaries => &[Self::Go1_27, Self::V1_20_0, Self::V1_18_2, Self::V1_15_15],
            9 => &[Self::Go1_27, Self::V1_18_2, Self::V1_15_15],
            _ => &[],
        };
        changes.iter().copied().find(|change| *change <= self).unwrap_or(Self::V1_15_12)
    }

    /// A block that may go on has lengths for all codes, and its end is not counted where sizes are compared.
    pub(super) fn has_full_headers(self) -> bool {
        self < Self::V1_18_2
    }

    /// Level 4 takes an offset for a position.
    pub(super) fn mistakes_offsets(self) -> bool {
        self >= Self::V1_18_0
    }

    /// Levels 7 to 9 look for matches from the start of a match on, and not beyond it.
    pub(super) fn looks_from_the_start(self) -> bool {
        self < Self::V1_15_15
    }

    /// Level 9: what a match must save, in bits, and what it costs beside its extra bits.
    pub(super) fn least_gain_and_cost(self) -> (i32, i32) {
        if self < Self::V1_15_15 { (0, 6) } else { (4, 3) }
    }

    /// How many bytes level 9 counts for its weights.
    pub(super) fn most_counted(self) -> usize {
        if self < Self::V1_18_2 { usize::MAX } else { 1 << 15 }
    }

    /// The least bits of a literal at level 9.
    pub(super) fn least_bits(self) -> i32 {
        i32::from(self == Self::Go1_27)
    }

    /// At levels 7 to 9, the first block starts after the dictionary.
    pub(super) fn leaves_out_dictionaries(self) -> bool {
        self >= Self::V1_20_0
    }
}
