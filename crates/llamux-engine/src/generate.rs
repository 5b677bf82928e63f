// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From a question to its answer.

use crate::engine::{Engine, STRANGERS};
use crate::error::Error;
use crate::grammar::Constraint;
use crate::math::{Executor, F32Bits};
pub use crate::sampler::{Sampling, ENOUGH, PENALTY_WINDOW};
use crate::scheduler::{Audience, SlotId};

/// A question.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Its text.
    pub prompt: &'a str,
    /// Do not put it into the model's chat format; read special tokens that are spelled out in it.
    pub raw: bool,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// How to choose them.
    pub sampling: Sampling,
    /// What happens when prompt and answer fill the context.
    pub full: Full,
    /// What the answer must keep to; `None` for nothing.
    ///
    /// An engine keeps no part of it: the [`Audience`] of such a request offers it again.
    pub constraint: Option<Constraint<'a>>,
    /// Most positions of the cache that prompt and longest answer may take, if the context is not the bound.
    pub positions: Option<u32>,
    /// Whether to compute how likely each token of the answer was, for [`Sink::likelihood`].
    pub likelihoods: bool,
    /// Whether not an answer is wanted, but the prompt's embedding, for [`Sink::embedding`]. The prompt is
    /// taken as it is, whatever `raw` says, and special tokens that are spelled out in it are text.
    pub embedding: bool,
}

/// What happens when there are more tokens than the context has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// A prompt that is longer than the context is refused, an answer ends with [`Stop::Context`].
    #[default]
    Stop,
    /// The oldest tokens are dropped, but for the system prompt (of a raw prompt: the token that begins
    /// every text); whole turns if they end soon enough. What is left is computed again.
    ///
    /// A prompt may be up to twice as long as the context.
    DropOldest,
}

/// Where an answer goes.
pub trait Sink {
    /// Takes the next characters. `false` to stop, since there is no room for them.
    fn text(&mut self, text: &str) -> bool;

    /// Whether to stop; asked between any two operations, each of which takes milliseconds at most.
    fn stop(&mut self) -> bool;

    /// Takes the next token, before its text.
    fn token(&mut self, id: u32) {
        let _ = id;
    }

    /// Takes the negative log-likelihood of the next token, before the token: in nats, as the bits of an
    /// `f64`, by the model alone, before any penalty, temperature or grammar. Only of requests that want
    /// it, and not of tokens that the grammar left no choice of.
    fn likelihood(&mut self, bits: u64) {
        let _ = bits;
    }

    /// Takes the prompt's embedding, `(n_embd)`: the mean of what its tokens are behind the last norm, with
    /// the Euclidean length 1. Only of requests that want it.
    fn embedding(&mut self, values: &[F32Bits]) {
        let _ = values;
    }

    /// The prompt's tokens have been computed.
    fn prefilled(&mut self, prompt_tokens: u32) {
        let _ = prompt_tokens;
    }
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended it.
    End,
    /// It has [`Request::max_tokens`].
    Length,
    /// The context is full.
    Context,
    /// [`Sink::stop`] asked for it.
    Requested,
    /// [`Sink::text`] had no room.
    Sink,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Tokens of the prompt, chat format included.
    pub prompt_tokens: u32,
    /// Those of them that were in the cache already.
    pub cached_tokens: u32,
    /// Tokens of the answer, without the one that ended it.
    pub tokens: u32,
    /// Tokens that were guessed and computed ahead, and those of them that were right.
    pub drafted_tokens: u32,
    /// See `drafted_tokens`.
    pub accepted_tokens: u32,
    /// Why the answer ends.
    pub stop: Stop,
}

impl Engine<'_> {
    /// Answers a question while no other is answered, and shares nothing with any other but what is
    /// [`PUBLIC`](crate::PUBLIC). Allocates nothing.
    ///
    /// If it is stopped, what there is of the answer has been passed to `sink`.
    pub fn generate(
        &mut self,
        request: &Request<'_>,
        executor: &dyn Executor,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Error> {
        // OVERFLOW: Of 64 bits.
        self.strangers += 1;
        let id = self.submit(request, STRANGERS + self.strangers)?;
        self.finish_within(id, request.constraint, executor, sink)
    }

    /// Writes a text's embedding to `out`, which is as long as [`Info::embedding`](crate::Info) says; see
    /// [`Sink::embedding`]. Otherwise as [`generate`](Self::generate). Returns how many tokens the text has.
    pub fn embed(
        &mut self,
        text: &str,
        executor: &dyn Executor,
        out: &mut [F32Bits],
    ) -> Result<u32, Error> {
        let request = Request {
            prompt: text,
            embedding: true,
            ..Request::default()
        };
        let outcome = self.generate(&request, executor, &mut Vector(out))?;
        Ok(outcome.prompt_tokens)
    }

    /// Answers a request that was taken in, and with it all others, whose answers are stopped.
    pub fn finish(
        &mut self,
        id: SlotId,
        executor: &dyn Executor,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Error> {
        self.finish_within(id, None, executor, sink)
    }

    /// The same for a request with a constraint.
    pub fn finish_within(
        &mut self,
        id: SlotId,
        constraint: Option<Constraint<'_>>,
        executor: &dyn Executor,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Error> {
        let mut alone = Alone {
            id,
            sink,
            constraint,
            end: None,
        };
        while self.step(executor, &mut alone) {
            if let Some(end) = alone.end {
                return end;
            }
        }
        Err(Error::Operation("finish"))
    }
}

/// Where an embedding goes.
struct Vector<'a>(&'a mut [F32Bits]);

impl Sink for Vector<'_> {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }

    fn embedding(&mut self, values: &[F32Bits]) {
        for (to, from) in self.0.iter_mut().zip(values) {
            *to = *from;
        }
    }
}

/// One who asks alone.
struct Alone<'a> {
    id: SlotId,
    sink: &'a mut dyn Sink,
    constraint: Option<Constraint<'a>>,
    end: Option<Result<Outcome, Error>>,
}

impl Audience for Alone<'_> {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        match id == self.id {
            true => Some(self.sink),
            false => None,
        }
    }

    fn constrained(&mut self, id: SlotId) -> Option<(&mut dyn Sink, Option<Constraint<'_>>)> {
        let constraint = self.constraint;
        Some((self.sink(id)?, constraint))
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        if id == self.id {
            self.end = Some(end);
        }
    }
}
