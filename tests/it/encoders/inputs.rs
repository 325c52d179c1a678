//! The inputs of `scripts/encoders/main.go`.

/// xorshift64*
pub(crate) struct Random(pub(crate) u64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) size: usize,
    pub(crate) flush: bool,
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from((self.next() >> 32) % most as u64).unwrap()
    }

    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize, mask: u8) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[0] & mask).collect()
    }

    /// Words from a list, common ones first, and some lines again.
    pub(crate) fn text(&mut self, count: usize) -> Vec<u8> {
        let words: Vec<Vec<u8>> = (0..500)
            .map(|_| (0..2 + self.below(9)).map(|_| b'a' + u8::try_from(self.below(26)).unwrap()).collect())
            .collect();
        let mut text = Vec::new();
        while text.len() < count {
            if text.len() > 200 && self.below(40) == 0 {
                let from = self.below(text.len() - 100);
                text.extend_from_within(from..from + 20 + self.below(80));
            }
            let most = 1 + self.below(500);
            text.extend_from_slice(&words[self.below(most)]);
            text.push(b" \n"[self.below(10) / 9]);
        }
        text.truncate(count);
        text
    }
}

pub(crate) fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let text = random.text(300_000);
    let mut list = vec![
        ("empty".to_owned(), Vec::new()),
        ("one byte".to_owned(), b"a".to_vec()),
        ("zeros".to_owned(), vec![0; 300_000]),
        ("random".to_owned(), random.bytes(100_000, 0xff)),
        ("text".to_owned(), text.clone()),
    ];
    for size in [3, 4, 16, 17, 127, 128, 261, 262, 32767, 32768, 32769, 65273, 65274, 65535, 65536, 65537] {
        list.push((format!("text of {size}"), text[..size].to_vec()));
    }
    for size in [32767, 32768, 32769] {
        let mut block = Vec::new();
        while block.len() < size {
            block.extend(random.bytes(12, 0xff));
            block.extend([0; 20]);
        }
        block.truncate(size);
        list.push((format!("again after {size}"), block.repeat(4)));
    }
    let runs = (1..=600).flat_map(|size| random.bytes(1, 0xff).repeat(size)).collect();
    list.push(("runs".to_owned(), runs));
    let block = random.bytes(600, 0xff);
    let lengths =
        (1..=300).flat_map(|size| [block[..size].to_vec(), random.bytes(3, 0xff)].concat()).collect();
    list.push(("lengths".to_owned(), lengths));
    list.push(("few literals".to_owned(), random.bytes(120_000, 0x3f)));
    list.push(("two literals".to_owned(), random.bytes(60_000, 0x01)));
    let mut long = Vec::new();
    let mut block = random.bytes(20_000, 0xff);
    while long.len() < 17_500_000 {
        let changed = &mut block[random.below(20_000)];
        *changed = changed.wrapping_add(1);
        long.extend_from_slice(&block);
    }
    list.push(("long".to_owned(), long));
    let mut fibonacci = Vec::new();
    let (mut now, mut next) = (1, 1);
    for symbol in 0..22 {
        fibonacci.resize(fibonacci.len() + now, symbol);
        (now, next) = (next, now + next);
    }
    for count in (2..=fibonacci.len()).rev() {
        fibonacci.swap(count - 1, random.below(count));
    }
    list.push(("fibonacci".to_owned(), fibonacci));
    let mut far = random.bytes(300_000, 0xff);
    for position in (65274..far.len()).step_by(32768) {
        let from = position - 32700;
        far.copy_within(from..from + 20, position);
    }
    list.push(("window end".to_owned(), far));
    list.push(("below the largest position".to_owned(), [&text[..65529], &text].concat()));
    list.push(("above the largest position".to_owned(), [&text[..65600], &text].concat()));
    let mut short = random.bytes(20_000, 0xff);
    for position in (5000..short.len()).step_by(50) {
        let from = position - 4095 - random.below(4);
        short.copy_within(from..from + 4, position);
    }
    list.push(("short matches".to_owned(), short));
    list.push(("growing text".to_owned(), text[..45150].to_vec()));
    list.push(("growing zeros".to_owned(), vec![0; 45150]));
    list.push(("growing digits".to_owned(), random.bytes(45150, 0x0b)));
    list.push(("growing letters".to_owned(), random.bytes(45150, 0x3f)));
    list.push(("growing bytes".to_owned(), random.bytes(45150, 0xff)));
    list
}

/// A way to write an input, by its name.
pub(crate) fn way(name: &str, count: usize) -> Vec<Piece> {
    let single = |flush| Piece { size: 1, flush };
    match name {
        "whole" => vec![Piece { size: count, flush: false }],
        "halves" => {
            vec![Piece { size: count / 2, flush: true }, Piece { size: count - count / 2, flush: false }]
        }
        "pieces" => pieces(count),
        "bytes" => vec![single(false); count],
        "growing" => (1..=300).map(|size| Piece { size, flush: true }).collect(),
        "flushes" => {
            let mut list = vec![single(true); count - 300_000];
            list.push(Piece { size: 300_000, flush: false });
            list
        }
        _ => panic!("{name} is no way to write"),
    }
}

/// Sizes of writes, with flushes after some.
pub(crate) fn pieces(count: usize) -> Vec<Piece> {
    random_pieces(&mut Random(count as u64 + 1), count)
}

pub(crate) fn random_pieces(random: &mut Random, mut count: usize) -> Vec<Piece> {
    let mut list = Vec::new();
    while count > 0 || list.len() < 3 {
        let most = random.one_of(&[20, 300, 5000, 70000, 400_000]);
        let size = random.below(most).min(count);
        count -= size;
        list.push(Piece { size, flush: random.below(3) == 0 });
    }
    list
}
