// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Splits a text into the words that byte pair encoding merges within.
//!
//! The models' own tokenizers define the words by regular expressions, which are quoted here; this
//! is what they match, in the way that llama.cpp reads them. Every splitter looks at a character a
//! bounded number of times.

use crate::unicode::{class, Class};

/// A way of splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `\p{N}`, then [`Gpt2`](Self::Gpt2) in between.
    SmolLm,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
    /// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
    /// [`Llama3`](Self::Llama3) with `\p{N}` for numbers.
    Qwen2,
}

impl PreTokenizer {
    /// The words of `text`; put together they are `text`.
    pub(super) fn words(self, text: &str) -> Words<'_> {
        Words {
            pre_tokenizer: self,
            text,
            segment: 0,
        }
    }
}

/// Iterator over words.
pub(super) struct Words<'t> {
    pre_tokenizer: PreTokenizer,
    /// What is left.
    text: &'t str,
    /// Bytes of it in the segment that no word reaches across; 0 for not yet known.
    segment: usize,
}

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.text.is_empty() {
            return None;
        }
        if self.segment == 0 {
            self.segment = match self.pre_tokenizer {
                PreTokenizer::SmolLm => number_or_run_of_others(self.text),
                _ => self.text.len(),
            };
        }
        let segment = self.text.get(..self.segment)?;
        let len = match self.pre_tokenizer {
            PreTokenizer::Gpt2 | PreTokenizer::SmolLm => gpt2(segment),
            PreTokenizer::Llama3 => llama3(segment, 3),
            PreTokenizer::Qwen2 => llama3(segment, 1),
        };
        let (word, rest) = self.text.split_at_checked(len)?;
        self.text = rest;
        self.segment = self.segment.checked_sub(len)?;
        Some(word)
    }
}

/// Length of the number character that `text` begins with, or of what comes before the first one.
fn number_or_run_of_others(text: &str) -> usize {
    let mut chars = text.chars();
    match chars.next() {
        Some(c) if class(c) == Class::Number => c.len_utf8(),
        _ => text
            .find(|c| class(c) == Class::Number)
            .unwrap_or(text.len()),
    }
}

/// Length of the first word of `text`, which is not empty.
fn gpt2(text: &str) -> usize {
    if let Some(len) = contraction(text, |a, b| a == b) {
        return len;
    }
    let (space, body) = optional_space(text);
    match body.chars().next().map(class) {
        Some(class @ (Class::Letter | Class::Number | Class::Other)) => space + run(body, class),
        Some(Class::Space) | None => Spaces::of(text).split_off(text),
    }
}

/// Length of the first word of `text`, which is not empty. Numbers have up to `digits` characters.
fn llama3(text: &str, digits: usize) -> usize {
    if let Some(len) = contraction(text, |a, b| a.eq_ignore_ascii_case(&b)) {
        return len;
    }
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return text.len();
    };
    let first_class = class(first);
    if !matches!(first, '\r' | '\n') && first_class != Class::Number {
        let letters = run(chars.as_str(), Class::Letter);
        if first_class == Class::Letter || letters > 0 {
            return first.len_utf8() + letters;
        }
    }
    if first_class == Class::Number {
        return text
            .chars()
            .take(digits)
            .take_while(|&c| class(c) == Class::Number)
            .map(char::len_utf8)
            .sum();
    }
    let (space, body) = optional_space(text);
    let others = run(body, Class::Other);
    if others > 0 {
        let rest = body.get(others..).unwrap_or("");
        let newlines = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        return space + others + newlines;
    }
    let spaces = Spaces::of(text);
    if spaces.to_last_newline > 0 {
        return spaces.to_last_newline;
    }
    spaces.split_off(text)
}

/// Length of `'s`, `'t`, `'m`, `'d`, `'re`, `'ve` or `'ll`.
fn contraction(text: &str, equal: impl Fn(u8, u8) -> bool) -> Option<usize> {
    let [b'\'', rest @ ..] = text.as_bytes() else {
        return None;
    };
    let begins = |suffix: &&[u8]| {
        suffix.len() <= rest.len() && suffix.iter().zip(rest).all(|(&a, &b)| equal(a, b))
    };
    let suffixes: [&[u8]; 7] = [b"s", b"t", b"m", b"d", b"re", b"ve", b"ll"];
    suffixes.iter().find(|s| begins(s)).map(|s| 1 + s.len())
}

/// The length of a leading space, if there is one, and what follows it.
fn optional_space(text: &str) -> (usize, &str) {
    match text.strip_prefix(' ') {
        Some(body) => (1, body),
        None => (0, text),
    }
}

/// Length of the characters of one class that `text` begins with.
fn run(text: &str, wanted: Class) -> usize {
    text.find(|c| class(c) != wanted).unwrap_or(text.len())
}

/// The spaces that a text begins with.
struct Spaces {
    len: usize,
    /// Length of all but the last one.
    without_last: usize,
    /// Length up to and with the last `\r` or `\n`.
    to_last_newline: usize,
}

impl Spaces {
    fn of(text: &str) -> Self {
        let mut spaces = Self {
            len: 0,
            without_last: 0,
            to_last_newline: 0,
        };
        for c in text.chars().take_while(|&c| class(c) == Class::Space) {
            spaces.without_last = spaces.len;
            spaces.len += c.len_utf8();
            if matches!(c, '\r' | '\n') {
                spaces.to_last_newline = spaces.len;
            }
        }
        spaces
    }

    /// `\s+(?!\S)|\s+`: several spaces leave the last one to the word behind them.
    fn split_off(&self, text: &str) -> usize {
        if self.len == 0 {
            // Nothing that the expressions know begins here: a word of one character.
            return text.chars().next().map_or(text.len(), char::len_utf8);
        }
        if self.without_last > 0 && self.len < text.len() {
            self.without_last
        } else {
            self.len
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn splits_as_the_expressions_say() {
        use PreTokenizer::{Gpt2, Llama3, Qwen2, SmolLm};
        let cases: [(PreTokenizer, &str, &[&str]); 19] = [
            (Gpt2, "", &[]),
            (Gpt2, "Hello world", &["Hello", " world"]),
            (Gpt2, "a  b", &["a", " ", " b"]),
            (Gpt2, "a \n", &["a", " \n"]),
            (
                Gpt2,
                "I'll 'RE don't",
                &["I", "'ll", " '", "RE", " don", "'t"],
            ),
            (Gpt2, "x1234 56!?", &["x", "1234", " 56", "!?"]),
            (Gpt2, "\u{a0}\u{a0}é", &["\u{a0}", "\u{a0}", "é"]),
            (SmolLm, "x1234 5", &["x", "1", "2", "3", "4", " ", "5"]),
            (SmolLm, "  7", &["  ", "7"]),
            (SmolLm, "don't ²½", &["don", "'t", " ", "²", "½"]),
            (Llama3, "12345 6", &["123", "45", " ", "6"]),
            (Llama3, "I'LL\tgo", &["I", "'LL", "\tgo"]),
            (Llama3, "a!!\r\n\r\n b", &["a", "!!\r\n\r\n", " b"]),
            (Llama3, "a \n \n  b", &["a", " \n \n", " ", " b"]),
            (Llama3, "a \n", &["a", " \n"]),
            (Qwen2, "12é3", &["1", "2", "é", "3"]),
            (Qwen2, "$x ++y", &["$x", " ++", "y"]),
            (Qwen2, "   ", &["   "]),
            (Qwen2, "नमस्ते", &["नमस", "\u{94d}त", "\u{947}"]),
        ];
        for (pre_tokenizer, text, words) in cases {
            let split: Vec<_> = pre_tokenizer.words(text).collect();
            assert_eq!(split, words, "{pre_tokenizer:?} {text:?}");
        }
    }
}
