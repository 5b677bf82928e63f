// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine as a program: `llamux-host bench`, `bandwidth` and `inspect`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::what::{What, BUSY_DECODED, DECODED, PREFIX, SESSION_DECODED};
use super::Sample;
use crate::context::Context;
use crate::model::Model;
use crate::run::quoted;
use crate::sh;

/// `llamux-host`.
pub(super) struct Host {
    program: PathBuf,
}

/// What `llamux-host bench --json` prints, as far as it matters here.
#[derive(Deserialize)]
struct Report {
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    sessions_tokens_per_second: Option<f64>,
    /// Seconds.
    cold_first_token: Option<f64>,
    cached_first_token: Option<f64>,
}

/// What `llamux-host inspect --json` prints, likewise.
#[derive(Deserialize)]
struct Inspected {
    tensors: Vec<Tensor>,
    metadata: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    bytes: u64,
}

impl Host {
    pub(super) fn new(cx: &Context) -> Result<Self> {
        let program = crate::test::host_engine(cx)?;
        Ok(Self { program })
    }

    /// Measures all of `whats`.
    pub(super) fn measure(
        &self,
        model: &Model,
        threads: usize,
        whats: &[What],
    ) -> Result<Vec<Sample>> {
        let mut runs: Vec<(Vec<String>, Report, f64)> = Vec::new();
        let mut samples = Vec::new();
        for &what in whats {
            let Some(arguments) = arguments(what) else {
                continue;
            };
            if !runs.iter().any(|(of, ..)| *of == arguments) {
                let mut bench = sh::cmd(&self.program);
                bench.args(["bench", "--json", "--repetitions=1"]);
                bench.arg(format!("--threads={threads}")).args(&arguments);
                bench.arg("--model").arg(&model.file);
                sh::announce(&bench);
                let begin = Instant::now();
                let text = sh::read(&mut bench)?;
                let seconds = begin.elapsed().as_secs_f64();
                runs.push((arguments.clone(), parse(&text)?, seconds));
            }
            let run = runs.iter().find(|(of, ..)| *of == arguments);
            let value = run.and_then(|(_, report, seconds)| value(what, report, *seconds));
            samples.extend(value.map(|value| (what, value)));
        }
        Ok(samples)
    }

    /// Bytes a second that so many threads can read.
    pub(super) fn bandwidth(&self, threads: usize) -> Result<f64> {
        #[derive(Deserialize)]
        struct Bandwidth {
            bytes_per_second: f64,
        }
        let mut command = sh::cmd(&self.program);
        command.args(["bandwidth", "--json", "--repetitions=3"]);
        command.arg(format!("--threads={threads}"));
        sh::announce(&command);
        let text = sh::read(&mut command)?;
        let report: Bandwidth = serde_json::from_str(&text)?;
        Ok(report.bytes_per_second)
    }

    /// Bytes of the weights that a token needs.
    pub(super) fn bytes_per_token(&self, model: &Model) -> Result<u64> {
        let mut command = sh::cmd(&self.program);
        command.args(["inspect", "--json", "--model"]);
        let text = sh::read(command.arg(&model.file))?;
        Ok(bytes_per_token(&serde_json::from_str(&text)?))
    }

    /// A text that is exactly so many tokens of the model, made of plain words in an order of its own for
    /// each seed; for the shell.
    pub(super) fn words(&self, model: &Model, tokens: u32, seed: u32) -> Result<String> {
        let mut words = words(tokens, seed);
        loop {
            let mut command = sh::cmd(&self.program);
            command.arg("tokenize").arg("--model").arg(&model.file);
            command.arg("--text").arg(words.join(" "));
            let ids: Vec<u32> = serde_json::from_str(&sh::read(&mut command)?)?;
            // CAST: No more words than tokens, which are in a u32.
            let over = ids.len().saturating_sub(tokens as usize);
            if over == 0 || words.len() < 2 {
                return Ok(quoted(&words.join(" ")));
            }
            words.truncate((words.len() - over.min(words.len() - 1)).max(1));
        }
    }
}

/// What to call `llamux-host bench` with.
fn arguments(what: What) -> Option<Vec<String>> {
    let of = |prefill: u32, decode: u32, depth: u32| {
        vec![
            format!("--prefill={prefill}"),
            format!("--decode={decode}"),
            format!("--depth={depth}"),
        ]
    };
    Some(match what {
        What::Prefill(tokens) => of(tokens, 0, 0),
        What::Decode(depth) => of(0, DECODED, depth),
        What::Busy => of(0, BUSY_DECODED, 0),
        What::FirstCold | What::FirstCached => {
            let mut arguments = of(0, 0, 0);
            arguments.push(format!("--prefix={PREFIX}"));
            arguments
        }
        What::Sessions(count) => {
            // Of what it decodes for a session by itself no use is made, but it takes as long.
            let mut arguments = of(0, SESSION_DECODED, 0);
            arguments.push(format!("--sessions={count}"));
            arguments
        }
        What::Load => of(1, 0, 0),
        What::FirstStreamed
        | What::LongestSection
        | What::LongSections
        | What::Idle
        | What::Wakeups => return None,
    })
}

fn parse(text: &str) -> Result<Report> {
    serde_json::from_str(text).with_context(|| format!("llamux-host did not print this: {text}"))
}

/// The number in a report of a program that ran for so many seconds.
fn value(what: What, report: &Report, seconds: f64) -> Option<f64> {
    match what {
        What::Prefill(_) => report.prefill_tokens_per_second,
        What::Decode(_) | What::Busy => report.decode_tokens_per_second,
        What::FirstCold => report.cold_first_token.map(|seconds| 1000.0 * seconds),
        What::FirstCached => report.cached_first_token.map(|seconds| 1000.0 * seconds),
        What::Sessions(_) => report.sessions_tokens_per_second,
        What::Load => Some(1000.0 * seconds),
        What::FirstStreamed
        | What::LongestSection
        | What::LongSections
        | What::Idle
        | What::Wakeups => None,
    }
}

fn bytes_per_token(file: &Inspected) -> u64 {
    let count = |key: &str| {
        let found = file.metadata.iter().find(|(name, _)| name.ends_with(key));
        found.and_then(|(_, value)| value.as_u64())
    };
    let experts = count(".expert_count").filter(|&all| all > 0);
    let experts = experts.zip(count(".expert_used_count"));
    // Without a matrix of its own, the output is computed with the one of the embeddings, of which
    // otherwise a row is read.
    let untied = file.tensors.iter().any(|of| of.name == "output.weight");
    let bytes = |tensor: &Tensor| {
        if untied && tensor.name == "token_embd.weight" {
            return 0;
        }
        match experts {
            Some((all, used)) if tensor.name.contains("_exps.") => {
                tensor.bytes.saturating_mul(used) / all
            }
            _ => tensor.bytes,
        }
    };
    file.tensors.iter().map(bytes).sum()
}

/// Words that are one token in any vocabulary worth the name, with their blanks.
const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by",
    "on", "not", "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an",
    "they", "which", "one", "you", "were", "her", "all", "she", "there", "would", "their", "we",
    "him", "been", "has", "when", "who", "will", "more", "no", "if", "out", "so", "said", "what",
    "up", "its", "about", "into", "than", "them", "can", "only", "other", "new", "some", "could",
];

fn words(count: u32, seed: u32) -> Vec<&'static str> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let word = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // CAST: Six bits. The lower ones of such numbers repeat themselves soon.
        WORDS[(state >> 26) as usize]
    };
    (0..count).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let report = parse(include_str!("recorded/llamux-host-bench.json")).unwrap();
        let of = |what| value(what, &report, 1.5).unwrap();
        assert_eq!(of(What::Prefill(128)), 273.9516998497512);
        assert_eq!(of(What::Decode(0)), 51.98793243115425);
        assert_eq!(of(What::Sessions(2)), 73.65999780658942);
        assert_eq!(of(What::FirstCold), 311.701468);
        assert_eq!(of(What::FirstCached), 63.597264);
        assert_eq!(of(What::Load), 1500.0);
        assert_eq!(value(What::Idle, &report, 1.5), None);
        assert!(parse("").is_err() && parse("[]").is_err());
    }

    #[test]
    fn a_token_needs_what_is_multiplied_with() {
        let file = |tensors: &[(&str, u64)], metadata: &str| Inspected {
            tensors: tensors
                .iter()
                .map(|&(name, bytes)| Tensor {
                    name: name.to_owned(),
                    bytes,
                })
                .collect(),
            metadata: serde_json::from_str(metadata).unwrap(),
        };
        let tied = [("token_embd.weight", 1000), ("blk.0.attn_q.weight", 10)];
        assert_eq!(bytes_per_token(&file(&tied, "{}")), 1010);
        let untied = [tied[0], tied[1], ("output.weight", 2000)];
        assert_eq!(bytes_per_token(&file(&untied, "{}")), 2010);
        let experts = [tied[0], ("blk.0.ffn_up_exps.weight", 80)];
        let some = r#"{"llama.expert_count": 8, "llama.expert_used_count": 2}"#;
        assert_eq!(bytes_per_token(&file(&experts, some)), 1020);
        let none = r#"{"llama.expert_count": 0, "llama.expert_used_count": 0}"#;
        assert_eq!(bytes_per_token(&file(&experts, none)), 1080);
    }

    #[test]
    fn each_seed_gives_other_words_that_do_not_repeat() {
        let (one, two) = (words(2048, 1), words(2048, 2));
        assert_ne!(one[..16], two[..16]);
        for window in [&one, &two] {
            let begin = &window[..16];
            assert!(!window[16..].windows(16).any(|other| other == begin));
        }
        assert_eq!(one, words(2048, 1));
    }
}
