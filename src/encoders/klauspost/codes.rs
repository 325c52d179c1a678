//! Huffman codes from frequencies (`huffman_code.go`).

/// Literals, the end of a block, and length codes, with room for each index that the tables can give.
pub(super) const LITERAL_ROOM: usize = 289;
/// Offset codes, with room for each index that the tables can give.
pub(super) const OFFSET_ROOM: usize = 32;
/// The most symbols of any code.
const MOST_SYMBOLS: usize = 286;
/// One more than the most bits of a code.
const LEVELS: usize = 16;

/// Of fixed blocks, for literals.
pub(super) static FIXED_LITERALS: Codes<LITERAL_ROOM> = fixed_literals();
/// Of fixed blocks, for offsets.
pub(super) static FIXED_OFFSETS: Codes<OFFSET_ROOM> = fixed_offsets();
/// Offsets in a block without matches.
pub(super) static NO_OFFSETS: Codes<OFFSET_ROOM> = no_offsets();

/// The bits of a code, with the first bit lowest, and their number. A symbol with length 0 has no code.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

impl Code {
    const fn new(bits: u16, length: u8) -> Self {
        Self { bits: bits.reverse_bits() >> (16 - length), length }
    }
}

/// A code for each of `N` symbols.
pub(super) struct Codes<const N: usize>(pub(super) [Code; N]);

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weighted {
    frequency: u16,
    symbol: u16,
}

/// What is known of a level (a number of bits) while the lengths of codes are worked out.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The frequency of the last node of this level.
    last: u32,
    /// The frequency of the next leaf for this level; `u32::MAX` is none.
    next_leaf: u32,
    /// The frequency of the next pair, from the level below; `u32::MAX` is none.
    next_pair: u32,
    /// How many nodes to make before the next level up goes on.
    needed: usize,
}

impl<const N: usize> Codes<N> {
    pub(super) fn empty() -> Self {
        Self([Code::default(); N])
    }

    /// How many bits the symbols take, without their extra bits. Those without a code take none.
    pub(super) fn size(&self, frequencies: &[u16]) -> u32 {
        frequencies.iter().zip(&self.0).map(|(&count, code)| u32::from(count) * u32::from(code.length)).sum()
    }

    /// The same, but none where a symbol has no code.
    pub(super) fn size_if_possible(&self, frequencies: &[u16]) -> Option<u32> {
        self.covers(frequencies).then(|| self.size(frequencies))
    }

    /// Whether all symbols that occur have codes.
    pub(super) fn covers(&self, frequencies: &[u16]) -> bool {
        frequencies.iter().zip(&self.0).all(|(&count, code)| count == 0 || code.length != 0)
    }

    /// Makes the shortest codes of at most `max_bits` for the symbols that occur. Symbols without a frequency keep
    /// theirs.
    pub(super) fn generate(&mut self, frequencies: &[u16], max_bits: usize) {
        let mut list = [Weighted::default(); MOST_SYMBOLS];
        let mut count = 0;
        for ((symbol, &frequency), code) in (0..).zip(frequencies).zip(&mut self.0) {
            *code = Code::default();
            if frequency != 0 {
                list[count] = Weighted { frequency, symbol };
                count += 1;
            }
        }
        let list = &mut list[..count];
        if count <= 2 {
            for (bits, node) in (0..).zip(&*list) {
                self.0[usize::from(node.symbol)] = Code::new(bits, 1);
            }
            return;
        }
        list.sort_unstable();
        let counts = bit_counts(list, max_bits.min(count - 1));
        self.assign(&counts, list, frequencies.len());
    }

    /// `counts[n]` symbols get `n` bits, the rarest ones the most. Codes of one length go up with the symbol
    /// (RFC 1951, 3.2.2).
    fn assign(&mut self, counts: &[usize; LEVELS], mut list: &[Weighted], symbols: usize) {
        let mut next = [0u16; LEVELS];
        let mut code = 0u16;
        for ((length, &count), next) in (0u8..).zip(counts).zip(&mut next) {
            code <<= 1;
            *next = code;
            let (rest, chunk) = list.split_at(list.len() - count);
            list = rest;
            for node in chunk {
                self.0[usize::from(node.symbol)].length = length;
                code = code.wrapping_add(1);
            }
        }
        for code in self.0.iter_mut().take(symbols).filter(|code| code.length != 0) {
            let next = &mut next[usize::from(code.length)];
            *code = Code::new(*next, code.length);
            *next = next.wrapping_add(1);
        }
    }
}

/// How many symbols get each number of bits, by the boundary package-merge algorithm. `list` has at least three
/// symbols, the rarest first.
fn bit_counts(list: &[Weighted], max_bits: usize) -> [usize; LEVELS] {
    let frequency = |index: usize| list.get(index).map_or(u32::MAX, |node| u32::from(node.frequency));
    let mut levels = [Level::default(); LEVELS + 1];
    // leaves[i][j] is the number of leaves left of the ancestor at level j of the rightmost node at level i.
    let mut leaves = [[0usize; LEVELS]; LEVELS];
    for level in 1..=max_bits {
        // The first two nodes of each level are the first two leaves.
        levels[level] = Level {
            last: frequency(1),
            next_leaf: frequency(2),
            next_pair: if level == 1 { u32::MAX } else { frequency(0) + frequency(1) },
            needed: 0,
        };
        leaves[level][level] = 2;
    }
    // The top level needs 2n - 2 nodes in all, and has two.
    levels[max_bits].needed = 2 * list.len() - 4;

    let mut level = max_bits;
    loop {
        let now = &mut levels[level];
        if now.next_pair == u32::MAX && now.next_leaf == u32::MAX {
            // Neither leaves nor pairs are left: the level is done, and gives the one above no more pairs.
            now.needed = 0;
            levels[level + 1].next_pair = u32::MAX;
            level += 1;
            continue;
        }
        let previous = now.last;
        if now.next_leaf < now.next_pair {
            now.last = now.next_leaf;
            leaves[level][level] += 1;
            now.next_leaf = frequency(leaves[level][level]);
        } else {
            // The next pair is known once the level below has made two more nodes.
            now.last = now.next_pair;
            let (below, here) = leaves.split_at_mut(level);
            here[0][..level].copy_from_slice(&below[level - 1][..level]);
            levels[level - 1].needed = 2;
        }
        let now = &mut levels[level];
        now.needed -= 1;
        if now.needed == 0 {
            if level == max_bits {
                break;
            }
            levels[level + 1].next_pair = previous + now.last;
            level += 1;
        } else {
            while levels[level - 1].needed > 0 {
                level -= 1;
            }
        }
    }

    let mut counts = [0; LEVELS];
    for (bits, level) in (1..=max_bits).rev().enumerate() {
        counts[bits + 1] = leaves[max_bits][level] - leaves[max_bits][level - 1];
    }
    counts
}

const fn fixed_literals() -> Codes<LITERAL_ROOM> {
    let mut codes = [Code { bits: 0, length: 0 }; LITERAL_ROOM];
    let mut symbol = 0u16;
    while (symbol as usize) < MOST_SYMBOLS {
        codes[symbol as usize] = match symbol {
            0..144 => Code::new(symbol + 48, 8),
            144..256 => Code::new(symbol + 400 - 144, 9),
            256..280 => Code::new(symbol - 256, 7),
            _ => Code::new(symbol + 192 - 280, 8),
        };
        symbol += 1;
    }
    Codes(codes)
}

const fn fixed_offsets() -> Codes<OFFSET_ROOM> {
    let mut codes = [Code { bits: 0, length: 0 }; OFFSET_ROOM];
    let mut symbol = 0u16;
    while symbol < 30 {
        codes[symbol as usize] = Code::new(symbol, 5);
        symbol += 1;
    }
    Codes(codes)
}

const fn no_offsets() -> Codes<OFFSET_ROOM> {
    let mut codes = [Code { bits: 0, length: 0 }; OFFSET_ROOM];
    codes[0] = Code::new(0, 1);
    Codes(codes)
}
