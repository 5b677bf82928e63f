// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `generate`: answers one prompt.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use llamux_engine::generate::{Outcome, Request, Sink, Stop};
use llamux_engine::grammar::Constraint;
use llamux_engine::scheduler::SlotId;
use llamux_engine::Engine;
use serde::Serialize;

use super::grammar::GrammarArgs;
use super::{
    per_second, print_json, CacheArgs, ComputeArgs, ContextArgs, FileArgs, SamplingArgs,
    SpeculateArgs,
};
use crate::model::{Arena, ModelFile};
use crate::pool::Pool;
use crate::text;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Generate {
    #[command(flatten)]
    file: FileArgs,
    /// The prompt [default: standard input]
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The prompt has the escapes \n, \t, \r and \\
    #[arg(long)]
    escape: bool,
    /// Do not put the prompt into the model's chat format; parse special tokens in it
    #[arg(long)]
    raw: bool,
    /// Most tokens to generate
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
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    /// The prompt's tokens, chat format included.
    prompt_tokens: &'a [u32],
    /// The answer's tokens, without the one that ended it.
    tokens: &'a [u32],
    text: &'a str,
    stop: &'static str,
    /// Tokens that were guessed and computed ahead, and those of them that were right.
    drafted_tokens: u32,
    accepted_tokens: u32,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    kernels: &'static str,
    threads: usize,
}

impl Generate {
    pub(super) fn run(&self) -> Result<()> {
        let mut prompt = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => {
                let mut prompt = String::new();
                let read = io::stdin().read_to_string(&mut prompt);
                read.context("standard input: cannot read as UTF-8 text; or give --prompt")?;
                prompt
            }
        };
        if self.escape {
            prompt = text::unescape(&prompt);
        }
        let grammar = self.grammar.compile()?;
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let kernels = self.compute.kernels()?;
        let mut arena = Arena::new(&file, self.context.options(prompt.len(), &self.cache))?;
        let mut engine = arena.load(&file, kernels, &pool)?;
        engine.set_batch(self.compute.batch);
        engine.set_speculation(self.speculate.on());
        let request = Request {
            prompt: &prompt,
            raw: self.raw,
            max_tokens: self.max_tokens,
            sampling: self.sampling.sampling(),
            constraint: self.grammar.constraint(&grammar)?,
            ..Request::default()
        };
        let asked = engine.submit(&request, 0);
        let asked = asked.map_err(|error| file.error(error))?;
        let asked = (asked, request.constraint);
        let answer = Answer::new(&mut engine, asked, &file, &pool, !self.json)?;
        if !self.json {
            return Ok(());
        }
        print_json(&Report {
            prompt_tokens: &answer.prompt_tokens,
            tokens: &answer.tokens,
            text: &answer.text,
            stop: match answer.outcome.stop {
                Stop::End => "end",
                Stop::Length => "length",
                Stop::Context => "context",
                Stop::Requested => "requested",
                Stop::Sink => "sink",
            },
            drafted_tokens: answer.outcome.drafted_tokens,
            accepted_tokens: answer.outcome.accepted_tokens,
            prefill_tokens_per_second: per_second(answer.prompt_tokens.len(), answer.prefill),
            // The first token comes out of the prompt.
            decode_tokens_per_second: per_second(
                answer.tokens.len().saturating_sub(1),
                answer.decode,
            ),
            kernels: kernels.name(),
            threads: pool.threads(),
        })
    }
}

/// An answer, and how long it took.
pub(super) struct Answer {
    pub(super) prompt_tokens: Vec<u32>,
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    pub(super) prefill: Duration,
    pub(super) decode: Duration,
    pub(super) outcome: Outcome,
}

impl Answer {
    /// Waits for the answer, and prints it as it grows if `show`.
    pub(super) fn new(
        engine: &mut Engine<'_>,
        (asked, constraint): (SlotId, Option<Constraint<'_>>),
        file: &ModelFile,
        pool: &Pool,
        show: bool,
    ) -> Result<Self> {
        let mut collector = Collector {
            tokens: Vec::new(),
            text: String::new(),
            begin: Instant::now(),
            prefilled: None,
            show,
            broken: None,
        };
        let outcome = engine
            .finish_within(asked, constraint, pool, &mut collector)
            .map_err(|error| file.error(error))?;
        let end = Instant::now();
        if let Some(error) = collector.broken {
            return Err(error).context("cannot write to standard output");
        }
        if show {
            println!();
        }
        let prefilled = collector.prefilled.unwrap_or(end);
        Ok(Self {
            prompt_tokens: engine.prompt(&outcome).to_vec(),
            tokens: collector.tokens,
            text: collector.text,
            prefill: prefilled - collector.begin,
            decode: end - prefilled,
            outcome,
        })
    }
}

struct Collector {
    tokens: Vec<u32>,
    text: String,
    begin: Instant,
    prefilled: Option<Instant>,
    show: bool,
    broken: Option<io::Error>,
}

impl Sink for Collector {
    fn text(&mut self, text: &str) -> bool {
        self.text.push_str(text);
        if self.show {
            let mut out = io::stdout().lock();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            self.broken = written.err();
        }
        self.broken.is_none()
    }

    fn stop(&mut self) -> bool {
        false
    }

    fn token(&mut self, id: u32) {
        self.tokens.push(id);
    }

    fn prefilled(&mut self, _prompt_tokens: u32) {
        self.prefilled = Some(Instant::now());
    }
}
