// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The classes of characters that pre-tokenizers tell apart.
//!
//! The table is generated: `tests/unicode.rs` says from what, and fails when it is not up to date.

mod tables;

pub use tables::VERSION;

/// What a character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`, that is White_Space.
    Space,
    /// Anything else, whether it is assigned or not.
    Other,
}

/// The class of a character.
pub fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            '\t'..='\r' | ' ' => Class::Space,
            _ => Class::Other,
        };
    }
    let c = u32::from(c);
    // The entry in front of the first one that begins behind `c`.
    let after = tables::RANGES.partition_point(|entry| entry >> 2 <= c);
    match after.checked_sub(1).and_then(|i| tables::RANGES.get(i)) {
        Some(entry) => match entry & 3 {
            tables::LETTER => Class::Letter,
            tables::NUMBER => Class::Number,
            tables::SPACE => Class::Space,
            _ => Class::Other,
        },
        None => Class::Other,
    }
}
