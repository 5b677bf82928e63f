// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From a question to its answer.

use crate::chat::Turn;
use crate::engine::Engine;
use crate::error::Error;
use crate::math::Executor;
use crate::sampler::Sampler;
pub use crate::sampler::{Sampling, PENALTY_WINDOW};
use crate::tokenizer::Utf8Assembler;
use crate::Run;

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its text.
    pub prompt: &'a str,
    /// Do not put it into the model's chat format; read special tokens that are spelled out in it.
    pub raw: bool,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// How to choose them.
    pub sampling: Sampling,
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
    /// Tokens of the answer, without the one that ended it.
    pub tokens: u32,
    /// Why the answer ends.
    pub stop: Stop,
}

impl Engine<'_> {
    /// Answers a question, in an empty context. Allocates nothing.
    ///
    /// If it is stopped, what there is of the answer has been passed to `sink`.
    pub fn generate(
        &mut self,
        request: &Request<'_>,
        executor: &dyn Executor,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Error> {
        self.clear();
        let prompt_tokens = self.encode(request)?;
        let mut outcome = Outcome {
            prompt_tokens,
            tokens: 0,
            stop: Stop::Length,
        };
        let mut text = Utf8Assembler::default();
        let mut fits = true;
        let result = self.answer(request, executor, sink, &mut text, &mut outcome);
        // A character that was never completed is shown as such, unless there was no room already.
        if !matches!(result, Ok(Stop::Sink)) {
            text.finish(|text| fits &= sink.text(text));
        }
        outcome.stop = match result {
            Ok(_) if !fits => Stop::Sink,
            Ok(stop) => stop,
            Err(Error::Interrupted) => Stop::Requested,
            Err(error) => return Err(error),
        };
        Ok(outcome)
    }

    /// Writes the tokens of the prompt to `tokens`, and returns their number.
    fn encode(&mut self, request: &Request<'_>) -> Result<u32, Error> {
        if request.prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let count = if request.raw {
            let options = crate::tokenizer::Options {
                add_special: true,
                parse_special: true,
            };
            let vocab = &self.vocab;
            vocab.encode(request.prompt, options, self.text, self.tokens)?
        } else {
            let chat = self.chat?;
            let vocab = &self.vocab;
            chat.encode(vocab, Turn::First, request.prompt, self.text, self.tokens)?
        };
        // CAST: No more than the context has.
        Ok(count as u32)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        executor: &dyn Executor,
        sink: &mut dyn Sink,
        text: &mut Utf8Assembler,
        outcome: &mut Outcome,
    ) -> Result<Stop, Error> {
        let context = self.info().context;
        let mut sampler = Sampler::new(request.sampling);
        let mut new = crate::size(outcome.prompt_tokens);
        loop {
            let mut stop = || sink.stop();
            let mut run = Run {
                kernels: self.kernels,
                executor,
                stop: &mut stop,
            };
            let last = self.advance(&mut run, new)?;
            let logits = self.model.logits(&mut run, last, 1)?;
            let so_far = self.tokens.get(..crate::size(self.position));
            let token = sampler.choose(
                &mut run,
                logits,
                so_far.unwrap_or_default(),
                self.candidates,
            )?;
            if outcome.tokens == 0 {
                sink.prefilled(outcome.prompt_tokens);
            }
            if outcome.tokens >= request.max_tokens {
                return Ok(Stop::Length);
            }
            if self.vocab.is_end(token) {
                return Ok(Stop::End);
            }
            outcome.tokens += 1;
            sink.token(token);
            let mut fits = true;
            text.push(self.vocab.piece(token, false), |text| {
                fits = fits && sink.text(text);
            });
            if !fits {
                return Ok(Stop::Sink);
            }
            if outcome.tokens >= request.max_tokens {
                return Ok(Stop::Length);
            }
            if self.position() >= context {
                return Ok(Stop::Context);
            }
            self.append(&[token])?;
            new = 1;
        }
    }
}
