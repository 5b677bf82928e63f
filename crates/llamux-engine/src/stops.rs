// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts that end an answer before the model does.
//!
//! What may be the beginning of such a text is held back until it is known to be none.

/// Most texts.
pub const MAX_STOPS: usize = 16;

/// Longest of them, in bytes.
pub const MAX_STOP: usize = 64;

/// The texts, one behind the other, each ended by a zero byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stops<'s>(&'s str);

/// Why texts are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

impl<'s> Stops<'s> {
    /// Checks them: at most [`MAX_STOPS`], none of which is empty or longer than [`MAX_STOP`], and the
    /// last of which is ended as the others are.
    pub fn new(texts: &'s str) -> Result<Self, Unfit> {
        let fits = |text: &str| (1..=MAX_STOP).contains(&text.len());
        let texts_of = Self(texts);
        let ended = texts.is_empty() || texts.ends_with('\0');
        if !ended || texts_of.iter().count() > MAX_STOPS || !texts_of.iter().all(fits) {
            return Err(Unfit);
        }
        Ok(texts_of)
    }

    fn iter(self) -> impl Iterator<Item = &'s str> {
        self.0.split_terminator('\0')
    }
}

/// What is held back of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The beginning of a stop, and a character.
    bytes: [u8; MAX_STOP + 4],
    len: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_STOP + 4],
            len: 0,
        }
    }
}

impl Held {
    /// Takes the next part of the answer and hands out what is before a stop. Whether there is one, which
    /// is not handed out, nor anything behind it. With `false` of `out` it hands out no more.
    pub fn push(
        &mut self,
        stops: Stops<'_>,
        text: &str,
        mut out: impl FnMut(&str) -> bool,
    ) -> bool {
        if stops.0.is_empty() {
            out(text);
            return false;
        }
        for character in text.chars() {
            let mut bytes = [0; 4];
            for &byte in character.encode_utf8(&mut bytes).as_bytes() {
                // There is room: what is held begins a stop and is none.
                if let Some(place) = self.bytes.get_mut(self.len) {
                    *place = byte;
                    self.len += 1;
                }
            }
            let held = self.bytes.get(..self.len).unwrap_or(&[]);
            let stop = stops.iter().find(|stop| held.ends_with(stop.as_bytes()));
            if let Some(stop) = stop {
                let before = self.len - stop.len();
                self.hand_out(before, &mut out);
                self.len = 0;
                return true;
            }
            if !self.let_go(stops, &mut out) {
                return false;
            }
        }
        false
    }

    /// Bytes that are held back.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hands out what is held: the answer has ended.
    pub fn finish(&mut self, mut out: impl FnMut(&str) -> bool) {
        self.hand_out(self.len, &mut out);
    }

    /// Hands out what cannot begin a stop any more.
    fn let_go(&mut self, stops: Stops<'_>, out: &mut impl FnMut(&str) -> bool) -> bool {
        let held = self.bytes.get(..self.len).unwrap_or(&[]);
        let begins = |&at: &usize| {
            let rest = held.get(at..).unwrap_or(&[]);
            stops.iter().any(|stop| stop.as_bytes().starts_with(rest))
        };
        let keep = (0..self.len).find(begins).unwrap_or(self.len);
        self.hand_out(keep, out)
    }

    /// Hands out the first `count` bytes, which end with a character: what is behind them begins like a
    /// stop, and so with one.
    fn hand_out(&mut self, count: usize, out: &mut impl FnMut(&str) -> bool) -> bool {
        let text = core::str::from_utf8(self.bytes.get(..count).unwrap_or(&[])).unwrap_or("");
        let wanted = text.is_empty() || out(text);
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
        wanted
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;

    use super::*;

    /// What comes out of an answer in such pieces, and whether it was stopped.
    fn pass(stops: &str, pieces: &[&str]) -> (String, bool) {
        let stops = Stops::new(stops).unwrap();
        let (mut held, mut text) = (Held::default(), String::new());
        for piece in pieces {
            let mut out = |part: &str| {
                text.push_str(part);
                true
            };
            if held.push(stops, piece, &mut out) {
                return (text, true);
            }
        }
        held.finish(|part| {
            text.push_str(part);
            true
        });
        (text, false)
    }

    #[test]
    fn stops_before_the_text_however_it_is_cut() {
        let check = |stops, answer: &str, expected: &str, stopped| {
            let whole = pass(stops, &[answer]);
            assert_eq!(whole, (expected.into(), stopped), "{stops:?} {answer:?}");
            let mut characters: std::vec::Vec<String> = std::vec![];
            characters.extend(answer.chars().map(String::from));
            let pieces: std::vec::Vec<&str> = characters.iter().map(|c| &**c).collect();
            assert_eq!(pass(stops, &pieces), whole, "by characters");
        };
        check("", "a\nb", "a\nb", false);
        check("\n\0", "a\nb", "a", true);
        check("ab\0", "aaab", "aa", true);
        check("aab\0", "aaaab", "aa", true);
        check("abc\0b\0", "xabc", "xa", true);
        check("abd\0bc\0", "abcd", "a", true);
        check("END\0", "the EN", "the EN", false);
        check("END\0", "the ENDE", "the ", true);
        check("🦙\0", "a🦊🦙b", "a🦊", true);
        check("é\0", "è", "è", false);
        check("a\0", "", "", false);
    }

    #[test]
    fn holds_back_only_what_may_be_a_stop() {
        let stops = Stops::new("END\0").unwrap();
        let mut held = Held::default();
        let mut text = String::new();
        let mut push = |piece: &str| {
            held.push(stops, piece, |part| {
                text.push_str(part);
                true
            });
            text.clone()
        };
        assert_eq!(push("xE"), "x");
        assert_eq!(push("N"), "x");
        assert_eq!(push("E"), "xEN");
        assert_eq!(push("!"), "xENE!");
    }

    #[test]
    fn a_long_stop_is_found() {
        let long = "é".repeat(MAX_STOP / 2);
        let texts = std::format!("{long}\0");
        let answer = std::format!("è{long}x");
        assert_eq!(pass(&texts, &[&answer]), ("è".into(), true));
    }

    #[test]
    fn hands_out_no_more_once_it_is_not_wanted() {
        let stops = Stops::new("END\0").unwrap();
        let mut count = 0;
        let stopped = Held::default().push(stops, "abc", |_| {
            count += 1;
            false
        });
        assert_eq!((count, stopped), (1, false));
    }

    #[test]
    fn unfit_texts_are_refused() {
        let refused = |texts: &str| assert_eq!(Stops::new(texts).err(), Some(Unfit), "{texts:?}");
        refused("a");
        refused("\0");
        refused("a\0\0");
        refused(&std::format!("{}\0", "x".repeat(MAX_STOP + 1)));
        refused(&"a\0".repeat(MAX_STOPS + 1));
        assert!(Stops::new(&"a\0".repeat(MAX_STOPS)).is_ok());
    }
}
