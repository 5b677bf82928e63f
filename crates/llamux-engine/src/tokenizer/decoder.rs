// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From tokens to text, as they come.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use super::{Utf8Assembler, Vocab};

/// Puts the text of tokens together, whole characters at a time.
///
/// A vocabulary that is encoded with a space in front of a text has it in the first token; decoded from
/// its beginning, the text is what it was, without that space.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct Decoder {
    characters: Utf8Assembler,
    /// Nothing came yet, and a space would not belong to the text.
    drop_space: u16,
}

impl Decoder {
    /// In the middle of a text.
    pub(crate) const NOTHING: Self = Self {
        characters: Utf8Assembler::NOTHING,
        drop_space: 0,
    };

    pub(super) fn new(drop_space: bool) -> Self {
        Self {
            characters: Utf8Assembler::default(),
            drop_space: drop_space.into(),
        }
    }

    /// Takes a token and hands out the characters that it completes. Tokens for control have a text
    /// only if `control` asks for it.
    pub fn push(&mut self, vocab: &Vocab<'_>, id: u32, control: bool, out: impl FnMut(&str)) {
        let mut piece = vocab.piece(id, control).peekable();
        if self.drop_space != 0 && piece.peek().is_some() {
            self.drop_space = 0;
            piece.next_if_eq(&b' ');
        }
        self.characters.push(piece, out);
    }

    /// Ends the text: what is left of a character becomes one U+FFFD.
    pub fn finish(&mut self, out: impl FnMut(&str)) {
        self.characters.finish(out);
    }
}
