// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `bench`: measures the speed as llama-bench does, with tokens that mean nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use llamux_engine::{Engine, Options};
use serde::Serialize;

use super::{per_second, print_json, print_line, ComputeArgs, FileArgs};
use crate::model::Arena;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Bench {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Tokens of a prompt; 0 to leave it out
    #[arg(long, value_name = "P", default_value_t = 128)]
    prefill: u32,
    /// Tokens to decode after an empty context; 0 to leave it out
    #[arg(long, value_name = "D", default_value_t = 64)]
    decode: u32,
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
    repetitions: u32,
    threads: usize,
    kernels: &'static str,
}

impl Bench {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let kernels = self.compute.kernels()?;
        let options = Options {
            context: self.prefill.max(self.decode).max(1),
            prompt_bytes: 0,
            ..Options::default()
        };
        let mut arena = Arena::new(&file, options)?;
        let mut engine = arena.load(&file, kernels, &pool)?;
        engine.set_batch(self.compute.batch);

        let vocabulary = engine.info().vocabulary;
        // Any tokens do, if they are not all the same.
        let token = |i: u32| i.wrapping_mul(2_654_435_761) % vocabulary;
        let prompt: Vec<u32> = (0..self.prefill).map(token).collect();
        let answer: Vec<u32> = (0..self.decode).map(token).collect();
        let prefill = |engine: &mut Engine<'_>| -> Result<Duration, _> {
            engine.clear();
            let begin = Instant::now();
            if !prompt.is_empty() {
                engine.extend(&prompt, &pool)?;
            }
            Ok(begin.elapsed())
        };
        let decode = |engine: &mut Engine<'_>| -> Result<Duration, _> {
            engine.clear();
            let begin = Instant::now();
            for id in &answer {
                engine.extend(std::slice::from_ref(id), &pool)?;
            }
            Ok(begin.elapsed())
        };

        let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
        // The first round warms the caches up.
        for round in 0..=self.repetitions {
            let times = prefill(&mut engine).and_then(|p| Ok((p, decode(&mut engine)?)));
            let (p, d) = times.map_err(|error| file.error(error))?;
            if round > 0 {
                prefills.push(p);
                decodes.push(d);
            }
        }
        let report = Report {
            prefill_tokens_per_second: per_second(prompt.len(), median(prefills)),
            decode_tokens_per_second: per_second(answer.len(), median(decodes)),
            prefill: self.prefill,
            decode: self.decode,
            repetitions: self.repetitions,
            threads: pool.threads(),
            kernels: kernels.name(),
        };
        if self.json {
            return print_json(&report);
        }
        let show = |speed: Option<f64>| speed.map_or("-".to_owned(), |speed| format!("{speed:.2}"));
        print_line(&format!(
            "prefill of {}: {} tokens/s, decode of {}: {} tokens/s ({}, {} threads)",
            report.prefill,
            show(report.prefill_tokens_per_second),
            report.decode,
            show(report.decode_tokens_per_second),
            report.kernels,
            report.threads,
        ))
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
