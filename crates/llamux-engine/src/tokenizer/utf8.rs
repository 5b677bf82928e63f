// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts whole characters together from the bytes of tokens.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

/// Holds back the bytes of a character until all of them are there.
///
/// What is not UTF-8 becomes U+FFFD in the way of the Unicode Standard's section 3.9, "U+FFFD
/// Substitution of Maximal Subparts": however the bytes are cut into pieces, the text is the same.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct Utf8Assembler {
    pending: [u8; 4],
    len: u16,
}

impl Utf8Assembler {
    /// No bytes.
    pub const NOTHING: Self = Self {
        pending: [0; 4],
        len: 0,
    };

    /// Takes bytes, and hands out every character that they complete.
    pub fn push(&mut self, bytes: impl IntoIterator<Item = u8>, mut out: impl FnMut(&str)) {
        for byte in bytes {
            if byte.is_ascii() && self.len == 0 {
                if let Ok(text) = core::str::from_utf8(&[byte]) {
                    out(text);
                }
                continue;
            }
            // INVARIANT: What is pending is the beginning of a character, so of 4 bytes at most 3.
            if let Some(slot) = self.pending.get_mut(usize::from(self.len)) {
                *slot = byte;
                self.len += 1;
            }
            self.drain(&mut out);
        }
    }

    /// Ends the text: what is left of a character becomes one U+FFFD.
    pub fn finish(&mut self, mut out: impl FnMut(&str)) {
        if self.len > 0 {
            self.len = 0;
            out("\u{fffd}");
        }
    }

    /// Hands out what is complete and keeps the rest.
    fn drain(&mut self, out: &mut impl FnMut(&str)) {
        while self.len > 0 {
            let pending = self.pending.get(..usize::from(self.len)).unwrap_or(&[]);
            let done = match core::str::from_utf8(pending) {
                Ok(text) => {
                    out(text);
                    usize::from(self.len)
                }
                // A whole character never stands in front of an error: it left when it was whole.
                Err(error) => match error.error_len() {
                    Some(len) => {
                        out("\u{fffd}");
                        len
                    }
                    None => return,
                },
            };
            let done = done.min(usize::from(self.len));
            self.pending.copy_within(done..usize::from(self.len), 0);
            // CAST: At most `len`.
            self.len -= done as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;

    use super::*;

    #[test]
    fn gives_the_same_text_however_it_is_cut() {
        let cases: [&[u8]; 9] = [
            b"plain",
            "aé漢😀z".as_bytes(),
            b"\xff\xfe",
            b"a\xf0\x9f\x98",
            b"\xf0\x9f\x98x\xf0\x9f\x98\x80",
            b"\xe6\xbc\xe6\xbc\xa2",
            b"\xed\xa0\x80",
            b"\xc0\x80\xf5\x80\x80\x80",
            b"\xf0\x9f\xe6\xbc\xa2\xf0",
        ];
        for bytes in cases {
            let expected = String::from_utf8_lossy(bytes);
            for cut in 1..=bytes.len() {
                let mut assembler = Utf8Assembler::default();
                let mut text = String::new();
                for piece in bytes.chunks(cut) {
                    assembler.push(piece.iter().copied(), |s| text.push_str(s));
                }
                assembler.finish(|s| text.push_str(s));
                assert_eq!(text, expected, "{bytes:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn hands_out_nothing_before_it_is_whole() {
        let mut assembler = Utf8Assembler::default();
        assembler.push(*b"\xf0\x9f\x98", |s| panic!("{s}"));
        let mut text = String::new();
        assembler.push([0x80], |s| text.push_str(s));
        assert_eq!(text, "😀");
        assembler.finish(|s| panic!("{s}"));
    }
}
