// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The tokens of a vocabulary in the order of their bytes, so that one walk finds all that may
//! follow, and does each beginning that tokens share once.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use crate::arena::Arena;
use crate::error::Error;
use crate::tokenizer::Vocab;

/// Longest token in bytes; a longer one never fits a grammar.
pub const MAX_TOKEN: usize = 255;

/// A token: where its bytes are; its number; the next entry that shares fewer bytes with its
/// predecessor than this one does; how many bytes it has, and, in the upper half, how many of them
/// are those of the entry before.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(transparent)]
pub(super) struct Entry([u32; 4]);

/// The tokens that stand for text.
pub struct Trie<'a> {
    text: &'a [u8],
    /// In ascending order of the bytes.
    entries: &'a [Entry],
}

/// Memory for a [`Trie`], as carved out of the arena.
pub struct TrieMemory<'a> {
    text: &'a mut [u8],
    entries: &'a mut [Entry],
}

impl<'a> TrieMemory<'a> {
    /// Carves the memory for so many tokens, which have so many bytes together.
    pub fn lay_out(tokens: usize, bytes: usize, arena: &mut Arena<'a>) -> Result<Self, Error> {
        Ok(Self {
            text: arena.slice(bytes)?,
            entries: arena.slice(tokens)?,
        })
    }
}

impl<'a> Trie<'a> {
    /// Sorts the tokens.
    pub fn load(vocab: &Vocab<'_>, memory: TrieMemory<'a>) -> Result<Self, Error> {
        let too_small = Error::Operation("vocabulary in order");
        let TrieMemory { text, entries } = memory;
        let (mut used, mut count) = (0usize, 0usize);
        for id in (0..).take(vocab.len()) {
            let begin = used;
            let mut end = begin;
            for byte in vocab.piece(id, false).take(MAX_TOKEN + 1) {
                *text.get_mut(end).ok_or(too_small)? = byte;
                // OVERFLOW: An index of the text.
                end += 1;
            }
            let len = end - begin;
            if len == 0 || len > MAX_TOKEN || vocab.is_end(id) {
                continue;
            }
            let entry = entries.get_mut(count).ok_or(too_small)?;
            // CAST: At most `MAX_TOKEN`.
            let len = len as u32;
            *entry = Entry([u32::try_from(begin).map_err(|_| too_small)?, id, 0, len]);
            // The first bytes decide most comparisons, without a look at the text.
            let mut first = [0; 4];
            for (to, from) in first.iter_mut().zip(entry.bytes(text)) {
                *to = *from;
            }
            let Entry([_, _, jump, _]) = entry;
            *jump = u32::from_be_bytes(first);
            used = end;
            count += 1;
        }
        let text = &*text;
        let entries = entries.get_mut(..count).unwrap_or_default();
        sort(text, entries);
        link(text, entries);
        Ok(Self { text, entries })
    }

    /// The entry at an index, and its bytes.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&Entry, &'a [u8])> {
        let entry = self.entries.get(index)?;
        Some((entry, entry.bytes(self.text)))
    }

    /// The first entry behind `index` that does not begin with the first `depth + 1` bytes of it.
    #[inline]
    pub(super) fn past(&self, index: usize, depth: usize) -> usize {
        let mut next = index + 1;
        while let Some(entry) = self.entries.get(next) {
            if entry.shared() <= depth {
                break;
            }
            // Each jump leads to an entry that shares less, and forward.
            next = entry.jump().max(next + 1);
        }
        next
    }
}

impl Entry {
    #[inline]
    pub(super) fn id(&self) -> u32 {
        let [_, id, ..] = self.0;
        id
    }

    /// How many bytes are those of the entry before.
    #[inline]
    pub(super) fn shared(&self) -> usize {
        let [.., lengths] = self.0;
        crate::size(lengths >> 16)
    }

    #[inline]
    fn jump(&self) -> usize {
        let [_, _, jump, _] = self.0;
        crate::size(jump)
    }

    #[inline]
    fn bytes<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let [begin, .., lengths] = self.0;
        let begin = crate::size(begin);
        // OVERFLOW: Both are far from the end of the numbers.
        text.get(begin..begin + crate::size(lengths & 0xffff))
            .unwrap_or(&[])
    }
}

/// Sorts by the bytes, the first four of which are where `jump` will be, and equal ones by their ids.
/// In place and without recursion: the kernel's stack is small.
///
/// Floyd, Algorithm 245: Treesort 3, <https://doi.org/10.1145/355588.365103>.
fn sort(text: &[u8], entries: &mut [Entry]) {
    let is_less = |a: &Entry, b: &Entry| {
        let key = |entry: &Entry| entry.jump();
        key(a)
            .cmp(&key(b))
            .then_with(|| a.bytes(text).cmp(b.bytes(text)))
            .then(a.id().cmp(&b.id()))
            .is_lt()
    };
    let sift_down = |entries: &mut [Entry], mut parent: usize| loop {
        // OVERFLOW: Indices of entries, which are larger than a byte.
        let (left, right) = (2 * parent + 1, 2 * parent + 2);
        let (Some(top), Some(a)) = (entries.get(parent), entries.get(left)) else {
            return;
        };
        let (child, larger) = match entries.get(right) {
            Some(b) if is_less(a, b) => (right, b),
            _ => (left, a),
        };
        if !is_less(top, larger) {
            return;
        }
        // PANIC: Both were just looked at.
        entries.swap(parent, child);
        parent = child;
    };
    for parent in (0..entries.len() / 2).rev() {
        sift_down(entries, parent);
    }
    for end in (1..entries.len()).rev() {
        // PANIC: Both are below the length.
        entries.swap(0, end);
        sift_down(entries.get_mut(..end).unwrap_or_default(), 0);
    }
}

/// Notes what each entry shares with the one before it, and where less is shared.
fn link(text: &[u8], entries: &mut [Entry]) {
    let mut before: &[u8] = &[];
    for entry in entries.iter_mut() {
        let bytes = entry.bytes(text);
        let shared = before.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let [.., lengths] = &mut entry.0;
        // CAST: At most `MAX_TOKEN`.
        *lengths |= (shared as u32) << 16;
        before = bytes;
    }
    for index in (0..entries.len()).rev() {
        let shared = entries.get(index).map_or(0, Entry::shared);
        let mut next = index + 1;
        while let Some(entry) = entries.get(next).filter(|entry| entry.shared() >= shared) {
            next = entry.jump().max(next + 1);
        }
        if let Some(Entry([_, _, jump, _])) = entries.get_mut(index) {
            // CAST: At most `tokenizer::MAX_TOKENS`.
            *jump = next as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;

    /// The entries of some words, each with its index as id.
    fn entries(words: &[&[u8]]) -> (Vec<u8>, Vec<Entry>) {
        let mut text = vec![];
        let mut entries = vec![];
        for (id, word) in words.iter().enumerate() {
            let mut first = [0; 4];
            first
                .iter_mut()
                .zip(*word)
                .for_each(|(to, from)| *to = *from);
            let jump = u32::from_be_bytes(first);
            entries.push(Entry([
                text.len() as u32,
                id as u32,
                jump,
                word.len() as u32,
            ]));
            text.extend(*word);
        }
        (text, entries)
    }

    #[test]
    fn sorts_by_bytes_and_then_by_id() {
        let mut state = 1u32;
        let mut next = |end: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % end
        };
        for count in [0, 1, 2, 3, 10, 1000] {
            let words: Vec<Vec<u8>> = (0..count)
                .map(|_| (0..1 + next(9)).map(|_| next(3) as u8 * 120).collect())
                .collect();
            let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            let (text, mut sorted) = entries(&words);
            sort(&text, &mut sorted);
            let mut expected: Vec<usize> = (0..count).collect();
            expected.sort_by_key(|&id| (words[id], id));
            let ids: Vec<usize> = sorted.iter().map(|entry| entry.id() as usize).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn what_shares_a_beginning_is_passed_at_once() {
        let words: [&[u8]; 8] = [b"a", b"ab", b"abc", b"abcd", b"abd", b"b", b"ba", b"c"];
        let (text, mut list) = entries(&words);
        sort(&text, &mut list);
        link(&text, &mut list);
        let trie = Trie {
            text: &text,
            entries: &list,
        };
        for (index, word) in words.iter().enumerate() {
            for depth in 0..word.len() {
                let prefix = &word[..=depth];
                let behind = words[index + 1..]
                    .iter()
                    .position(|w| !w.starts_with(prefix));
                let expected = behind.map_or(words.len(), |behind| index + 1 + behind);
                assert_eq!(trie.past(index, depth), expected, "{index} {depth}");
            }
        }
    }
}
