// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The subcommands, one a file.

mod bandwidth;
mod bench;
mod chat;
mod embed;
mod generate;
mod grammar;
mod inspect;
mod logits;
mod perplexity;
mod quantize;
mod synth;
mod tokenize;

use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use llamux_engine::chat::Format;
use llamux_engine::generate::Sampling;
use llamux_engine::math::Kernels;
use llamux_engine::{KvType, Options};

use crate::kernels::Choice;
use crate::model::ModelFile;
use crate::pool::Pool;

/// Runs language models from GGUF files with the engine that Llamux has in its kernel.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer one prompt
    Generate(generate::Generate),
    /// Answer questions from standard input, one a line, as one conversation
    Chat(chat::Chat),
    /// Print the embeddings of texts
    Embed(embed::Embed),
    /// Print the tokens of texts
    Tokenize(tokenize::Tokenize),
    /// Print the logits behind a row of tokens
    Logits(logits::Logits),
    /// Measure how well the model predicts texts
    Perplexity(perplexity::Perplexity),
    /// Print what is in a file
    Inspect(inspect::Inspect),
    /// Write a file with the weights in another type
    Quantize(quantize::Quantize),
    /// Measure the speed
    Bench(bench::Bench),
    /// Measure how fast memory is read
    Bandwidth(bandwidth::Bandwidth),
    /// Make a model with made-up weights
    Synth(synth::Synth),
}

impl Cli {
    /// Does what the arguments say.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Generate(command) => command.run(),
            Command::Chat(command) => command.run(),
            Command::Embed(command) => command.run(),
            Command::Tokenize(command) => command.run(),
            Command::Logits(command) => command.run(),
            Command::Perplexity(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Quantize(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Bandwidth(command) => command.run(),
            Command::Synth(command) => command.run(),
        }
    }
}

/// Which file.
#[derive(Args)]
struct FileArgs {
    /// The GGUF file; of a model that is split, any of its files
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
}

impl FileArgs {
    fn open(&self) -> Result<ModelFile> {
        ModelFile::open(&self.model)
    }
}

/// How to compute.
#[derive(Args)]
struct ComputeArgs {
    /// Threads to compute with [default: one for each processor]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Instructions to compute with
    #[arg(long, value_enum, default_value_t = Choice::Best)]
    kernels: Choice,
    /// Tokens computed at once of a prompt
    #[arg(long, value_name = "N", hide = true, default_value_t = llamux_abi::MAX_BATCH)]
    batch: u32,
}

impl ComputeArgs {
    fn kernels(&self) -> Result<Kernels> {
        self.kernels.kernels()
    }

    fn pool(&self) -> Result<Pool> {
        Pool::new(match self.threads {
            Some(threads) => threads.into(),
            None => thread::available_parallelism().map_or(1, Into::into),
        })
    }
}

/// How much to remember.
#[derive(Args)]
struct ContextArgs {
    /// Tokens of the context [default: the model's own, but at most 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// The form to put prompts in [default: what the file's template writes]
    #[arg(long, value_name = "NAME", value_parser = format_parser())]
    chat_format: Option<Format>,
}

impl ContextArgs {
    fn options(&self, prompt_bytes: usize, cache: &CacheArgs) -> Options {
        Options {
            context: self.context.unwrap_or(0),
            prompt_bytes,
            chat_format: self.chat_format,
            kv_type: cache.kv_type(),
            ..Options::default()
        }
    }
}

/// Takes the names of chat formats.
fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::from_name(&name).expect("a name of the list"))
}

/// How to remember.
#[derive(Args)]
struct CacheArgs {
    /// How keys and values are kept: f16 is exact, q8_0 takes about half of the memory
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = CacheType::F16)]
    kv_type: CacheType,
}

impl CacheArgs {
    fn kv_type(&self) -> KvType {
        match self.kv_type {
            CacheType::F16 => KvType::F16,
            CacheType::Q8_0 => KvType::Q8_0,
        }
    }
}

/// The name of a [`KvType`].
#[derive(Clone, Copy, ValueEnum)]
enum CacheType {
    /// 16-bit floats
    F16,
    /// Bytes, with a scale for each 32
    #[value(name = "q8_0")]
    Q8_0,
}

/// How to save time.
#[derive(Args)]
struct SpeculateArgs {
    /// Compute tokens ahead where the text repeats itself; the answer is the same
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Speculate::Auto)]
    speculate: Speculate,
}

impl SpeculateArgs {
    fn on(&self) -> bool {
        matches!(self.speculate, Speculate::Auto)
    }
}

/// Whether to guess tokens.
#[derive(Clone, Copy, ValueEnum)]
enum Speculate {
    /// Where guesses have been right
    Auto,
    /// Never
    Off,
}

/// How to choose tokens.
#[derive(Args)]
struct SamplingArgs {
    /// 0 takes the likeliest token always
    #[arg(long, value_name = "T", default_value = "0.8", value_parser = milli)]
    temperature: u32,
    /// Choose among the N likeliest tokens; 0 for as many as possible
    #[arg(long, value_name = "N", default_value_t = 40)]
    top_k: u32,
    /// Choose among the likeliest tokens that have probability P together
    #[arg(long, value_name = "P", default_value = "0.95", value_parser = milli)]
    top_p: u32,
    /// Choose among tokens that are at least P times as likely as the likeliest
    #[arg(long, value_name = "P", default_value = "0.05", value_parser = milli)]
    min_p: u32,
    /// Divide the logits of recent tokens by X; 1 for none
    #[arg(long, value_name = "X", default_value = "1", value_parser = milli)]
    repeat_penalty: u32,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    fn sampling(&self) -> Sampling {
        Sampling {
            temperature_milli: self.temperature,
            top_k: self.top_k,
            top_p_milli: self.top_p,
            min_p_milli: self.min_p,
            repeat_penalty_milli: self.repeat_penalty,
            seed: self.seed,
        }
    }
}

/// A decimal number from 0 to 1000, times 1000.
fn milli(text: &str) -> Result<u32, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.0..=1000.0).contains(&number) {
        return Err("not from 0 to 1000".to_owned());
    }
    // CAST: In range, as checked.
    Ok((number * 1000.0).round() as u32)
}

/// Prints a line to standard output, where it is seen at once.
fn print_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print_line(&serde_json::to_string(value)?)
}

/// How many a second; `None` if no time passed or nothing was done.
fn per_second(count: usize, time: std::time::Duration) -> Option<f64> {
    let seconds = time.as_secs_f64();
    (count > 0 && seconds > 0.0).then(|| count as f64 / seconds)
}
