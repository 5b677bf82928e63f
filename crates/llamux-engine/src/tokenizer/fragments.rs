// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the special tokens in a text.

use super::{mark, Vocab};

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
        covered: &'s mut [u64],
        begins: &'s mut [u64],
    ) -> Self {
        let mut fragments = Self {
            text,
            covered: Bitmap(covered),
            begins: Bitmap(begins),
            position: 0,
        };
        fragments.mark(vocab, parse_special);
        fragments
    }

    /// Finds the special tokens: first all of the longest one, then, in what they leave over, all of
    /// the next. User-defined tokens are found whether or not control tokens are asked for.
    fn mark(&mut self, vocab: &Vocab<'_>, parse_special: bool) {
        self.covered.clear();
        self.begins.clear();
        let text = self.text.as_bytes();
        let mut has_byte = [false; 256];
        for &byte in text {
            if let Some(has) = has_byte.get_mut(usize::from(byte)) {
                *has = true;
            }
        }
        for &id in vocab.specials {
            let marks = vocab.tokens.marks(id);
            if !parse_special && marks & (mark::CONTROL | mark::UNKNOWN) != 0 {
                continue;
            }
            let spelling = vocab.tokens.text(id).unwrap_or(&[]);
            let all_there = spelling
                .iter()
                .all(|&byte| has_byte.get(usize::from(byte)) == Some(&true));
            if spelling.is_empty() || !all_there {
                continue;
            }
            self.mark_all(spelling);
        }
    }

    fn mark_all(&mut self, spelling: &[u8]) {
        let Some(&first) = spelling.first() else {
            return;
        };
        let text = self.text.as_bytes();
        let mut position = 0;
        while let Some(found) = text
            .get(position..)
            .and_then(|rest| rest.iter().position(|&byte| byte == first))
        {
            // OVERFLOW: Positions in the text.
            let begin = position + found;
            let end = begin + spelling.len();
            let matches = text.get(begin..end) == Some(spelling)
                && !(begin..end).any(|i| self.covered.get(i));
            if matches {
                (begin..end).for_each(|i| self.covered.set(i));
                self.begins.set(begin);
                position = end;
            } else {
                position = begin + 1;
            }
        }
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
