// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `bench`: measures the speed as llama-bench does, with tokens that mean nothing.

use std::time::{Duration, Instant};

use anyhow::{anyhow, Result};
use clap::Args;
use llamux_engine::generate::{Outcome, Request, Sampling, Sink};
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error, Options};
use serde::Serialize;

use super::{per_second, print_json, print_line, CacheArgs, ComputeArgs, FileArgs};
use crate::model::{Arena, ModelFile};
use crate::pool::Pool;

/// Tokens behind a prefix that is in the cache, as of a short question.
const QUESTION: u32 = 16;
/// Tokens of the prompt of each session.
const SESSION_PROMPT: u32 = 16;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Bench {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Tokens of a prompt; 0 to leave it out
    #[arg(long, value_name = "P", default_value_t = 128)]
    prefill: u32,
    /// Tokens to decode; 0 to leave it out
    #[arg(long, value_name = "D", default_value_t = 64)]
    decode: u32,
    /// Tokens in the context before those that are decoded
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: u32,
    /// Decode for K sessions together, too, and tell the tokens of all of them
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    sessions: u32,
    /// Time to the first token behind a prompt of N tokens and a short question, when the cache has
    /// the N tokens and when it has not
    #[arg(long, value_name = "N", default_value_t = 0)]
    prefix: u32,
    /// How often to measure; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    prefill: u32,
    decode: u32,
    depth: u32,
    sessions: u32,
    /// Of all sessions together; of one by itself, measured in turn.
    sessions_tokens_per_second: Option<f64>,
    one_session_tokens_per_second: Option<f64>,
    prefix: u32,
    /// Seconds to the first token.
    cold_first_token: Option<f64>,
    cached_first_token: Option<f64>,
    repetitions: u32,
    threads: usize,
    kernels: &'static str,
}

impl Bench {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let kernels = self.compute.kernels()?;
        let lengths = [
            Some(self.prefill),
            self.depth.checked_add(self.decode),
            self.decode.checked_add(SESSION_PROMPT + 1),
            self.prefix.checked_add(QUESTION + 1),
        ];
        let used = [true, true, self.sessions > 0, self.prefix > 0];
        let lengths = lengths.into_iter().zip(used).filter(|(_, used)| *used);
        let longest = lengths
            .map(|(length, _)| length)
            .try_fold(1, |most, length| length.map(|length| length.max(most)));
        let options = Options {
            context: longest.ok_or_else(|| anyhow!("so many tokens fit in no context"))?,
            prompt_bytes: 0,
            sequences: self.sessions,
            kv_type: self.cache.kv_type(),
            ..Options::default()
        };
        let mut arena = Arena::new(&file, options)?;
        let engine = arena.load(&file, kernels, &pool)?;
        let mut bench = Measure {
            vocabulary: engine.info().vocabulary,
            engine,
            pool: &pool,
            file: &file,
        };
        bench.engine.set_batch(self.compute.batch);

        let mut times = <[Vec<Duration>; 6]>::default();
        let [prefill, decode, sessions, one, cold, cached] = &mut times;
        // The first round of each warms the caches up.
        for _ in 0..=self.repetitions {
            prefill.push(bench.prefill(self.prefill)?);
        }
        for _ in 0..=self.repetitions {
            decode.push(bench.decode(self.depth, self.decode)?);
        }
        for _ in (0..=self.repetitions).filter(|_| self.sessions > 0) {
            sessions.push(bench.sessions(self.sessions, self.decode)?);
            one.push(bench.sessions(1, self.decode)?);
        }
        for _ in (0..=self.repetitions).filter(|_| self.prefix > 0) {
            let (without, with) = bench.prefix(self.prefix)?;
            cold.push(without);
            cached.push(with);
        }
        let times = times.map(|times| times.into_iter().skip(1).collect());
        let [prefill, decode, sessions, one, cold, cached] = times.map(median);
        let together = self.decode as usize * self.sessions as usize;
        let seconds = |time: Duration| (!time.is_zero()).then_some(time.as_secs_f64());
        let report = Report {
            prefill_tokens_per_second: per_second(self.prefill as usize, prefill),
            decode_tokens_per_second: per_second(self.decode as usize, decode),
            prefill: self.prefill,
            decode: self.decode,
            depth: self.depth,
            sessions: self.sessions,
            sessions_tokens_per_second: per_second(together, sessions),
            one_session_tokens_per_second: per_second(self.decode as usize, one),
            prefix: self.prefix,
            cold_first_token: seconds(cold),
            cached_first_token: seconds(cached),
            repetitions: self.repetitions,
            threads: pool.threads(),
            kernels: kernels.name(),
        };
        if self.json {
            return print_json(&report);
        }
        let show = |speed: Option<f64>| speed.map_or("-".to_owned(), |speed| format!("{speed:.2}"));
        print_line(&format!(
            "prefill of {}: {} tokens/s, decode of {}{}: {} tokens/s ({}, {} threads)",
            report.prefill,
            show(report.prefill_tokens_per_second),
            report.decode,
            match report.depth {
                0 => String::new(),
                depth => format!(" behind {depth}"),
            },
            show(report.decode_tokens_per_second),
            report.kernels,
            report.threads,
        ))?;
        if report.sessions > 0 {
            print_line(&format!(
                "{} sessions together: {} tokens/s, one by itself: {} tokens/s",
                report.sessions,
                show(report.sessions_tokens_per_second),
                show(report.one_session_tokens_per_second),
            ))?;
        }
        if report.prefix > 0 {
            let milliseconds = |seconds: Option<f64>| show(seconds.map(|seconds| 1000.0 * seconds));
            print_line(&format!(
                "first token behind {} tokens: {} ms, with these in the cache: {} ms",
                report.prefix,
                milliseconds(report.cold_first_token),
                milliseconds(report.cached_first_token),
            ))?;
        }
        Ok(())
    }
}

/// What is measured, and with what.
struct Measure<'a> {
    engine: Engine<'a>,
    vocabulary: u32,
    pool: &'a Pool,
    file: &'a ModelFile,
}

impl Measure<'_> {
    /// Any tokens do, if they are not all the same.
    fn tokens(&self, first: u32, count: u32) -> Vec<u32> {
        let token = |i: u32| i.wrapping_mul(2_654_435_761) % self.vocabulary;
        (first..first.saturating_add(count)).map(token).collect()
    }

    fn timed(&self, begin: Instant, result: Result<(), Error>) -> Result<Duration> {
        let time = begin.elapsed();
        result
            .map(|()| time)
            .map_err(|error| self.file.error(error))
    }

    fn prefill(&mut self, count: u32) -> Result<Duration> {
        let prompt = self.tokens(0, count);
        self.engine.clear();
        let begin = Instant::now();
        let result = match prompt.is_empty() {
            true => Ok(()),
            false => self.engine.extend(&prompt, self.pool).map(|_| ()),
        };
        self.timed(begin, result)
    }

    fn decode(&mut self, depth: u32, count: u32) -> Result<Duration> {
        // What is there already need not be computed again.
        let before = self.tokens(0, depth);
        if self.engine.position() < depth || depth == 0 {
            self.engine.clear();
        }
        self.engine.rewind(depth);
        if count > 0 && self.engine.position() < depth {
            let result = self.engine.extend(&before, self.pool).map(|_| ());
            self.timed(Instant::now(), result)?;
        }
        let answer = self.tokens(depth, count);
        let begin = Instant::now();
        let mut result = Ok(());
        for id in &answer {
            let ids = std::slice::from_ref(id);
            result = result.and(self.engine.extend(ids, self.pool).map(|_| ()));
        }
        self.timed(begin, result)
    }

    /// The time in which each of `count` sessions gets `tokens` tokens behind its first one.
    fn sessions(&mut self, count: u32, tokens: u32) -> Result<Duration> {
        self.engine.clear();
        self.engine.forget();
        let request = Request {
            // Behind the first one.
            max_tokens: tokens.saturating_add(1),
            sampling: Sampling::GREEDY,
            ..Request::default()
        };
        let mut crowd = Crowd::default();
        for session in 0..count {
            // One token again and again, which the answer goes on with: it is not to end early.
            let token = (session + 1) * SESSION_PROMPT % self.vocabulary;
            let prompt = [token; SESSION_PROMPT as usize];
            let id = self.engine.submit_tokens(&prompt, &request, session.into());
            id.map_err(|error| self.file.error(error))?;
        }
        // From when all of them decode until the first one comes to its end.
        let (mut begin, mut end) = (None, None);
        while self.engine.step(self.pool, &mut crowd) {
            if crowd.begun == count && crowd.ended == 0 {
                let now = (Instant::now(), crowd.tokens);
                begin = begin.or(Some(now));
                end = Some(now);
            }
        }
        if let Some(error) = crowd.error {
            return Err(self.file.error(error));
        }
        let (Some((begin, before)), Some((end, after))) = (begin, end) else {
            return Ok(Duration::ZERO);
        };
        let wanted = f64::from(tokens) * f64::from(count);
        let time = end.duration_since(begin).as_secs_f64();
        let time = time * wanted / f64::from(after - before).max(1.0);
        Ok(Duration::from_secs_f64(time))
    }

    /// The time to the first token, without and with the first `count` tokens of the prompt in the cache.
    fn prefix(&mut self, count: u32) -> Result<(Duration, Duration)> {
        self.engine.clear();
        self.engine.forget();
        let request = Request {
            max_tokens: 1,
            sampling: Sampling::GREEDY,
            ..Request::default()
        };
        let mut first = |question: u32| {
            let mut prompt = self.tokens(0, count);
            prompt.extend(self.tokens(count.wrapping_add(QUESTION * question), QUESTION));
            let begin = Instant::now();
            let mut crowd = Crowd::default();
            let id = self.engine.submit_tokens(&prompt, &request, 0);
            let end = id.and_then(|id| self.engine.finish(id, self.pool, &mut crowd));
            self.timed(begin, end.map(|_| ()))
        };
        Ok((first(1)?, first(2)?))
    }
}

/// All sessions, whose tokens are only counted.
#[derive(Default)]
struct Crowd {
    begun: u32,
    ended: u32,
    tokens: u32,
    error: Option<Error>,
}

impl Audience for Crowd {
    fn sink(&mut self, _id: SlotId) -> Option<&mut dyn Sink> {
        Some(self)
    }

    fn done(&mut self, _id: SlotId, end: Result<Outcome, Error>) {
        self.ended += 1;
        self.error = self.error.or(end.err());
    }
}

impl Sink for Crowd {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }

    fn token(&mut self, _id: u32) {
        self.tokens += 1;
    }

    fn prefilled(&mut self, _prompt_tokens: u32) {
        self.begun += 1;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let upper = times.len() / 2;
    match (times.len() % 2, times.get(upper)) {
        (1, Some(&middle)) => middle,
        (0, Some(&above)) => (times[upper - 1] + above) / 2,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_median() {
        let of = |ms: &[u64]| median(ms.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(of(&[]), Duration::ZERO);
        assert_eq!(of(&[7]), Duration::from_millis(7));
        assert_eq!(of(&[9, 1, 5]), Duration::from_millis(5));
        assert_eq!(of(&[9, 1, 5, 7]), Duration::from_millis(6));
    }
}
