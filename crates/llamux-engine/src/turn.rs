// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Conversations of more than one turn.
//!
//! The engine keeps none of them. Whoever holds a conversation keeps its tokens, and passes them on with
//! each turn; the [cache](crate::blocks) has the keys and values of most of them, or else they are computed
//! again. So a conversation that rests costs its tokens, and a copy of it shares the cache's blocks.

use crate::chat::{Conversation, Message, Role};
use crate::engine::{spoken, Engine};
use crate::error::Error;
use crate::generate::Request;
use crate::scheduler::SlotId;
use crate::tokenizer::{self, Work};

/// What continues a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'t> {
    /// The conversation's tokens so far, in which only tokens of this model are.
    pub before: &'t [u32],
    /// Where it stands behind them.
    pub state: Conversation,
    /// Tokens at its beginning that stay when the oldest are dropped.
    pub keep: u32,
    /// What is said now. Of a raw request, the texts continue each other.
    pub messages: &'t [Message<'t>],
    /// Whether the model's answer follows.
    pub answer: bool,
}

/// A turn that was taken in.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// The request.
    pub id: SlotId,
    /// Where the conversation stands behind the turn, and the answer if it follows.
    pub state: Conversation,
    /// See [`Turn::keep`].
    pub keep: u32,
}

impl Engine<'_> {
    /// Takes a request in that continues a conversation; its own prompt is not looked at. Otherwise as
    /// [`submit_with`](Self::submit_with).
    ///
    /// The tokens of the conversation are those of [`sequence_of`](Self::sequence_of) afterwards.
    pub fn submit_turn(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        owner: u64,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Begun, Error> {
        let slot = self.free_slot()?;
        let vocabulary = self.info().vocabulary;
        if let Some(&id) = turn.before.iter().find(|&&id| id >= vocabulary) {
            return Err(Error::Token { id, vocabulary });
        }
        let have = self.context();
        let before = turn.before.len();
        let room = self.prompt.get_mut(..before).ok_or(Error::Context {
            // CAST: `usize` is at most 64 bits wide.
            need: before as u64,
            have: have.into(),
        })?;
        room.copy_from_slice(turn.before);
        let (len, state, keep) = match request.raw {
            true => self.encode_texts(turn, pause)?,
            false => self.encode_messages(turn, pause)?,
        };
        if len == 0 {
            return Err(Error::EmptyPrompt);
        }
        // CAST: No more than two contexts.
        let id = self.admit(slot, request, owner, (len as u32, keep))?;
        Ok(Begun { id, state, keep })
    }

    /// Writes the texts of a raw turn behind what is in `prompt`. Returns the number of all tokens.
    fn encode_texts(
        &mut self,
        turn: &Turn<'_>,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<(usize, Conversation, u32), Error> {
        let mut len = turn.before.len();
        for message in turn.messages {
            let options = tokenizer::Options {
                add_special: len == 0,
                parse_special: true,
            };
            let work = &mut Work {
                scratch: self.text,
                pause,
            };
            let room = self.prompt.get_mut(len..).unwrap_or_default();
            let count = match len {
                0 => self.vocab.encode_with(message.text, options, work, room),
                _ => self.vocab.encode_on(message.text, options, work, room),
            };
            len += count.map_err(|error| with_others(error, len))?;
        }
        Ok((len, turn.state, self.vocab.add_bos().into()))
    }

    /// The same for messages in the model's chat format.
    fn encode_messages(
        &mut self,
        turn: &Turn<'_>,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<(usize, Conversation, u32), Error> {
        let chat = spoken(self.chat?, self.instructions, self.instructions_len);
        let Turn {
            mut state,
            mut keep,
            messages,
            ..
        } = *turn;
        let first = turn.before.is_empty();
        let mut len = turn.before.len();
        let mut append =
            |state: &mut Conversation, messages: &[Message<'_>], answer, len: usize| {
                let work = &mut Work {
                    scratch: self.text,
                    pause: &mut *pause,
                };
                let room = self.prompt.get_mut(len..).unwrap_or_default();
                chat.append(&self.vocab, state, messages, answer, work, room)
                    .map_err(|error| with_others(error, len))
            };
        if first {
            keep = self.system;
        }
        let mut rest = messages;
        if let (true, Some((system, others))) = (first, messages.split_first()) {
            // A system prompt with a turn of its own is what stays.
            if system.role == Role::System && !chat.format().shares_system_turn() {
                len += append(&mut state, &[*system], false, len)?;
                rest = others;
                // CAST: No more than two contexts.
                keep = len as u32;
            } else if system.role == Role::System {
                keep = self.vocab.add_bos().into();
            }
        }
        if !rest.is_empty() || turn.answer {
            len += append(&mut state, rest, turn.answer, len)?;
        }
        Ok((len, state, keep))
    }

    /// The tokens of a request, prompt and answer, as far as they are known; after its end until the next
    /// request is taken in. An answer's last token is not among them where it was
    /// [`Stop::Length`](crate::generate::Stop), `Context` or `Sink` that ended it.
    pub fn sequence_of(&self, id: SlotId) -> &[u32] {
        let slot = id.slot();
        let len = self.slots.get(slot).map_or(0, |slot| slot.len);
        self.slots.tokens_of(slot, 0, len).unwrap_or(&[])
    }
}

/// Adds the tokens before to what an error says of their number.
fn with_others(error: Error, before: usize) -> Error {
    match error {
        Error::Context { need, have } => Error::Context {
            // CAST: `usize` is at most 64 bits wide.
            need: need.saturating_add(before as u64),
            have,
        },
        error => error,
    }
}

/// The bits of an `f64` that is not negative as millionths, without computing a float.
pub fn millionths(bits: u64) -> u32 {
    let exponent = bits >> 52;
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    match exponent {
        // Below a millionth, or subnormal.
        0..=1000 => 0,
        // OVERFLOW: 32 bits times 20; and below 2^12, so that the shift is positive.
        1001..=1034 => u32::try_from(((mantissa >> 21) * 1_000_000) >> (1075 - 21 - exponent))
            .unwrap_or(u32::MAX),
        // Larger, infinite, negative or not a number.
        _ => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_millionths() {
        for (float, expected) in [
            (0.0, 0),
            (1e-7, 0),
            (1e-6, 1),
            (0.5, 500_000),
            (1.0, 1_000_000),
            (2.345_678_9, 2_345_678),
            (17.25, 17_250_000),
            (4000.0, 4_000_000_000),
            (5000.0, u32::MAX),
            (1e300, u32::MAX),
            (f64::INFINITY, u32::MAX),
            (f64::NAN, u32::MAX),
            (-1.0, u32::MAX),
        ] {
            let got = millionths(f64::to_bits(float));
            assert!(got.abs_diff(expected) <= 1, "{float}: {got}");
        }
    }
}
