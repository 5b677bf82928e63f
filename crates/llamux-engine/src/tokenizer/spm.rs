// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! SentencePiece with byte pair encoding, as Llama 2 and Gemma have it.
//!
//! SentencePiece: A simple and language independent subword tokenizer and detokenizer for Neural Text
//! Processing, <https://arxiv.org/abs/1808.06226>. A text begins as one symbol a character, a space
//! being U+2581; of all pairs of neighbours that are a token together, the one whose token has the
//! highest score, and of several of these the leftmost, becomes one symbol; and so on. A symbol that
//! is no token in the end becomes the tokens of its bytes. There are no words: the text is one, in a
//! heap, and one of n bytes takes O(n log n) steps.

use super::heap::{heap_entries, Heap};
use super::symbols::Symbols;
use super::tokens::Tokens;
use super::work::Pacer;
use super::{as_u64, mark, Carver, Output, SpmParts};
use crate::error::{Error, Name};
use crate::gguf::Array;

/// Longest token in bytes. It bounds what a pair costs that is looked up.
const MAX_TOKEN: usize = 1024;

/// What a space is in the texts of tokens.
pub(super) const SPACE: &[u8] = "\u{2581}".as_bytes();

/// For no token.
const NONE: u32 = u32::MAX;

/// The scores.
pub(super) struct Spm<'a> {
    /// `(256)`: the token of each byte, or [`NONE`].
    bytes: &'a [u32],
    /// `(tokens)`: the bits of floats.
    scores: Array<'a>,
    /// Whether a text is encoded with a space in front of it.
    pub(super) add_space_prefix: bool,
    /// Length of the longest token.
    longest: usize,
}

impl<'a> Spm<'a> {
    /// How much of the memory it takes.
    pub(super) const WORDS: usize = 256;

    /// How many words of scratch memory a [`merger`](Self::merger) needs.
    pub(super) const fn scratch(bytes: usize) -> usize {
        // The space in front.
        let bytes = bytes.saturating_add(1);
        bytes.saturating_add(heap_entries(bytes))
    }

    /// Finds the tokens of bytes, and checks the scores.
    pub(super) fn load(
        parts: &SpmParts<'a>,
        tokens: &Tokens<'a>,
        carver: &mut Carver<'a>,
    ) -> Result<Self, Error> {
        let bytes = carver.take(Self::WORDS)?;
        for (byte, id) in (0..=u8::MAX).zip(bytes.iter_mut()) {
            let found = tokens.find(spell(byte).into_iter());
            *id = found
                .or_else(|| tokens.find([byte].into_iter()))
                .unwrap_or(NONE);
        }
        let mut longest = 0;
        for id in 0..tokens.id_end() {
            let text = tokens.text(id).unwrap_or(&[]);
            if text.len() > MAX_TOKEN {
                return Err(Error::Limit {
                    what: "length of a token",
                    name: Name::new(text),
                    value: as_u64(text.len()),
                    limit: as_u64(MAX_TOKEN),
                });
            }
            longest = longest.max(text.len());
            // CAST: An id is below `MAX_TOKENS`.
            let bits = parts.scores.word(id as usize).unwrap_or(0);
            if bits & !SIGN > INFINITY {
                return Err(Error::Invalid {
                    what: "bits of a score",
                    name: Name::new(text),
                    value: bits.into(),
                    expected: "those of a number",
                });
            }
        }
        Ok(Self {
            bytes,
            scores: parts.scores,
            add_space_prefix: parts.add_space_prefix,
            longest,
        })
    }

    /// Prepares the merging of a text without special tokens, with a space in front of it if there is a
    /// `prefix`. `scratch` has at least [`scratch`](Self::scratch) words for it.
    pub(super) fn merger<'m, 's>(
        &'m self,
        tokens: &'m Tokens<'m>,
        text: &'m str,
        prefix: bool,
        scratch: &'s mut [u64],
    ) -> Result<Merger<'m, 's>, Error> {
        let text = Escaped {
            prefix: if prefix { " " } else { "" },
            text,
        };
        let too_short = Error::PromptLength {
            need: as_u64(text.len()),
            have: as_u64(scratch.len()),
        };
        let (symbols, heap) = scratch.split_at_mut_checked(text.len()).ok_or(too_short)?;
        Ok(Merger {
            spm: self,
            tokens,
            text,
            symbols: Symbols::new(symbols),
            heap: Heap::new(heap),
            too_short,
        })
    }

    /// The token that a part of a text is, but for those that must not come out of a text.
    fn find(&self, tokens: &Tokens<'_>, text: &Escaped<'_>, begin: u32, end: u32) -> Option<u32> {
        if end.checked_sub(begin)? as usize > self.longest {
            return None;
        }
        let id = tokens.find(text.bytes(begin, end))?;
        (tokens.marks(id) & (mark::CONTROL | mark::UNKNOWN) == 0).then_some(id)
    }

    /// Where a token stands among all by its score, the highest being 0. Equal scores stand at the
    /// same place.
    fn place(&self, id: u32) -> u32 {
        // CAST: `usize` has at least 32 bits.
        !ordered(self.scores.word(id as usize).unwrap_or(0))
    }
}

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;

/// The bits of a float as a number that is in the same order.
fn ordered(bits: u32) -> u32 {
    if bits & SIGN == 0 {
        bits | SIGN
    } else if bits == SIGN {
        // The other zero.
        SIGN
    } else {
        !bits
    }
}

/// A text, perhaps with a space in front of it, that is read with spaces as the tokens have them.
#[derive(Clone, Copy)]
struct Escaped<'t> {
    prefix: &'static str,
    text: &'t str,
}

impl Escaped<'_> {
    /// Bytes before spaces are replaced, by which its parts are told.
    fn len(&self) -> usize {
        self.prefix.len() + self.text.len()
    }

    /// The bytes of a part, spaces replaced.
    fn bytes(&self, begin: u32, end: u32) -> impl Iterator<Item = u8> + Clone + '_ {
        let prefix = self.prefix.len();
        // CAST: `usize` has at least 32 bits.
        let (begin, end) = (begin as usize, end as usize);
        let front = if begin < prefix { SPACE } else { &[] };
        let range = begin.saturating_sub(prefix)..end.saturating_sub(prefix);
        let back = self.text.as_bytes().get(range).unwrap_or(&[]);
        let back = back.iter().flat_map(|byte| match byte {
            b' ' => SPACE,
            other => core::slice::from_ref(other),
        });
        front.iter().chain(back).copied()
    }
}

/// A text whose symbols merge. The tag of a symbol is the token that it makes with the one behind it.
pub(super) struct Merger<'m, 's> {
    spm: &'m Spm<'m>,
    tokens: &'m Tokens<'m>,
    text: Escaped<'m>,
    symbols: Symbols<'s>,
    heap: Heap<'s>,
    /// What to say if the memory is too little.
    too_short: Error,
}

impl Merger<'_, '_> {
    /// Merges until no pair is a token.
    pub(super) fn merge(&mut self, pacer: &mut Pacer<'_>) -> Result<(), Error> {
        let Escaped { prefix, text } = self.text;
        let mut begin = 0;
        for c in prefix.chars().chain(text.chars()) {
            // CAST: At most 4.
            let end = begin + c.len_utf8() as u32;
            self.symbols.set(begin, end - 1, NONE);
            begin = end;
        }
        let mut left = Some(0);
        while let Some(begin) = left {
            pacer.step()?;
            self.propose(begin)?;
            left = self.symbols.after(begin);
        }
        while let Some(entry) = self.heap.pop() {
            pacer.step()?;
            // CAST: The half that `propose` put there.
            let left = entry as u32;
            let right = match self.symbols.after(left) {
                Some(right) if is_valid(self.spm, &self.symbols, entry) => right,
                _ => continue,
            };
            self.symbols.set_tag(right, NONE);
            self.symbols.set(left, self.symbols.extent(right), NONE);
            for left in self.symbols.before(left).into_iter().chain([left]) {
                self.propose(left)?;
            }
        }
        Ok(())
    }

    /// Writes the tokens of the symbols.
    pub(super) fn write(&self, pacer: &mut Pacer<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let Self { spm, text, .. } = self;
        let mut begin = 0;
        while begin < self.symbols.len() {
            pacer.step()?;
            // OVERFLOW: The extent is the index of a byte.
            let end = self.symbols.extent(begin).max(begin) + 1;
            match spm.find(self.tokens, text, begin, end) {
                Some(id) => out.push(id),
                None => {
                    let ids = text.bytes(begin, end).map(|byte| {
                        let id = spm.bytes.get(usize::from(byte));
                        id.copied().unwrap_or(NONE)
                    });
                    ids.filter(|&id| id != NONE).for_each(|id| out.push(id));
                }
            }
            begin = end;
        }
        Ok(())
    }

    /// Puts the pair that begins at `left` into the heap, if it is a token.
    fn propose(&mut self, left: u32) -> Result<(), Error> {
        let pair = self.symbols.after(left).and_then(|right| {
            let end = self.symbols.extent(right).checked_add(1)?;
            self.spm.find(self.tokens, &self.text, left, end)
        });
        self.symbols.set_tag(left, pair.unwrap_or(NONE));
        let Some(id) = pair else {
            return Ok(());
        };
        let entry = u64::from(self.spm.place(id)) << 32 | u64::from(left);
        let (spm, symbols) = (self.spm, &self.symbols);
        let pushed = self.heap.push(entry, |entry| is_valid(spm, symbols, entry));
        pushed.ok_or(self.too_short)
    }
}

/// Whether the pair of an entry is still there: or one in its place that merges at the same time.
fn is_valid(spm: &Spm<'_>, symbols: &Symbols<'_>, entry: u64) -> bool {
    // CAST: The halves that `propose` put together.
    let (place, left) = ((entry >> 32) as u32, entry as u32);
    let pair = symbols.tag(left);
    pair != NONE && spm.place(pair) == place
}

/// How a byte is spelled that is a token.
fn spell(byte: u8) -> [u8; 6] {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' - 10 + nibble,
    };
    [b'<', b'0', b'x', digit(byte >> 4), digit(byte & 15), b'>']
}

/// The byte that a token of this spelling stands for.
pub(super) fn byte_of(spelling: &[u8]) -> Option<u8> {
    let digits = spelling.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = core::str::from_utf8(digits).ok()?;
    let plain = digits.len() == 2 && !digits.starts_with('+');
    u8::from_str_radix(digits, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_in_hexadecimal() {
        assert_eq!(&spell(0x0a), b"<0x0A>");
        for byte in 0..=u8::MAX {
            assert_eq!(byte_of(&spell(byte)), Some(byte));
        }
        for wrong in ["<0x0A", "0x0A>", "<0x+A>", "<0x00A>", "<0xG0>", "<0x>", "a"] {
            assert_eq!(byte_of(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn scores_are_in_the_order_of_floats() {
        let scores = [
            f32::NEG_INFINITY,
            -1e9,
            -2.0,
            -1.5,
            -f32::MIN_POSITIVE,
            0.0,
            f32::MIN_POSITIVE,
            0.5,
            7.0,
            f32::INFINITY,
        ];
        for (a, x) in scores.iter().enumerate() {
            for (b, y) in scores.iter().enumerate() {
                assert_eq!(ordered(x.to_bits()).cmp(&ordered(y.to_bits())), a.cmp(&b));
            }
        }
        assert_eq!(ordered(SIGN), ordered(0));
    }
}
