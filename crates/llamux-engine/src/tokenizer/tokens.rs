// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The texts of tokens.

use super::table::{free_slot, hash, probe, table_slots};
use super::{mark, marks_of_type, Carver, Parts};
use crate::error::Error;

/// The texts of the tokens, in place, and how to find them.
pub(super) struct Tokens<'a> {
    texts: &'a [u8],
    /// `(tokens)`: where the token's length is in `texts`, from which the text follows.
    offsets: &'a [u32],
    /// `(tokens / 4)`: four tokens' marks in a word.
    marks: &'a mut [u32],
    /// A table of ids plus one, by [`hash`].
    slots: &'a [u32],
}

impl<'a> Tokens<'a> {
    pub(super) fn words(tokens: usize) -> usize {
        tokens + tokens.div_ceil(4) + table_slots(tokens)
    }

    pub(super) fn load(parts: &Parts<'a>, carver: &mut Carver<'a>) -> Result<Self, Error> {
        let len = parts.tokens.len();
        let offsets = carver.take(len)?;
        if let Some(mut strings) = parts.tokens.strings() {
            for offset in offsets.iter_mut() {
                // CAST: `Parts` checked that the bytes are fewer than 2^32.
                *offset = strings.offset() as u32;
                strings.next();
            }
        }
        let mut tokens = Self {
            texts: parts.tokens.bytes(),
            offsets,
            marks: carver.take(len.div_ceil(4))?,
            slots: &[],
        };
        let slots = carver.take(table_slots(len))?;
        for id in 0..tokens.id_end() {
            let marks = match parts.types {
                // CAST: An id is below `MAX_TOKENS`.
                Some(types) => marks_of_type(types.word(id as usize)),
                None => mark::NORMAL,
            };
            tokens.mark(id, marks);
            let text = tokens.text(id).unwrap_or(&[]);
            if text.is_empty() {
                continue;
            }
            let slot = free_slot(slots, hash(text.iter().copied()), |other| {
                tokens.text(other) == Some(text)
            })
            .map_err(|problem| problem.error("token", text))?;
            *slot = id + 1;
        }
        tokens.slots = slots;
        Ok(tokens)
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// One more than the last id.
    pub(super) fn id_end(&self) -> u32 {
        // CAST: At most `MAX_TOKENS`.
        self.len() as u32
    }

    pub(super) fn text(&self, id: u32) -> Option<&'a [u8]> {
        let offset = *self.offsets.get(usize::try_from(id).ok()?)?;
        let (len, text) = self
            .texts
            .get(usize::try_from(offset).ok()?..)?
            .split_first_chunk()?;
        text.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
    }

    pub(super) fn marks(&self, id: u32) -> u8 {
        let word = usize::try_from(id / 4).ok().and_then(|i| self.marks.get(i));
        // CAST: The shift leaves the byte of this token at the bottom.
        word.map_or(0, |word| (word >> (id % 4 * 8)) as u8)
    }

    /// Adds marks to a token.
    pub(super) fn mark(&mut self, id: u32, marks: u8) {
        if let Some(word) = usize::try_from(id / 4)
            .ok()
            .and_then(|i| self.marks.get_mut(i))
        {
            *word |= u32::from(marks) << (id % 4 * 8);
        }
    }

    /// The token that is spelled as these bytes.
    pub(super) fn find(&self, bytes: impl Iterator<Item = u8> + Clone) -> Option<u32> {
        probe(self.slots, hash(bytes.clone()))
            .map(|id| (id, self.text(id)))
            .find(|(_, text)| text.is_some_and(|text| text.iter().copied().eq(bytes.clone())))
            .map(|(id, _)| id)
    }
}
