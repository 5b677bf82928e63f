// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `chat`: answers questions from standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use llamux_engine::generate::Request;

use super::generate::Answer;
use super::{ComputeArgs, ContextArgs, FileArgs, SamplingArgs};
use crate::model::Arena;

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
    context: ContextArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

impl Chat {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let mut arena = Arena::new(&file, self.context.options(QUESTION_BYTES))?;
        let mut engine = arena.load(&file, self.compute.kernels()?, &pool)?;
        engine.set_batch(self.compute.batch);

        let stdin = io::stdin();
        let prompt = stdin.is_terminal();
        let mut sampling = self.sampling.sampling();
        let mut line = String::new();
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
                prompt: question,
                raw: false,
                max_tokens: self.max_tokens,
                sampling,
                ..Request::default()
            };
            Answer::new(&mut engine, &request, &file, &pool, true)?;
            // The same question again may have another answer.
            sampling.seed = sampling.seed.wrapping_add(1);
        }
    }
}
