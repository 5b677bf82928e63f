// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Byte-level byte pair encoding, as GPT-2 has it.
//!
//! Neural Machine Translation of Rare Words with Subword Units, <https://arxiv.org/abs/1508.07909>.
//! A word begins as one symbol a byte; of all pairs of neighbours that are in the list of merges,
//! the one that is first in the list, and of several of these the leftmost, becomes one symbol; and
//! so on. The pairs wait in a heap, so a word of n bytes takes O(n log n) steps, however long.

use super::heap::{heap_entries, Heap};
use super::pretokenize::PreTokenizer;
use super::symbols::Symbols;
use super::table::{finish_hash, free_slot, probe, table_slots, Occupied};
use super::tokens::Tokens;
use super::work::Pacer;
use super::{as_u64, BpeParts, Carver, Output, MERGES_KEY};
use crate::error::Error;

/// What a pre-tokenizer's name says.
#[derive(Clone, Copy)]
pub(super) struct Pre {
    splitter: PreTokenizer,
    /// A word that is a token is that token, whatever the merges would make of it.
    ignore_merges: bool,
    /// The text begins with the token for that, if no key says otherwise.
    pub(super) add_bos: bool,
}

impl Pre {
    /// By the name in `tokenizer.ggml.pre`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let pre = |splitter| Self {
            splitter,
            ignore_merges: false,
            add_bos: false,
        };
        Some(match name {
            "gpt-2" | "phi-2" => pre(PreTokenizer::Gpt2),
            "smollm" | "starcoder" | "refact" | "codeshell" => pre(PreTokenizer::SmolLm),
            "qwen2" | "deepseek-r1-qwen" => pre(PreTokenizer::Qwen2),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => Self {
                splitter: PreTokenizer::Llama3,
                ignore_merges: true,
                add_bos: true,
            },
            _ => return None,
        })
    }
}

/// A symbol that became a part of its neighbour on the left.
const MERGED: u32 = u32::MAX;
/// The symbol of a byte that the vocabulary lacks. Nothing merges with it, and it makes no token.
const UNKNOWN: u32 = u32::MAX - 1;

/// The merges.
pub(super) struct Bpe<'a> {
    pre: Pre,
    /// `(256)`: the token of each byte, or [`UNKNOWN`].
    bytes: &'a [u32],
    /// `(merges, 3)`: the left and the right token and the one that they become, in the order of
    /// the file, which is their rank.
    merges: &'a [u32],
    /// A table of ranks plus one, by the hash of left and right.
    slots: &'a [u32],
    /// Length of the longest token.
    longest: usize,
}

impl<'a> Bpe<'a> {
    /// How much of the memory it takes.
    pub(super) fn words(merges: usize) -> usize {
        256 + merges * 3 + table_slots(merges)
    }

    /// How many words of scratch memory [`encode`](Self::encode) needs.
    pub(super) const fn scratch(bytes: usize) -> usize {
        bytes.saturating_add(heap_entries(bytes))
    }

    /// Resolves the merges to tokens.
    pub(super) fn load(
        parts: &BpeParts<'a>,
        tokens: &Tokens<'a>,
        carver: &mut Carver<'a>,
    ) -> Result<Self, Error> {
        let bytes = carver.take(256)?;
        for (byte, id) in (0..=u8::MAX).zip(bytes.iter_mut()) {
            *id = tokens.find(spell(&[byte])).unwrap_or(UNKNOWN);
        }

        let merges = carver.take(parts.merges.len() * 3)?;
        let slots = carver.take(table_slots(parts.merges.len()))?;
        let strings = parts.merges.strings().into_iter().flatten();
        // CAST: There are at most `MAX_MERGES`.
        for (rank, string) in strings.enumerate().map(|(i, string)| (i as u32, string)) {
            let resolved = resolve(string, tokens).ok_or(Error::Invalid {
                what: "number of a merge that is not two tokens that make a third",
                name: MERGES_KEY.into(),
                value: rank.into(),
                expected: "none",
            })?;
            let [left, right, _] = resolved;
            match free_slot(slots, hash_pair(left, right), |other| {
                merge(merges, other).is_some_and(|[l, r, _]| (l, r) == (left, right))
            }) {
                Ok(slot) => *slot = rank + 1,
                // The first one counts.
                Err(Occupied::Duplicate) => (),
                Err(problem) => return Err(problem.error("merge", string)),
            }
            let begin = 3 * rank as usize;
            if let Some(entry) = merges.get_mut(begin..begin + 3) {
                entry.copy_from_slice(&resolved);
            }
        }
        let lengths = (0..tokens.id_end()).map(|id| tokens.text(id).map_or(0, <[u8]>::len));
        Ok(Self {
            pre: parts.pre,
            bytes,
            merges,
            slots,
            longest: lengths.max().unwrap_or(0),
        })
    }

    /// Writes the tokens of a text without special tokens. `scratch` has at least
    /// [`scratch`](Self::scratch) words for it.
    pub(super) fn encode(
        &self,
        tokens: &Tokens<'_>,
        text: &str,
        scratch: &mut [u64],
        pacer: &mut Pacer<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), Error> {
        for word in self.pre.splitter.words(text) {
            self.encode_word(tokens, word.as_bytes(), scratch, pacer, out)?;
        }
        Ok(())
    }

    fn encode_word(
        &self,
        tokens: &Tokens<'_>,
        word: &[u8],
        scratch: &mut [u64],
        pacer: &mut Pacer<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), Error> {
        pacer.step()?;
        if self.pre.ignore_merges && word.len() <= self.longest {
            if let Some(id) = tokens.find(spell(word)) {
                out.push(id);
                return Ok(());
            }
        }
        let too_short = Error::PromptLength {
            need: as_u64(word.len()),
            have: as_u64(scratch.len()),
        };
        let (symbols, heap) = scratch.split_at_mut_checked(word.len()).ok_or(too_short)?;
        let mut symbols = Symbols::new(symbols);
        for (index, &byte) in (0..).zip(word) {
            let id = self.bytes.get(usize::from(byte)).copied();
            symbols.set(index, index, id.unwrap_or(UNKNOWN));
        }
        let mut heap = Heap::new(heap);
        for left in 0..symbols.len() {
            pacer.step()?;
            self.propose(&symbols, Some(left), &mut heap)
                .ok_or(too_short)?;
        }
        while let Some(entry) = heap.pop() {
            pacer.step()?;
            let Some((left, right, merged)) = self.valid(&symbols, entry) else {
                continue;
            };
            symbols.set_tag(right, MERGED);
            symbols.set(left, symbols.extent(right), merged);
            for left in [symbols.before(left), Some(left)] {
                self.propose(&symbols, left, &mut heap).ok_or(too_short)?;
            }
        }
        let mut index = 0;
        while index < symbols.len() {
            let id = symbols.tag(index);
            if id != UNKNOWN {
                out.push(id);
            }
            // OVERFLOW: The extent is the index of a byte.
            index = symbols.extent(index).max(index) + 1;
        }
        Ok(())
    }

    /// Puts the pair that begins at `left` into the heap, if it can merge. `None` if the heap has
    /// no room for it.
    fn propose(&self, symbols: &Symbols<'_>, left: Option<u32>, heap: &mut Heap<'_>) -> Option<()> {
        let Some(left) = left else {
            return Some(());
        };
        let Some(right) = symbols.after(left) else {
            return Some(());
        };
        let pair = (symbols.tag(left), symbols.tag(right));
        let rank = probe(self.slots, hash_pair(pair.0, pair.1)).find(|&rank| {
            merge(self.merges, rank).is_some_and(|[left, right, _]| (left, right) == pair)
        });
        match rank {
            Some(rank) => heap.push(u64::from(rank) << 32 | u64::from(left), |entry| {
                self.valid(symbols, entry).is_some()
            }),
            None => Some(()),
        }
    }

    /// Left, right and what they become, if the pair of an entry is still there.
    fn valid(&self, symbols: &Symbols<'_>, entry: u64) -> Option<(u32, u32, u32)> {
        // CAST: The halves that `propose` put together.
        let (rank, left) = ((entry >> 32) as u32, entry as u32);
        let [left_id, right_id, merged] = merge(self.merges, rank)?;
        if symbols.tag(left) != left_id {
            return None;
        }
        let right = symbols.after(left)?;
        (symbols.tag(right) == right_id).then_some((left, right, merged))
    }
}

/// Left, right and merged token of a merge.
fn merge(merges: &[u32], rank: u32) -> Option<[u32; 3]> {
    let begin = usize::try_from(rank).ok()?.checked_mul(3)?;
    merges.get(begin..begin.checked_add(3)?)?.try_into().ok()
}

/// Finds the tokens of a merge as it is spelled in the file: left, space, right.
fn resolve(string: &[u8], tokens: &Tokens<'_>) -> Option<[u32; 3]> {
    // A token may begin with a space.
    let space = 1 + string.get(1..)?.iter().position(|&byte| byte == b' ')?;
    let left = string.get(..space)?.iter().copied();
    let right = string.get(space + 1..)?.iter().copied();
    Some([
        tokens.find(left.clone())?,
        tokens.find(right.clone())?,
        tokens.find(left.chain(right))?,
    ])
}

fn hash_pair(left: u32, right: u32) -> u64 {
    finish_hash(u64::from(left) << 32 | u64::from(right))
}

/// The character that stands for a byte in the texts of tokens: itself if it can be seen in Latin-1,
/// else one of those from U+0100 on, in order.
fn char_of(byte: u8) -> char {
    let hidden = match byte {
        0..=0x20 => byte,
        0x7f..=0xa0 => byte - 0x7f + 33,
        0xad => 67,
        _ => return char::from(byte),
    };
    char::from_u32(0x100 + u32::from(hidden)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    let visible = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        c @ 0..=0xff => u8::try_from(c).ok().filter(|&byte| visible(byte)),
        c @ 0x100..=0x143 => match u8::try_from(c - 0x100).ok()? {
            hidden @ 0..=32 => Some(hidden),
            67 => Some(0xad),
            hidden => Some(hidden - 33 + 0x7f),
        },
        _ => None,
    }
}

/// How bytes are spelled in the texts of tokens.
fn spell(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    bytes.iter().flat_map(|&byte| {
        let mut utf8 = [0; 4];
        let len = char_of(byte).encode_utf8(&mut utf8).len();
        utf8.into_iter().take(len)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_byte_has_a_character() {
        let chars: Vec<_> = (0..=u8::MAX).map(char_of).collect();
        for (byte, &c) in chars.iter().enumerate() {
            assert_eq!(byte_of(c), Some(byte as u8));
            assert_eq!(chars.iter().filter(|&&other| other == c).count(), 1);
            assert!(!c.is_whitespace() && !c.is_control() && c != '\u{ad}');
        }
        // Two that everybody who looks into a vocabulary knows.
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(byte_of(' '), None);
        assert_eq!(byte_of('\u{144}'), None);
    }
}
