// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Guesses the next tokens from the text so far: prompt lookup decoding.
//!
//! Where the last tokens stand in the text already, what followed them then may follow again. Guesses are
//! computed together with the last token, each is taken if it is the very token that is then chosen, and
//! so the choices are the same as without guessing; only that several come out of one pass over the weights.
//!
//! Guessing is free, computing guesses is not. So a guess is first only compared with what comes; after
//! a few right ones in a row they are computed, ever more at once, until one is wrong.
//!
//! Saxena: Prompt Lookup Decoding, <https://github.com/apoorvumang/prompt-lookup-decoding>.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use crate::size;

/// How many tokens at the end are looked for.
const NGRAM: usize = 3;

/// Most guesses that are computed at once. With the token before them they are as many as the output
/// layer has room for.
pub(crate) const MOST: u32 = 7;

/// Right guesses in a row before the first one is computed.
const TRUST: u32 = 3;

/// How well guesses went.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct Record {
    /// Right ones in a row.
    streak: u32,
    /// Guesses that were computed.
    pub(crate) drafted: u32,
    /// Those of them that were right.
    pub(crate) accepted: u32,
}

impl Record {
    /// None yet.
    pub(crate) const NONE: Self = Self {
        streak: 0,
        drafted: 0,
        accepted: 0,
    };

    /// How many guesses to compute.
    pub(crate) fn length(&self) -> u32 {
        match self.streak.checked_sub(TRUST) {
            None => 0,
            Some(more) => MOST.min(more.saturating_mul(2).saturating_add(2)),
        }
    }

    /// Notes whether a guess was what came, and whether it was computed.
    pub(crate) fn note(&mut self, right: bool, computed: bool) {
        self.streak = if right {
            self.streak.saturating_add(1)
        } else {
            0
        };
        self.drafted = self.drafted.saturating_add(computed.into());
        self.accepted = self.accepted.saturating_add((computed && right).into());
    }
}

/// What followed the last time that `text` had its last tokens, at most `most` tokens.
pub(crate) fn guess(text: &[u32], most: u32) -> &[u32] {
    let Some(begin) = text.len().checked_sub(NGRAM) else {
        return &[];
    };
    let (before, last) = text.split_at_checked(begin).unwrap_or_default();
    // An earlier place may reach into the last tokens, as in a text that repeats one token.
    let mut places = text.windows(NGRAM).enumerate().take(before.len()).rev();
    let Some((at, _)) = places.find(|(_, window)| *window == last) else {
        return &[];
    };
    let begin = at.saturating_add(NGRAM);
    let end = begin.saturating_add(size(most)).min(text.len());
    text.get(begin..end).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_what_followed_the_last_time() {
        let text = [1, 2, 3, 4, 5, 1, 2, 3, 9, 8, 1, 2, 3];
        assert_eq!(guess(&text, 2), [9, 8]);
        assert_eq!(guess(&text, 7), [9, 8, 1, 2, 3], "no more than there is");
        assert_eq!(guess(&text[..12], 7), []);
        assert_eq!(guess(&[5, 5, 5, 5], 4), [5]);
        assert_eq!(guess(&[1, 2, 3], 4), []);
        assert_eq!(guess(&[], 4), []);
    }

    #[test]
    fn computes_after_some_right_ones_only_and_stops_at_a_wrong_one() {
        let mut record = Record::default();
        for _ in 0..TRUST {
            assert_eq!(record.length(), 0);
            record.note(true, false);
        }
        assert_eq!(record.length(), 2);
        record.note(true, true);
        assert_eq!(record.length(), 4);
        for _ in 0..100 {
            record.note(true, true);
        }
        assert_eq!(record.length(), MOST);
        record.note(false, true);
        assert_eq!(record.length(), 0);
        assert_eq!((record.drafted, record.accepted), (102, 101));
    }
}
