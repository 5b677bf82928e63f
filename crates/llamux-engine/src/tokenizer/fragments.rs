// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the special tokens in a text.

use super::work::Pacer;
use super::{mark, Vocab};
use crate::error::Error;

/// The parts of a text: special tokens, and what is between them.
pub(super) struct Fragments<'t, 's> {
    text: &'t str,
    /// The bytes that belong to special tokens.
    covered: Bitmap<'s>,
    /// The first bytes of special tokens.
    begins: Bitmap<'s>,
    position: usize,
}

/// A part of a text.
pub(super) enum Fragment<'t> {
    /// A special token.
    Special(&'t str),
    /// What is between them.
    Text(&'t str),
}

impl<'t, 's> Fragments<'t, 's> {
    /// The parts of `text`. Two bitmaps of [`bitmap_words`] are needed to find them.
    pub(super) fn of(
        vocab: &Vocab<'_>,
        text: &'t str,
        parse_special: bool,
        [covered, begins]: [&'s mut [u64]; 2],
        pacer: &mut Pacer<'_>,
    ) -> Result<Self, Error> {
        let mut fragments = Self {
            text,
            covered: Bitmap(covered),
            begins: Bitmap(begins),
            position: 0,
        };
        fragments.mark(vocab, parse_special, pacer)?;
        Ok(fragments)
    }

    /// Finds the special tokens: first all of the longest ones, then, in what they leave over, all of
    /// the next. User-defined tokens are found whether or not control tokens are asked for.
    ///
    /// A vocabulary has some thousands of them, but only some tens of lengths.
    fn mark(
        &mut self,
        vocab: &Vocab<'_>,
        parse_special: bool,
        pacer: &mut Pacer<'_>,
    ) -> Result<(), Error> {
        self.covered.clear();
        self.begins.clear();
        let spelling = |id| vocab.tokens.text(id).unwrap_or(&[]);
        let wanted = |id| {
            let marks = vocab.tokens.marks(id);
            marks & mark::SPECIAL != 0
                && (parse_special || marks & (mark::CONTROL | mark::UNKNOWN) == 0)
        };
        let same_len = |&a: &u32, &b: &u32| spelling(a).len() == spelling(b).len();
        let mut there = Bytes::default();
        self.text.bytes().for_each(|byte| there.add(byte));
        for ids in vocab.specials.chunk_by(same_len) {
            let len = ids.first().map_or(0, |&id| spelling(id).len());
            let (mut first, mut last) = (Bytes::default(), Bytes::default());
            for &id in ids.iter().filter(|&&id| wanted(id)) {
                if let (Some(&a), Some(&b)) = (spelling(id).first(), spelling(id).last()) {
                    first.add(a);
                    last.add(b);
                }
            }
            if !there.meets(&first) {
                continue;
            }
            self.mark_all(len, pacer, |part| {
                let ends = part.first().zip(part.last());
                ends.is_some_and(|(&a, &b)| first.has(a) && last.has(b))
                    && vocab.tokens.find(part.iter().copied()).is_some_and(wanted)
            })?;
        }
        Ok(())
    }

    /// Marks all parts of `len` bytes that `is_special` finds to be.
    fn mark_all(
        &mut self,
        len: usize,
        pacer: &mut Pacer<'_>,
        is_special: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Error> {
        if len == 0 {
            return Ok(());
        }
        let text = self.text.as_bytes();
        let mut begin = 0;
        // OVERFLOW: Positions in the text, and the length of a token.
        while let Some(part) = text.get(begin..begin + len) {
            pacer.step()?;
            let end = begin + len;
            // What comes first rules out most.
            let is_free = |i| !self.covered.get(i);
            if is_free(begin) && is_free(end - 1) && is_special(part) && (begin..end).all(is_free) {
                (begin..end).for_each(|i| self.covered.set(i));
                self.begins.set(begin);
                begin = end;
            } else {
                begin += 1;
            }
        }
        Ok(())
    }

    /// The next part.
    pub(super) fn next(&mut self) -> Option<Fragment<'t>> {
        let begin = self.position;
        if begin >= self.text.len() {
            return None;
        }
        let special = self.covered.get(begin);
        let mut end = begin + 1;
        while end < self.text.len() && self.covered.get(end) == special && !self.begins.get(end) {
            end += 1;
        }
        self.position = end;
        // The spellings are UTF-8, so that both ends are at a character's.
        let fragment = self.text.get(begin..end)?;
        Some(if special {
            Fragment::Special(fragment)
        } else {
            Fragment::Text(fragment)
        })
    }
}

/// A set of bytes.
#[derive(Default)]
struct Bytes([u64; 4]);

impl Bytes {
    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte / 64)) {
            *word |= 1 << (byte % 64);
        }
    }

    fn has(&self, byte: u8) -> bool {
        let word = self.0.get(usize::from(byte / 64));
        word.is_some_and(|word| word >> (byte % 64) & 1 != 0)
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

/// One bit for each byte of a text.
struct Bitmap<'s>(&'s mut [u64]);

impl Bitmap<'_> {
    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn get(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }
}

pub(super) const fn bitmap_words(bytes: usize) -> usize {
    bytes.div_ceil(64)
}
