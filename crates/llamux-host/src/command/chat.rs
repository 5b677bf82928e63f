// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `chat`: answers questions from standard input.
//!
//! Each question is asked behind all that was said before, which the engine still has in its cache. When
//! the context is full, the oldest turns are dropped.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use llamux_engine::chat::{self, Turn, MAX_SYSTEM};
use llamux_engine::generate::{Full, Request, Stop};

use super::generate::Answer;
use super::grammar::GrammarArgs;
use super::{CacheArgs, ComputeArgs, ContextArgs, FileArgs, SamplingArgs, SpeculateArgs};
use crate::model::Arena;

/// Most tokens of a question besides its own, one for each byte at most.
const QUESTION_TOKENS: usize = MAX_SYSTEM + 64;
/// Longest question in bytes.
const QUESTION_BYTES: usize = 1 << 16;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Chat {
    #[command(flatten)]
    file: FileArgs,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_tokens: u32,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    grammar: GrammarArgs,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    speculate: SpeculateArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

impl Chat {
    pub(super) fn run(&self) -> Result<()> {
        let grammar = self.grammar.compile()?;
        let constraint = self.grammar.constraint(&grammar)?;
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let mut arena = Arena::new(&file, self.context.options(QUESTION_BYTES, &self.cache))?;
        let mut engine = arena.load(&file, self.compute.kernels()?, &pool)?;
        engine.set_batch(self.compute.batch);
        engine.set_speculation(self.speculate.on());
        let chat = engine.chat().map_err(|error| file.error(error))?;

        let stdin = io::stdin();
        let prompt = stdin.is_terminal();
        let mut sampling = self.sampling.sampling();
        let mut line = String::new();
        let mut conversation = Vec::new();
        let mut scratch = vec![0; chat::Chat::scratch(QUESTION_BYTES)];
        loop {
            if prompt {
                eprint!("> ");
                let _ = io::stderr().flush();
            }
            line.clear();
            let read = stdin.lock().read_line(&mut line);
            if read.context("standard input: cannot read as UTF-8 text")? == 0 {
                return Ok(());
            }
            let question = line.trim();
            if question.is_empty() {
                continue;
            }
            let request = Request {
                max_tokens: self.max_tokens,
                sampling,
                full: Full::DropOldest,
                constraint,
                ..Request::default()
            };
            let turn = match conversation.is_empty() {
                true => Turn::First,
                false => Turn::Next,
            };
            let mut asked = vec![0; question.len() + QUESTION_TOKENS];
            let asked = chat
                .encode(engine.vocab(), turn, question, &mut scratch, &mut asked)
                .map(|count| &asked[..count]);
            conversation.extend_from_slice(asked.map_err(|error| file.error(error))?);
            let id = engine.submit_tokens(&conversation, &request, 0);
            let id = id.map_err(|error| file.error(error))?;
            let answer = Answer::new(&mut engine, (id, constraint), &file, &pool, true)?;
            // What was dropped is gone from here, too.
            conversation.clear();
            conversation.extend_from_slice(engine.sequence());
            if answer.outcome.stop != Stop::End {
                conversation.extend(answer.tokens.last());
            }
            conversation.push(chat.end());
            // The same question again may have another answer.
            sampling.seed = sampling.seed.wrapping_add(1);
        }
    }
}
