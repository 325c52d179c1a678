//! PEM files with one block or several, as key tools write them.

use pem_rfc7468::Decoder;
use pkcs8::der::Decode as _;
use pkcs8::der::asn1::AnyRef;
use zeroize::Zeroizing;

use super::KeyError;

/// Longest file read as a key, in bytes.
pub const MAX_KEY_FILE: u64 = 64 << 10;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block of a PEM file.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// From its first dash to its last.
    text: &'a str,
}

/// The blocks of `text` in order; what is between them is left out.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let starts = text.match_indices(BEGIN).map(|(at, _)| &text[at..]);
    let block = |text: &str| {
        let label_end = text[BEGIN.len()..].find(DASHES)? + BEGIN.len();
        let label = &text[BEGIN.len()..label_end];
        let end = format!("-----END {label}-----");
        let len = text.find(&end)? + end.len();
        (!label.contains('\n')).then_some((label.len(), len))
    };
    starts
        .filter_map(|start| {
            let (label, len) = block(start)?;
            Some(Block { label: &start[BEGIN.len()..BEGIN.len() + label], text: &start[..len] })
        })
        .collect()
}

impl Block<'_> {
    /// The bytes inside. Errors never repeat any of it.
    pub(super) fn content(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if self.text.contains("Proc-Type:") {
            return Err(KeyError::LegacyEncryption);
        }
        let malformed = |_| KeyError::Malformed(self.label.chars().take(40).collect());
        let mut decoder = Decoder::new_detect_wrap(self.text.as_bytes()).map_err(malformed)?;
        let mut content = Zeroizing::new(Vec::with_capacity(decoder.remaining_len()));
        decoder.decode_to_end(&mut content).map_err(malformed)?;
        Ok(content)
    }

    /// Why `content` gives no key: it is damaged, or of another kind.
    pub(super) fn unusable(&self, content: &[u8]) -> KeyError {
        match AnyRef::from_der(content) {
            Ok(_) => KeyError::Algorithm,
            Err(_) => KeyError::Malformed(self.label.chars().take(40).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text_and_damaged_ones_say_which() {
        let text = "Bag Attributes\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                    -----BEGIN X-----\nAAAA\n-----END X-----\r\n-----BEGIN Y-----\nAAAA\n";
        let labels: Vec<_> = blocks(text).iter().map(|block| block.label).collect();
        assert_eq!(labels, ["EC PARAMETERS", "X"]);
        assert_eq!(*blocks(text)[1].content().unwrap(), [0, 0, 0]);
        let damaged = "-----BEGIN X-----\nA!AA\n-----END X-----";
        assert_eq!(blocks(damaged)[0].content(), Err(KeyError::Malformed("X".to_owned())));
        for odd in [
            "",
            "-----BEGIN ",
            "-----BEGIN A",
            "-----BEGIN -----",
            "-----BEGIN A\nB-----\n-----END A\nB-----",
        ] {
            assert!(blocks(odd).is_empty(), "{odd}");
        }
    }
}
