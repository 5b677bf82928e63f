// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts the tokens of a conversation one behind the other.

use zerocopy::IntoBytes;

use super::format::Part;
use super::template::Literal;
use crate::error::Error;
use crate::tokenizer::{Options, Vocab, Work};

/// More than a format writes around texts between two special tokens.
const AROUND: usize = 64;

/// Writes tokens, and counts them even when they do not fit.
pub(super) struct Writer<'w, 'v> {
    vocab: &'w Vocab<'v>,
    /// The token that ends an answer.
    end: u32,
    /// The text since the last special token, which is split into words as one.
    copy: &'w mut [u8],
    copied: usize,
    /// For the tokenizer.
    work: Work<'w>,
    out: &'w mut [u32],
    len: usize,
}

impl<'w, 'v> Writer<'w, 'v> {
    /// How many 64-bit words of scratch memory texts of `bytes` in all need.
    pub(super) const fn scratch(bytes: usize) -> usize {
        let text = bytes.saturating_add(AROUND);
        text.div_ceil(8).saturating_add(Vocab::scratch(text))
    }

    pub(super) fn new(
        vocab: &'w Vocab<'v>,
        end: u32,
        work: &'w mut Work<'_>,
        out: &'w mut [u32],
    ) -> Self {
        let Work { scratch, pause } = work;
        let words = match capacity(scratch.len()) {
            Some(bytes) => bytes.saturating_add(AROUND).div_ceil(8),
            None => 0,
        };
        let (copy, scratch) = scratch.split_at_mut(words.min(scratch.len()));
        Self {
            vocab,
            end,
            copy: copy.as_mut_bytes(),
            copied: 0,
            work: Work { scratch, pause },
            out,
            len: 0,
        }
    }

    /// Writes a special token.
    pub(super) fn token(&mut self, id: u32) -> Result<(), Error> {
        self.flush()?;
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = id;
        }
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Writes what the format has around texts.
    pub(super) fn parts(&mut self, parts: &[Part]) -> Result<(), Error> {
        for part in parts {
            match *part {
                Part::Mark(spelling) => match self.vocab.find(spelling) {
                    Some(id) if self.vocab.is_special(id) => self.token(id)?,
                    _ => self.text(Literal::plain(spelling))?,
                },
                Part::Text(text) => self.text(Literal::plain(text))?,
                Part::Begin => {
                    if let Some(bos) = self.vocab.bos() {
                        self.token(bos)?;
                    }
                }
                Part::End => self.token(self.end)?,
            }
        }
        Ok(())
    }

    /// Writes a text. Special tokens that are spelled in it are text.
    pub(super) fn text(&mut self, text: Literal<'_>) -> Result<(), Error> {
        // CAST: `usize` is at most 64 bits wide.
        let too_long = Error::PromptLength {
            need: text.text.len() as u64,
            have: self.copy.len().saturating_sub(AROUND) as u64,
        };
        for byte in text.bytes() {
            *self.copy.get_mut(self.copied).ok_or(too_long)? = byte;
            self.copied += 1;
        }
        Ok(())
    }

    /// Writes the tokens of the text since the last special token.
    fn flush(&mut self) -> Result<(), Error> {
        let text = self.copy.get(..self.copied).unwrap_or(&[]);
        self.copied = 0;
        // The bytes of strings, in which only ASCII has been replaced by ASCII.
        let text = core::str::from_utf8(text).unwrap_or("");
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        let options = Options::default();
        let tokens = match self.vocab.encode_with(text, options, &mut self.work, room) {
            Ok(tokens) => tokens,
            // Counted on, so that the last error says how many they are in all.
            Err(Error::Context { need, .. }) => usize::try_from(need).unwrap_or(usize::MAX),
            Err(error) => return Err(error),
        };
        self.len = self.len.saturating_add(tokens);
        Ok(())
    }

    /// Ends the writing, and says how many tokens were written.
    pub(super) fn finish(mut self) -> Result<usize, Error> {
        self.flush()?;
        if self.len > self.out.len() {
            // CAST: `usize` is at most 64 bits wide.
            return Err(Error::Context {
                need: self.len as u64,
                have: self.out.len() as u64,
            });
        }
        Ok(self.len)
    }
}

/// How many bytes of texts `words` of scratch memory are enough for.
fn capacity(words: usize) -> Option<usize> {
    let (mut enough, mut too_many) = (None, words.saturating_add(1));
    while enough.map_or(0, |bytes| bytes + 1) < too_many {
        let begin = enough.map_or(0, |bytes| bytes + 1);
        let bytes = begin + (too_many - begin) / 2;
        if Writer::scratch(bytes) <= words {
            enough = Some(bytes);
        } else {
            too_many = bytes;
        }
    }
    enough
}
